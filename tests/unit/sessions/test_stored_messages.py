"""Reading messages by their names to the end, while somebody writes."""

import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from agent_sessions._objects.stored_messages import FIRST_READ, FOLLOWED, StoredMessages
from agent_sessions._records.layout import Layout
from agent_sessions._records.records import Records
from agent_sessions.object_store import Absent, StoredObject
from tests.concurrency.memory_objects import MemoryObjects

LAYOUT = Layout()


class Writing(MemoryObjects):
    """A store in which another writer stores some messages, in order, while it is being read.

    Args:
        stored: The messages that are there.
        to_come: The messages that are written, the first of them before the read of the number ``after`` has come.
        after: How many reads come before that.
    """

    def __init__(self, stored: Sequence[int], to_come: Sequence[int] = (), *, after: int = 0) -> None:
        super().__init__(clock=lambda: 0.0)
        self._to_come, self._reads_before = list(to_come), after
        for number in stored:
            self.add(number)

    def add(self, number: int) -> None:
        said = {"role": "user", "content": [{"text": str(number)}]}
        content = {"message_id": number, "message": said, "created_at": "", "updated_at": ""}
        self.put(LAYOUT.message("s", "a", number), json.dumps(content).encode(), Absent())

    def get(self, key: str) -> StoredObject | None:
        found = super().get(key)
        self._reads_before -= 1
        if self._reads_before < 0 and self._to_come:
            self.add(self._to_come.pop(0))
        return found


def messages_in(objects: MemoryObjects) -> StoredMessages:
    return StoredMessages(Records(objects, LAYOUT), LAYOUT, "s", "a")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.integers(0, 80), st.integers(0, 200))
def test_what_is_written_meanwhile_is_seen_without_a_gap(count: int, more: int, after: int) -> None:
    """A message is written when the one before is stored: whoever sees one has to see those before it."""
    onward = messages_in(Writing(range(count), range(count, count + more), after=after)).read_on(0)

    seen = sorted(onward.records)
    assert onward.reached_end
    assert seen == list(range(len(seen)))
    assert len(seen) >= count


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.sets(st.integers(0, 260), max_size=6), st.integers(1, 260))
def test_of_messages_that_are_missing_only_those_are_missing(first: int, gone: set[int], count: int) -> None:
    stored = [number for number in range(count) if number not in gone]

    onward = messages_in(Writing(stored)).read_on(first)

    expected = [number for number in stored if number >= first]
    assert sorted(onward.records) == (expected if onward.reached_end else sorted(onward.records))
    assert set(onward.records) <= set(expected)


def test_a_conversation_that_is_too_long_for_it_is_left_to_a_listing() -> None:
    onward = messages_in(Writing(range(3 * FOLLOWED))).read_on(0)

    assert not onward.reached_end
    assert FOLLOWED <= len(onward.records) < 2 * FOLLOWED


def test_a_listing_shows_what_is_a_message_and_ends() -> None:
    objects = Writing(range(2 * FIRST_READ))
    folder = LAYOUT.messages_folder("s", "a")
    for foreign in ("notes.txt", "message_x.json", "below/message_999.json"):
        objects.put(f"{folder}{foreign}", b"{}", Absent())
    listing = messages_in(objects).list()

    first = [number for number, _ in listing.go_on(10)]
    assert not listing.is_whole
    assert first == sorted(first)
    assert [number for number, _ in listing.go_on(None)] == list(range(2 * FIRST_READ))
    assert listing.is_whole
