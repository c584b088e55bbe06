"""When a session was used last: what turns write counts, whatever else lies there does not."""

from datetime import UTC, datetime

import pytest

from agent_sessions._life import last_use as module
from agent_sessions._life.last_use import find_last_use, last_use
from agent_sessions._records.layout import Layout
from agent_sessions.object_store import Absent
from tests.concurrency.memory_objects import MemoryObjects

LAYOUT = Layout()
FOLDER = LAYOUT.session_folder("chat")


class Bucket(MemoryObjects):
    """Objects that are written at a time the test says, and how many were listed."""

    def __init__(self) -> None:
        self.now = 1_000_000
        super().__init__(lambda: self.now)

    def write(self, key: str, at: int) -> None:
        self.now = at
        self.put(key, b"{}", Absent())


def moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def written() -> Bucket:
    bucket = Bucket()
    bucket.write(LAYOUT.session("chat"), 1_000)
    bucket.write(LAYOUT.agent("chat", "default"), 3_000)
    bucket.write(LAYOUT.message("chat", "default", 0), 2_000)
    bucket.write(LAYOUT.lease("chat"), 8_000)
    bucket.write(f"{FOLDER}somebody-elses.txt", 9_000)
    return bucket


def test_the_latest_object_of_a_turn_counts_and_neither_the_lease_nor_what_others_keep_there() -> None:
    bucket = written()

    assert last_use(FOLDER, bucket.list(FOLDER)) == moment(3_000)
    assert find_last_use(bucket, LAYOUT, "chat") == moment(3_000)


def test_a_session_that_no_turn_has_written_to_was_never_used() -> None:
    bucket = Bucket()
    bucket.write(LAYOUT.session("chat"), 1_000)

    assert find_last_use(bucket, LAYOUT, "chat") is None


def test_a_time_that_is_late_enough_ends_the_search() -> None:
    bucket = written()

    found = find_last_use(bucket, LAYOUT, "chat", is_enough=lambda at: at >= moment(2_000))

    assert found is not None
    assert found >= moment(2_000)


def test_an_object_that_the_caller_has_just_written_can_be_left_out() -> None:
    assert find_last_use(written(), LAYOUT, "chat", but=LAYOUT.agent("chat", "default")) == moment(2_000)


def test_of_a_session_longer_than_is_listed_the_records_and_last_messages_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LISTED", 3)
    bucket = Bucket()
    bucket.write(LAYOUT.session("chat"), 1_000)
    bucket.write(LAYOUT.agent("chat", "default"), 1_000)
    for number in range(40):
        bucket.write(LAYOUT.message("chat", "default", number), 2_000 + number)

    assert find_last_use(bucket, LAYOUT, "chat") == moment(2_039)
