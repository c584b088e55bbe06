"""Erasing a session: closed at once, swept in steps, and never more than what was closed."""

import errno
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from agent_sessions._life import recent_markers
from agent_sessions._life.erasure import SWEEP_SECONDS
from agent_sessions.exceptions import SessionBusyError, SessionNotFoundError, SessionStorageError
from agent_sessions.session_pages import ErasureReport, ErasureStage
from agent_sessions.session_store import FileSessionStore
from tests.bounds.stored import DAY, marker_object, session_objects
from tests.bounds.world import BUCKET, PREFIX, World
from tests.doubles.s3_server import Fault
from tests.files.faults import failing

FOLDER = f"{PREFIX}/session_s/"
WAIT_SECONDS = 60


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Another process."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def slow(world: World) -> World:
    """A store in which a second passes with every listing of versions: once a step."""

    def pass_time(_: object) -> None:
        world.now += 1

    world.s3.faults.add(Fault("call", verb="LIST_VERSIONS", times=None, callback=pass_time))
    return world


def is_gone(world: World, session_id: str = "s") -> bool:
    """Whether nobody reads a session."""
    for read in (world.store.describe, world.store.messages):
        with pytest.raises(SessionNotFoundError):
            read(session_id)
    return session_id not in world.all_sessions(limit=100)


def test_without_a_time_everything_is_erased(world: World) -> None:
    world.put("s", messages=2_500)
    world.put("s1")

    report = world.store.delete_session("s")

    assert report.is_whole
    assert report.erased == 2_500 + 1, "and the mark"
    assert world.keys("s") == []
    assert world.keys("s1") != []
    with pytest.raises(SessionNotFoundError):
        world.store.delete_session("s")


def test_an_erasure_ends_in_its_time_with_what_is_left_and_goes_on_when_it_is_asked_again(slow: World) -> None:
    slow.put("s", messages=4_500)

    left = []
    report = slow.store.delete_session("s", within_seconds=2)
    while not report.is_whole:
        left.append(report)
        assert is_gone(slow)
        report = slow.store.delete_session("s", within_seconds=2)

    assert [(step.erased, step.left) for step in left] == [(2_000, 1_000), (2_000, 501)]
    assert slow.keys("s") == []


def test_without_any_time_an_erasure_still_makes_progress(slow: World) -> None:
    slow.put("s", messages=2_100)

    reports = [slow.store.delete_session("s", within_seconds=0)]
    while not reports[-1].is_whole:
        reports.append(slow.store.delete_session("s", within_seconds=0))

    assert [report.erased for report in reports[:3]] == [1_000, 1_000, 101]
    assert len(reports) <= 4


def marked_for_days(world: World, days: int) -> None:
    """Put a session there that has had markers for so many days, and one for each of them besides."""
    world.put("s", markers_of=["default"])
    for _ in range(days):
        key, body = marker_object("s", world.s3.clock())
        world.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)
        world.s3.clock.advance(DAY)


def markers_left(world: World) -> int:
    return len(world.s3.store.current_objects(BUCKET, f"{PREFIX}/recent/"))


def test_markers_of_very_many_days_are_erased_in_the_erasures_time_and_each_day_is_looked_at_once(
    slow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_markers, "DAYS_AT_ONCE", 10)
    marked_for_days(slow, 25)

    reports: list[ErasureReport] = []
    left: list[int] = []
    while not reports or not reports[-1].is_whole:
        slow.s3.log.take()
        reports.append(slow.store.delete_session("s", within_seconds=0))
        left.append(markers_left(slow))
        assert sum("/recent/" in entry.key for entry in slow.s3.log.entries) <= 10 * 3
        assert is_gone(slow)

    assert left[:3] == [15, 5, 0]
    assert slow.keys("s") == []


def test_a_turn_that_begins_anew_behind_markers_of_very_many_days_says_when_to_come_back(
    slow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_markers, "DAYS_AT_ONCE", 10)
    marked_for_days(slow, 25)
    slow.ttl_days = 1
    slow.s3.clock.advance(2 * DAY)

    left = [markers_left(slow)]
    while left[-1]:
        with pytest.raises(SessionBusyError) if left[-1] > 10 else nullcontext():
            slow.repository().life.find_or_begin("s")
        left.append(markers_left(slow))

    assert left == [25, 15, 5, 0]


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_in_a_bucket_that_keeps_versions_they_are_swept_in_steps_too(slow: World, status: str) -> None:
    slow.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(3):
        slow.put("s", messages=700)
    slow.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})  # type: ignore[typeddict-item] # one of them

    reports = [slow.store.delete_session("s", within_seconds=1)]
    while not reports[-1].is_whole:
        assert is_gone(slow)
        reports.append(slow.store.delete_session("s", within_seconds=1))

    assert len(reports) >= 2
    found = slow.client.list_object_versions(Bucket=BUCKET, Prefix=FOLDER)
    assert found.get("Versions", []) == []
    assert found.get("DeleteMarkers", []) == []


def test_on_disk_an_erasure_goes_on_in_steps(tmp_path: Path) -> None:
    for key, body in session_objects("s", messages=2_100):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(body)
    store = FileSessionStore(tmp_path)

    reports = [store.delete_session("s", within_seconds=0)]
    while not reports[-1].is_whole:
        assert store.sessions().session_ids == ()
        reports.append(store.delete_session("s", within_seconds=0))

    assert sum(report.erased for report in reports) == 2_101
    assert reports[0].left == 1_000
    assert not (tmp_path / "session_s").exists()


def test_a_turn_finishes_a_small_sweep_and_begins_anew(world: World) -> None:
    world.put("s", messages=300)
    mark_only(world, "s")
    assert is_gone(world)

    session = world.store.session_manager("s")

    assert session.session_id == "s"
    assert world.store.describe("s").agents == ()
    assert world.keys("s") == ["session.json"]


def mark_only(world: World, session_id: str) -> None:
    """Close a session, as an erasure leaves it that ended before its first step."""
    world.s3.faults.add(Fault("error", verb="DELETE_OBJECTS", code="SlowDown"))
    with pytest.raises(SessionStorageError):
        world.store.delete_session(session_id)


def test_a_turn_with_too_much_to_sweep_finds_the_session_busy_and_the_next_turn_goes_on(slow: World) -> None:
    steps = int(SWEEP_SECONDS)
    slow.put("s", messages=1_000 * (steps + 2))
    mark_only(slow, "s")
    repository = slow.repository()

    with pytest.raises(SessionBusyError) as busy:
        repository.life.find_or_begin("s")

    assert busy.value.retry_after_seconds >= 1
    assert busy.value.holder is not None
    assert is_gone(slow)
    left = len(slow.keys("s"))
    assert left == 1_000 * 2 + 2
    session, is_new = slow.repository().life.find_or_begin("s")
    assert is_new
    assert session.session_id == "s"
    assert slow.keys("s") == ["session.json"]


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("verb", ["LIST_VERSIONS", "DELETE_OBJECTS"])
@pytest.mark.parametrize("applied", [False, True])
def test_an_erasure_that_wakes_up_late_touches_nothing_of_the_next_life(
    world: World, other: ThreadPoolExecutor, verb: str, nth: int, applied: bool
) -> None:
    # Given: an erasure that hangs in one of its steps
    world.put("s", messages=2_500)
    held = world.s3.faults.add(Fault("hold", verb=verb, nth=nth, applied=applied))
    erasure = other.submit(world.store.delete_session, "s")
    assert held.arrived.wait(WAIT_SECONDS)

    # When: the next life begins, with messages under the same names
    begin_anew(world)
    for key, body in session_objects("s", messages=5, life="another"):
        if not key.endswith("session.json"):
            world.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)
    held.release()
    report = erasure.result(WAIT_SECONDS)

    # Then
    assert report.is_whole
    names = ["agents/agent_default/agent.json", *(f"agents/agent_default/messages/message_{n}.json" for n in range(5))]
    assert world.keys("s") == [*names, "session.json"]


def begin_anew(world: World) -> None:
    """Begin the next life, as often as it takes: an erasure may be at the same mark."""
    repository = world.repository()
    session, is_new = repository.life.find_or_begin("s")
    assert is_new
    assert session.session_id == "s"


@pytest.mark.parametrize(
    ("verb", "key", "stage", "may_be_closed"),
    [
        ("GET", f"{FOLDER}session.json", ErasureStage.OPEN, False),
        ("PUT", f"{FOLDER}session.json", ErasureStage.CLOSING, True),
        ("LIST_VERSIONS", FOLDER, ErasureStage.CLOSED, True),
        ("DELETE_OBJECTS", "*", ErasureStage.CLOSED, True),
    ],
)
def test_an_abandoned_erasure_tells_how_far_it_came_and_sends_nothing_more(
    world: World, other: ThreadPoolExecutor, verb: str, key: str, stage: ErasureStage, may_be_closed: bool
) -> None:
    # Given: a store that does not answer one request
    world.put("s", messages=1_500)
    held = world.s3.faults.add(Fault("hold", verb=verb, key=key))
    erasure = world.store.erasure("s")
    running = other.submit(erasure.run)
    assert held.arrived.wait(WAIT_SECONDS)

    # When: nobody waits any longer, and then the answer comes
    found = erasure.stage
    erasure.abandon()
    world.s3.log.take()
    held.release()
    with pytest.raises(SessionStorageError) as refused:
        running.result(WAIT_SECONDS)

    # Then: it came as far as it said, and sends nothing after the answer
    assert found is stage
    assert refused.value.code == "Abandoned"
    assert sum(world.asked().values()) <= 1
    assert ("s" in world.all_sessions(limit=10)) != may_be_closed
    assert len(world.keys("s")) >= 500


def test_two_that_erase_at_the_same_time_both_come_to_an_end(world: World, other: ThreadPoolExecutor) -> None:
    world.put("s", messages=3_000)
    start = threading.Barrier(2)

    def erase() -> bool:
        start.wait()
        try:
            return world.store.delete_session("s").is_whole
        except SessionNotFoundError:
            return True

    assert all(future.result(WAIT_SECONDS) for future in [other.submit(erase), other.submit(erase)])
    assert world.keys("s") == []


def test_what_a_turn_writes_while_it_is_erased_goes_too(world: World) -> None:
    world.put("s", messages=1_200)
    agent = dict(session_objects("s", messages=1_200))["session_s/agents/agent_default/agent.json"]
    rewritten: list[int] = []

    def rewrite(_: object) -> None:
        if len(rewritten) < 3:
            rewritten.append(1)
            world.s3.store.put(BUCKET, f"{FOLDER}agents/agent_default/agent.json", agent + b" " * len(rewritten))

    world.s3.faults.add(Fault("call", verb="GET", key="*session.json", nth=2, times=None, callback=rewrite))

    assert world.store.delete_session("s").is_whole

    assert len(rewritten) == 3
    assert world.keys("s") == []


def test_a_session_without_its_own_record_is_closed_before_it_is_swept(slow: World) -> None:
    slow.put("s", messages=2_100)
    slow.s3.store.delete(BUCKET, f"{FOLDER}session.json")

    report = slow.store.delete_session("s", within_seconds=0)

    assert not report.is_whole
    _, is_new = slow.repository().life.find_or_begin("s")
    assert is_new, "what is left of an erasure is no session that lost its record"


def test_a_lease_alone_is_no_session_and_is_swept(world: World) -> None:
    world.s3.store.put(BUCKET, f"{FOLDER}lease.json", b"{}")

    with pytest.raises(SessionNotFoundError):
        world.store.delete_session("s")

    assert world.keys("s") == []


def test_what_cannot_be_deleted_is_named_and_the_session_stays_closed(world: World) -> None:
    world.put("s", messages=30)
    kept = f"{FOLDER}agents/agent_default/messages/message_7.json"
    world.s3.faults.add(Fault("key_error", key=kept, times=1, code="AccessDenied"))

    with pytest.raises(SessionStorageError) as refused:
        world.store.delete_session("s", within_seconds=30)

    assert kept in str(refused.value)
    assert is_gone(world)
    assert world.store.delete_session("s", within_seconds=30).is_whole


def test_what_cannot_be_deleted_does_not_keep_the_rest_from_going(world: World) -> None:
    # Given: a session of three steps, in whose first two steps hardly anything can be deleted
    world.put("s", messages=2_500)
    world.s3.faults.add(Fault("key_error", key="*/message_1[0-9][0-9][0-9].json", times=None, code="AccessDenied"))
    kept = [key for key in world.keys("s") if re.search(r"/message_1\d{3}\.json", key)]

    with pytest.raises(SessionStorageError) as refused:
        world.store.delete_session("s")

    assert world.keys("s") == [*kept, "session.json"]
    assert f"{len(kept)} could not be deleted" in str(refused.value)
    assert (refused.value.code, refused.value.is_transient) == ("AccessDenied", False)
    assert is_gone(world)
    world.s3.faults.clear()
    assert world.store.delete_session("s").erased == len(kept)


def test_on_disk_what_cannot_be_deleted_does_not_keep_the_rest_from_going(tmp_path: Path) -> None:
    for key, body in session_objects("s", messages=2_100):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(body)
    messages = tmp_path / "session_s/agents/agent_default/messages"
    stuck = {str(messages / f"message_{number}.json") for number in (0, 5, 1_999)}

    with failing("unlink", errno.EPERM, tmp_path, lambda path, _: path in stuck), pytest.raises(SessionStorageError):
        FileSessionStore(tmp_path).delete_session("s")

    left = {str(path) for path in tmp_path.rglob("*") if path.is_file() and ".locks" not in path.parts}
    assert left == {*stuck, str(tmp_path / "session_s/session.json")}


def test_one_key_with_more_versions_than_a_step_deletes_is_erased(world: World) -> None:
    world.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    world.put("s")
    for number in range(2_100):
        world.s3.store.put(BUCKET, f"{FOLDER}agents/agent_default/agent.json", str(number).encode())

    world.store.delete_session("s")

    found = world.client.list_object_versions(Bucket=BUCKET, Prefix=FOLDER)
    assert found.get("Versions", []) + found.get("DeleteMarkers", []) == []
