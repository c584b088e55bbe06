"""What streams are made of, without a turn: whole characters, the order of what is told, the queue to a reader."""

import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_src.doors.whole_characters import WholeCharacters
from lambda_src.turn_resource import feed as feeds
from lambda_src.turn_resource.feed import Failed, Feed, Replied
from lambda_src.turns.told_in_order import ToldInOrder
from lambda_src.turns.turn_events import Completed, MessageStored, Restored, TextDelta, TurnEvent

EMOJI = ["\U0001f680", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "é", "字", "a", " "]


def _halved(text: str) -> list[str]:
    """A text in UTF-16 code units, as a provider cuts it that counts in them."""
    units = text.encode("utf-16-le")
    return [units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2)]


@given(st.lists(st.sampled_from(EMOJI)).map("".join), st.data())
def test_however_a_text_is_cut_it_is_told_whole_and_no_piece_ends_in_half_a_character(text: str, data: Any) -> None:
    units = _halved(text)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(units)))) | {0, len(units)})
    pieces = ["".join(units[begin:end]) for begin, end in pairwise(cuts)]
    whole = WholeCharacters()

    told = [*map(whole.add, pieces), whole.rest()]

    assert "".join(told) == text
    for piece in told:
        piece.encode()  # no half of a pair
        assert not piece.endswith("\u200d")


@given(st.text(alphabet=st.characters(codec=None), max_size=20), st.integers(0, 20))
def test_an_unpaired_surrogate_is_not_lost(text: str, cut: int) -> None:
    whole = WholeCharacters()

    told = whole.add(text[:cut]) + whole.add(text[cut:]) + whole.rest()

    assert told.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")


def test_a_follower_waits_for_its_reader_and_holds_one_message_at_a_time() -> None:
    feed, told = Feed(), threading.Event()

    def follow() -> None:
        for number in range(20):
            feed.put(MessageStored(number, "assistant", [{"text": "x" * 500_000}]))
        told.set()

    follower = threading.Thread(target=follow)
    follower.start()
    seen: list[int] = []
    while len(seen) < 20:
        assert len(feed._waiting) <= 1
        event = feed.take(10)
        assert isinstance(event, MessageStored)
        seen.append(event.message_id)
    follower.join(10)

    assert seen == list(range(20))
    assert told.is_set()


def test_a_follower_whose_reader_leaves_waits_no_longer() -> None:
    feed = Feed()
    feed.put(MessageStored(0, "user", [{"text": "Hi"}]))
    follower = threading.Thread(target=feed.put, args=[MessageStored(1, "assistant", [{"text": "Hello"}])])
    follower.start()

    feed.leave()
    follower.join(10)

    assert not follower.is_alive()


RESTORED = Restored("default", 0, "turn")
COMPLETED = Completed({"role": "assistant", "content": []}, "end_turn", [], {})


@given(st.data())
def test_whenever_messages_are_stored_what_follows_one_is_told_behind_it(data: Any) -> None:
    happened: list[TurnEvent] = [RESTORED]
    for number in range(4):
        happened += [MessageStored(number, "user"), TextDelta(f"after {number}")]
    told: list[TurnEvent] = []
    order = ToldInOrder(told.append)
    stored: list[int] = []
    to_store, to_add = list(range(4)), list(happened)
    while to_add or to_store:
        if to_add and (not to_store or data.draw(st.booleans())):
            order.add(to_add.pop(0))
        else:
            stored.append(to_store.pop(0))
            order.record_stored(stored[-1])
        assert told == happened[: len(told)]
        assert bool(told) <= bool(stored)  # nothing before the fence
        assert all(event.message_id in stored for event in told if isinstance(event, MessageStored))

    assert told == happened


def test_a_turn_that_is_completed_needs_no_other_fence() -> None:
    told: list[TurnEvent] = []
    order = ToldInOrder(told.append)

    order.add(RESTORED)
    order.add(COMPLETED)

    assert told == [RESTORED, COMPLETED]


def test_a_slow_reader_finds_text_joined_and_everything_else_in_its_place() -> None:
    feed = Feed()
    for event in (RESTORED, TextDelta("a"), TextDelta("b"), MessageStored(0, "user"), TextDelta("c")):
        feed.put(event)
    feed.end(Replied({"stop_reason": "end_turn"}))

    read = [feed.take(1) for _ in range(5)]

    assert read == [
        RESTORED,
        TextDelta("ab"),
        MessageStored(0, "user"),
        TextDelta("c"),
        Replied({"stop_reason": "end_turn"}),
    ]
    with pytest.raises(EOFError):
        feed.take(1)


@pytest.mark.parametrize(
    "too_much",
    [
        [TextDelta("x" * (feeds.MAX_WAITING_CHARACTERS + 1))],
        [MessageStored(0, "user")] * (feeds.MAX_WAITING_EVENTS + 1),
    ],
)
def test_a_reader_that_is_too_far_behind_is_dropped_and_nothing_is_kept_for_it(too_much: list[TurnEvent]) -> None:
    feed = Feed()
    feed.put(RESTORED)
    for event in too_much:
        feed.put(event)
    feed.end(Replied({}))

    assert not feed.is_read
    with pytest.raises(EOFError):
        feed.take(0)


def test_who_waits_hears_of_a_turn_that_failed_before_anything_else() -> None:
    feed = Feed()
    feed.end(Failed(LookupError("refused")))

    with pytest.raises(LookupError, match="refused"):
        feed.wait_for_first()


def test_nothing_is_told_behind_the_end() -> None:
    feed = Feed()
    feed.end(Replied({}))
    feed.put(TextDelta("of a turn that was given up and woke up again"))

    assert feed.take(0) == Replied({})
    with pytest.raises(EOFError):
        feed.take(0)


def test_a_completed_turn_has_replied_and_its_stream_ends_when_nothing_is_left_to_do() -> None:
    feed = Feed()
    feed.put(RESTORED)
    feed.put(COMPLETED)

    assert [feed.take(1), feed.take(1)] == [RESTORED, COMPLETED]
    assert feed.take(0.01) is None, "the lease is being given back"
    feed.end(Replied({"the same": "reply"}))
    with pytest.raises(EOFError):
        feed.take(1)


def test_while_nothing_happens_nothing_is_taken() -> None:
    assert Feed().take(0.01) is None
