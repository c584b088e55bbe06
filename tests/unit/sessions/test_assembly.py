"""From what a restore has read to a conversation: a table of values, and what holds for any of them."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sessions._conversation.window import split_window
from agent_sessions._objects.assembly import (
    NAMED_AT_ONCE,
    NOTHING,
    PINS_SEARCHED_AT_ONCE,
    Span,
    Stated,
    Way,
    assemble_from_copies,
    assemble_from_messages,
    read_beside_copies,
    span_in,
    usable_copies,
    way_to_restore,
)
from agent_sessions._objects.tail_and_base import Base, Copy, FoundBase, Log
from agent_sessions._records.record_format import Record
from agent_sessions.object_store import StoredObject

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def message(number: int, *, pinned: bool = False, text: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"role": ("user", "assistant")[number % 2], "content": [{"text": f"{number}{text}"}]}
    return made | ({"metadata": {"custom": {"pinned": True}}} if pinned else {})


def copy(number: int, **options: Any) -> Copy:
    return Copy(number, f"e{number}", message(number, **options))


def record(number: int, **options: Any) -> Record:
    content = {
        "message_id": number,
        "message": message(number, **options),
        "redact_message": None,
        "created_at": "",
        "updated_at": "",
    }
    stored = StoredObject(json.dumps(content).encode(), f"e{number}", NOW, NOW)
    return Record(f"agents/agent_a/messages/message_{number}.json", content, stored)


def records(ids: Iterable[int], *, pinned: Iterable[int] = ()) -> dict[int, Record]:
    pins = set(pinned)
    return {number: record(number, pinned=number in pins) for number in ids}


def listing(ids: Iterable[int]) -> list[tuple[int, str]]:
    return [(number, f"e{number}") for number in ids]


def base(ids: Sequence[int], nonce: str = "b") -> FoundBase:
    return FoundBase(
        Base(nonce, ids[0], ids[-1], b"{}"),
        list(ids),
        [message(number) for number in ids],
        " ".join(f"e{number}" for number in ids),
    )


def log(tail: Iterable[int], *, first_id: int = 0, next_id: int, named: str | None = "b", **options: Any) -> Log:
    return Log(first_id, next_id, named, [copy(number) for number in tail], options.get("unconfirmed"))


def ids(messages: Iterable[tuple[int, Any]]) -> list[int]:
    return [number for number, _ in messages]


# --- which way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "found", "way"),
    [
        pytest.param(Stated(0), None, Way.FROM_MESSAGES, id="Strands wrote the record"),
        pytest.param(Stated(0), base(range(4)), Way.FROM_MESSAGES, id="and left our base"),
        pytest.param(Stated(0, log=log(range(4), next_id=4, named=None)), None, Way.FROM_COPIES, id="no base yet"),
        pytest.param(Stated(0, log=log([4, 5], next_id=6)), base(range(4)), Way.FROM_COPIES, id="base and tail"),
        pytest.param(Stated(0, log=log([], next_id=4)), base(range(4)), Way.FROM_COPIES, id="all in the base"),
        pytest.param(
            Stated(0, log=log([], next_id=6)), base(range(4)), Way.WITHOUT_BASE, id="a base that is too short"
        ),
        pytest.param(Stated(0, log=log([4, 5], next_id=6)), None, Way.WITHOUT_BASE, id="the base is gone"),
        pytest.param(Stated(0, log=log([4], next_id=5)), base(range(4), "x"), Way.WITHOUT_BASE, id="another's base"),
        pytest.param(
            Stated(0, log=log([9_000], next_id=9_001)), None, Way.FROM_MESSAGES, id="too much was in the base"
        ),
        pytest.param(
            Stated(8_960, log=log([9_000], next_id=9_001)), None, Way.WITHOUT_BASE, id="the window has 40 of it"
        ),
        pytest.param(
            Stated(1, log=log([4, 5], first_id=2, next_id=6)), base(range(4)), Way.FROM_MESSAGES, id="a wider window"
        ),
    ],
)
def test_the_record_is_believed_when_it_says_enough(stated: Stated, found: FoundBase | None, way: Way) -> None:
    assert way_to_restore(stated, found) is way


def test_a_base_of_as_many_messages_as_one_request_lists_is_read_by_names() -> None:
    most = log([NAMED_AT_ONCE], next_id=NAMED_AT_ONCE + 1)
    more = log([NAMED_AT_ONCE + 1], next_id=NAMED_AT_ONCE + 2)

    assert way_to_restore(Stated(0, log=most), None) is Way.WITHOUT_BASE
    assert way_to_restore(Stated(0, log=more), None) is Way.FROM_MESSAGES


# --- pins that are not known --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("removed", "unsearched", "takes_over", "now", "then"),
    [
        (0, Span(0, 0), True, NOTHING, NOTHING),
        (100, Span(0, 100), True, Span(0, 100), NOTHING),
        (128, Span(0, 128), True, Span(0, 128), NOTHING),
        (300, Span(0, 300), True, Span(0, 128), Span(128, 300)),
        (310, Span(128, 300), False, NOTHING, Span(128, 300)),
        (200, Span(128, 300), False, NOTHING, Span(128, 200)),
        (50, Span(128, 300), False, NOTHING, NOTHING),
    ],
)
def test_only_who_takes_a_session_over_searches_some_messages_below_the_window(
    removed: int, unsearched: Span, takes_over: bool, now: Span, then: Span
) -> None:
    stated = Stated(removed, unsearched=unsearched, takes_over=takes_over)

    assert (stated.searched_now, stated.unsearched_then) == (now, then)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2_000), st.integers(0, 2_500))
def test_a_restore_leaves_to_the_turns_what_it_neither_searches_nor_shows(removed: int, removed_then: int) -> None:
    first = Stated(removed, unsearched=Span(0, removed), takes_over=True)
    assert len(range(*first.searched_now)) <= PINS_SEARCHED_AT_ONCE
    assert [*range(*first.searched_now), *range(*first.unsearched_then)] == list(range(removed))

    later = Stated(removed_then, unsearched=first.unsearched_then)
    assert not later.searched_now
    assert set(range(*later.unsearched_then)) == set(range(*first.unsearched_then)) & set(range(removed_then))


@pytest.mark.parametrize("found", [None, [], [1], [1, 2, 3], "12", [None, 3], [True, 3], {"first": 1}, [5, 2]])
def test_a_value_that_is_no_span_counts_as_an_empty_one(found: object) -> None:
    assert not span_in({"unsearched": found}, "unsearched")


def test_a_span_is_read_as_it_stands_in_a_record() -> None:
    assert span_in({"unsearched": [128, 19_960]}, "unsearched") == Span(128, 19_960)


# --- from copies --------------------------------------------------------------------------------------------


def test_base_and_tail_are_the_conversation() -> None:
    stated, found = Stated(2, log=log([4, 5], first_id=1, next_id=6)), base(range(1, 4))
    assert stated.log is not None

    assert read_beside_copies(stated, stated.log, found) == []
    made = assemble_from_copies(stated, stated.log, found, {})

    assert ids(made.messages) == [1, 2, 3, 4, 5]
    assert (made.next_id, made.first_id, made.base, list(made.tail)) == (6, 1, found.base, [4, 5])
    assert (made.from_copies, made.unconfirmed, made.unsearched) == (True, None, NOTHING)


def test_a_message_that_is_only_referred_to_is_read() -> None:
    large = Log(0, 3, None, [copy(0), Copy(1, "e1", None), copy(2)], "nonce")
    stated = Stated(0, log=large)

    assert read_beside_copies(stated, large, None) == [1]
    made = assemble_from_copies(stated, large, None, records([1]))

    assert ids(made.messages) == [0, 1, 2]
    assert made.unconfirmed == "nonce"
    assert made.tail[1].is_reference


def test_a_reference_to_what_is_gone_is_left_out() -> None:
    large = Log(0, 3, None, [copy(0), Copy(1, "e1", None), copy(2)], None)

    assert ids(assemble_from_copies(Stated(0, log=large), large, None, {}).messages) == [0, 2]


def test_without_its_base_the_window_and_pinned_messages_are_read() -> None:
    believed = log([90, 91], first_id=10, next_id=92)
    stated = Stated(80, pinned=frozenset({20, 30}), log=believed)

    wanted = read_beside_copies(stated, believed, None)
    assert wanted == [19, 20, 21, 29, 30, 31, *range(80, 90)]
    made = assemble_from_copies(stated, believed, None, records(wanted, pinned=[20, 30]))

    pinned, window = split_window(made.messages, 80)
    assert (ids(pinned), ids(window)) == ([20, 30], list(range(82, 92)))
    assert (made.next_id, made.first_id, made.base, made.from_copies) == (92, 80, None, True)
    assert list(made.tail) == [19, 20, 21, 29, 30, 31, *range(80, 92)]


def test_a_pin_that_a_search_has_found_is_read_once_and_copied_for_the_next_restore() -> None:
    believed = log([400, 401], first_id=390, next_id=402)
    stated, found = Stated(395, frozenset({200}), Span(256, 300), log=believed), base(range(390, 400))

    wanted = read_beside_copies(stated, believed, found)
    assert wanted == [199, 200, 201]
    made = assemble_from_copies(stated, believed, found, records(wanted, pinned=[200]))

    assert ids(split_window(made.messages, 395)[0]) == [200]
    assert list(made.tail) == [199, 200, 201, 400, 401]
    assert made.unsearched == Span(256, 300)

    copied = believed._replace(tail=[*map(copy, [199, 200, 201]), *believed.tail])
    assert read_beside_copies(stated._replace(log=copied), copied, found) == []


def test_without_the_neighbours_of_a_pinned_message_that_is_copied_nothing_is_read() -> None:
    believed = log([200, 400, 401], first_id=390, next_id=402)
    stated = Stated(395, frozenset({200}), log=believed)

    assert read_beside_copies(stated, believed, base(range(390, 400))) == []


# --- from messages ------------------------------------------------------------------------------------------


def test_copies_of_what_is_stored_are_used_and_others_are_not() -> None:
    usable = usable_copies(log([2], next_id=3), base([0, 1]))
    listed = [(0, "e0"), (1, "changed"), (2, "e2"), (3, "e3")]

    made = assemble_from_messages(Stated(0), listed, usable, {1: record(1, text=" anew"), 3: record(3)})

    assert [said["content"][0]["text"] for _, said in made.messages] == ["0", "1 anew", "2", "3"]
    assert (made.next_id, list(made.tail), made.base, made.from_copies) == (4, [0, 1, 2, 3], None, False)


def test_what_an_earlier_life_has_left_is_neither_shown_nor_counted() -> None:
    made = assemble_from_messages(Stated(0), listing(range(6)), {}, records(range(4)))

    assert (ids(made.messages), made.next_id) == ([0, 1, 2, 3], 4)


def test_an_empty_window_is_no_empty_conversation() -> None:
    made = assemble_from_messages(Stated(5), listing(range(5)), {}, {}, last_below=4)

    assert (made.messages, made.next_id, made.first_id) == ([], 5, 5)


def test_a_last_message_that_stands_in_the_tail_alone_is_part_of_it() -> None:
    stated = Stated(0, log=log([2, 3], next_id=4, unconfirmed="nonce", named="gone"))

    made = assemble_from_messages(stated, listing(range(3)), {}, records(range(3)))

    assert (ids(made.messages), made.next_id, made.unconfirmed) == ([0, 1, 2, 3], 4, "nonce")


def test_where_no_copies_are_kept_there_is_no_tail() -> None:
    made = assemble_from_messages(Stated(0, consolidates=False), listing(range(3)), {}, records(range(3)))

    assert (ids(made.messages), made.tail) == ([0, 1, 2], {})


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(0, 60),
    gone=st.sets(st.integers(0, 59), max_size=5),
    pins=st.sets(st.integers(0, 59), max_size=4),
    window=st.integers(0, 60),
    copied=st.sets(st.integers(0, 59)),
)
def test_with_any_copies_the_conversation_is_the_stored_one(
    count: int, gone: set[int], pins: set[int], window: int, copied: set[int]
) -> None:
    # Given
    stored = [number for number in range(count) if number not in gone]
    pinned = pins & set(stored)
    removed = max(0, count - window - len(pinned))
    everything: Any = [(number, message(number, pinned=number in pinned)) for number in stored]
    stated = Stated(removed, pinned=frozenset(pinned))
    wanted = stated.wanted(stored)
    usable = {(n, f"e{n}"): copy(n, pinned=n in pinned) for n in wanted if n in copied}

    # When
    made = assemble_from_messages(
        stated,
        listing(stored),
        usable,
        records([number for number in wanted if number not in copied], pinned=pinned),
        last_below=stored[-1] if stored else -1,
    )

    # Then
    assert split_window(made.messages, removed) == split_window(everything, removed)
    assert made.next_id == (stored[-1] + 1 if stored else 0)
    assert made.tail.keys() >= pinned | {number for number in stored if number >= removed}
