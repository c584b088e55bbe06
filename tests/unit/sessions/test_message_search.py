"""Finding messages by their numbers: where a conversation ends, and where it goes on behind a gap."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._records.message_search import last_message_id, next_message_id

MOST_NAMES, MOST_ROUNDS = 200, 10


class Store:
    """A conversation whose messages are asked for; counts what that costs."""

    def __init__(self, ids: set[int]) -> None:
        self.ids = ids
        self.names = 0
        self.rounds = 0

    def present(self, ids: Sequence[int]) -> Sequence[bool]:
        assert len(set(ids)) == len(ids), "a name is asked for twice in a round"
        assert min(ids) >= 0
        self.names += len(ids)
        self.rounds += 1
        return [message_id in self.ids for message_id in ids]

    def check(self) -> None:
        assert self.names <= MOST_NAMES
        assert self.rounds <= MOST_ROUNDS


@given(length=st.integers(0, 300_000), likely=st.one_of(st.just(0), st.integers(0, 300_010)))
def test_the_end_of_a_conversation_is_found_from_any_first_guess(length: int, likely: int) -> None:
    store = Store(set(range(length)))

    found = last_message_id(store.present, likely_next=likely)

    assert found == (length - 1 if length else None)
    store.check()


@given(length=st.integers(1, 300_000))
def test_when_the_end_is_known_four_names_are_asked_for(length: int) -> None:
    store = Store(set(range(length)))

    assert last_message_id(store.present, likely_next=length) == length - 1

    assert (store.names, store.rounds) == (4, 1)


@given(length=st.integers(0, 300_000), first_id=st.integers(0, 300_010))
def test_without_a_gap_the_next_message_is_the_one_asked_for_or_there_is_none(length: int, first_id: int) -> None:
    store = Store(set(range(length)))

    assert next_message_id(store.present, first_id) == (first_id if first_id < length else None)

    store.check()


@given(before=st.integers(0, 50_000), gap=st.integers(1, 50_000), extra=st.integers(1, 50_000))
def test_behind_a_gap_the_next_message_is_found_when_a_quarter_as_many_follow(
    before: int, gap: int, extra: int
) -> None:
    start = before + gap
    store = Store({*range(before), *range(start, start + gap // 4 + extra)})

    assert next_message_id(store.present, before) == start

    store.check()


@given(missing=st.sets(st.integers(0, 60), max_size=8), length=st.integers(62, 20_000))
def test_a_few_missing_messages_mislead_nobody(missing: set[int], length: int) -> None:
    """Messages in quarantine, wherever they were."""
    gaps = {length - 2 - number for number in missing if number < 30} | missing
    store = Store(set(range(length)) - gaps)

    assert last_message_id(store.present) == length - 1
    for first in sorted(gaps):
        following = next(message_id for message_id in range(first, length) if message_id in store.ids)
        found = next_message_id(store.present, first)
        assert found is not None
        assert found >= following
        assert found in store.ids
