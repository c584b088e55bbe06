"""What a lease promises, without sockets: time stands still until a test moves it."""

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions.exceptions import (
    InvalidIdentifierError,
    SessionBusyError,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import FileSessionStore, SessionStore
from tests.concurrency.memory_objects import MemoryPlace

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE = "session_chat/lease.json"


class World:
    """The storage's clock and everybody's own, all of which run alike."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.place = MemoryPlace(lambda: self.now)
        self.slept: list[float] = []
        self.meanwhile: list[Callable[[], object]] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def lease(self, holder: str = "a", **options: Any) -> SessionLease:
        given = {"renew_seconds": None, "clock": lambda: self.now, "sleep": self.sleep} | options
        return SessionLease(self.place, "chat", holder=holder, **given)


@pytest.fixture
def world() -> World:
    return World()


def test_the_second_caller_is_told_who_holds_the_session_and_when_to_come_back(world: World) -> None:
    world.lease("nightly report").acquire()
    world.now += 10

    with pytest.raises(SessionBusyError) as refused:
        world.lease("b").acquire()

    assert refused.value.holder == "nightly report"
    assert refused.value.session_id == "chat"
    assert refused.value.retry_after_seconds == pytest.approx(21)
    assert "nightly report" in str(refused.value)


def test_a_lease_whose_renewal_was_applied_unseen_is_given_back_all_the_same(world: World) -> None:
    lease = world.lease()
    lease.acquire()
    world.place.objects.failing = -1  # applied, and the answer lost
    assert lease.renew()

    lease.release()

    assert world.place.objects.bodies == {}


def test_nothing_is_left_of_a_lease_that_was_given_back(world: World) -> None:
    with world.lease():
        assert LEASE in world.place.objects.bodies

    assert world.place.objects.bodies == {}
    world.lease("b").acquire()


def test_the_record_says_who_holds_it_for_how_long_and_nothing_of_the_conversation(world: World) -> None:
    world.lease("worker 7", duration_seconds=12).acquire()

    record = json.loads(world.place.objects.bodies[LEASE][0])

    assert record.keys() == {"format", "lease_id", "holder", "duration_seconds", "nonce"}
    assert (record["format"], record["holder"], record["duration_seconds"]) == (1, "worker 7", 12)


def test_waiting_ends_when_the_lease_is_given_back(world: World) -> None:
    first = world.lease("a")
    first.acquire()
    world.meanwhile = [lambda: None, lambda: None, first.release]

    second = world.lease("b")
    second.acquire(wait_seconds=5)

    assert second.held
    assert not second.found_unfinished
    assert sum(world.slept) < 5


@pytest.mark.parametrize("wait_seconds", [0.0, 0.05, 3.0])
def test_waiting_never_exceeds_its_limit(world: World, wait_seconds: float) -> None:
    world.lease("a").acquire()
    began = world.now

    with pytest.raises(SessionBusyError):
        world.lease("b").acquire(wait_seconds=wait_seconds)

    assert world.now - began == pytest.approx(wait_seconds)


def test_a_dead_holders_lease_is_taken_over_once_it_has_run_out(world: World) -> None:
    dead = world.lease("dead")
    dead.acquire()
    world.now += 30.9
    with pytest.raises(SessionBusyError):
        world.lease("b").acquire()
    world.now += 0.2

    heir = world.lease("b")
    heir.acquire()

    assert heir.held
    assert heir.found_unfinished
    assert heir.took_over
    assert dead.lost
    assert not dead.held


def test_a_renewed_lease_is_not_taken_over(world: World) -> None:
    holder = world.lease("a")
    holder.acquire()
    for _ in range(10):
        world.now += 25
        assert holder.renew()
    world.now += 25

    with pytest.raises(SessionBusyError):
        world.lease("b").acquire()
    assert holder.held


def test_a_paused_holder_learns_at_its_renewal_that_it_has_lost(world: World) -> None:
    paused = world.lease("paused", clock=lambda: 0)  # its clock stood still while it was paused
    paused.acquire()
    world.now += 40
    world.lease("b").acquire()

    assert not paused.renew()
    assert paused.lost
    paused.release()
    assert json.loads(world.place.objects.bodies[LEASE][0])["holder"] == "b"


def test_a_renewal_whose_answer_was_lost_does_not_cost_the_lease(world: World) -> None:
    holder = world.lease("a")
    holder.acquire()
    world.now += 10
    world.place.objects.failing = -1

    assert holder.renew()  # the storage failed: nothing is known, and its time is not over
    world.now += 10
    assert holder.renew()  # finds its own earlier renewal
    assert holder.held


def test_a_lease_that_cannot_be_renewed_is_lost_when_its_time_is_over(world: World) -> None:
    holder = world.lease("a")
    holder.acquire()
    world.now += 29
    world.place.objects.failing = 100
    assert holder.renew()
    world.now += 2

    assert holder.lost
    assert not holder.renew()


def test_work_left_unfinished_is_noted_and_the_session_is_free_at_once(world: World) -> None:
    first = world.lease("a")
    first.acquire()
    first.release(whole=False)

    second = world.lease("b")
    second.acquire()

    assert second.found_unfinished
    assert not second.took_over
    second.release()
    third = world.lease("c")
    third.acquire()
    assert not third.found_unfinished


def test_a_storage_failure_inside_the_block_leaves_the_note(world: World) -> None:
    with pytest.raises(SessionStorageError), world.lease("a"):
        raise SessionStorageError("S3 failed", code="SlowDown")

    second = world.lease("b")
    second.acquire()
    assert second.found_unfinished


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[]", b'{"duration_seconds": true}', b'{"duration_seconds": 1e300, "format": 9}']
)
def test_a_lease_that_cannot_be_understood_runs_out_all_the_same(world: World, content: bytes) -> None:
    world.place.objects.bodies[LEASE] = (content, world.place.objects._now())
    with pytest.raises(SessionBusyError):
        world.lease().acquire()
    world.now += 902

    world.lease().acquire()


@pytest.mark.parametrize(
    "options", [{"duration_seconds": 0}, {"duration_seconds": 901}, {"renew_seconds": 30}, {"renew_seconds": 0}]
)
def test_impossible_terms_are_refused(world: World, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="seconds="):
        world.lease(**options)


def test_an_id_that_cannot_be_a_sessions_is_refused() -> None:
    with pytest.raises(InvalidIdentifierError):
        SessionLease(MemoryPlace(lambda: 0), "../other", holder="a")


def test_a_thread_renews_while_it_is_held_and_is_gone_afterwards(world: World) -> None:
    before = threading.active_count()
    holder = SessionLease(
        world.place, "chat", holder="a", duration_seconds=30, renew_seconds=0.01, clock=lambda: world.now
    )
    holder.acquire()
    first = world.place.objects.bodies[LEASE][0]

    deadline = threading.Event()
    while world.place.objects.bodies[LEASE][0] == first:
        assert not deadline.wait(0.005)
    assert holder.held
    holder.release()

    assert threading.active_count() == before
    assert world.place.objects.bodies == {}


def test_a_holder_is_called_when_somebody_else_has_taken_over(world: World) -> None:
    called = threading.Event()
    holder = SessionLease(
        world.place, "chat", holder="a", renew_seconds=0.01, on_lost=called.set, clock=lambda: world.now
    )
    holder.acquire()
    world.place.objects.bodies[LEASE] = (b'{"holder": "b", "duration_seconds": 30}', world.place.objects._now())

    assert called.wait(10)
    assert holder.lost
    holder.release()
    assert json.loads(world.place.objects.bodies[LEASE][0])["holder"] == "b"


# --- on disk ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder_store(tmp_path: Path) -> SessionStore:
    return FileSessionStore(tmp_path / "sessions")


def test_on_disk_a_lock_keeps_the_second_out(folder_store: SessionStore) -> None:
    with SessionLease(folder_store, "chat", holder="first"):
        with pytest.raises(SessionBusyError) as refused:
            SessionLease(folder_store, "chat", holder="second").acquire()
        assert refused.value.holder == "first"
        SessionLease(folder_store, "another", holder="second").acquire()

    with SessionLease(folder_store, "chat", holder="second") as second:
        assert not second.found_unfinished


def test_on_disk_nothing_is_left_of_a_lease_on_a_session_that_never_was(
    folder_store: SessionStore, tmp_path: Path
) -> None:
    with SessionLease(folder_store, "chat", holder="a"):
        assert folder_store.sessions().session_ids == ()

    assert not (tmp_path / "sessions" / "session_chat").exists()


def test_on_disk_a_lease_needs_no_thread_and_no_renewal(folder_store: SessionStore) -> None:
    before = threading.active_count()
    now = [0.0]
    with SessionLease(folder_store, "chat", holder="a", clock=lambda: now[0]) as lease:
        assert threading.active_count() == before
        now[0] += 1000
        assert lease.held


# --- together with sessions -----------------------------------------------------------------------------------


def test_a_lease_makes_no_session_and_does_not_change_the_one_that_begins_under_it(folder_store: SessionStore) -> None:
    with SessionLease(folder_store, "chat", holder="a") as lease:
        with pytest.raises(SessionNotFoundError):
            folder_store.describe("chat")
        folder_store.session_manager("chat")
        assert lease.renew()
        assert folder_store.describe("chat").agents == ()

    assert folder_store.sessions().session_ids == ("chat",)


def test_erasing_the_session_ends_the_lease(folder_store: SessionStore, tmp_path: Path) -> None:
    lease = SessionLease(folder_store, "chat", holder="a")
    lease.acquire()
    folder_store.session_manager("chat")

    folder_store.delete_session("chat")

    assert not lease.renew()
    lease.release()
    assert not (tmp_path / "sessions" / "session_chat").exists()


def test_a_lock_that_an_erasure_has_ended_is_lost(tmp_path: Path) -> None:
    store = FileSessionStore(tmp_path)
    store.session_manager("chat")
    lease = SessionLease(store, "chat", holder="a")
    lease.acquire()
    assert not lease.lost

    store.delete_session("chat")

    assert (lease.lost, lease.held) == (True, False)
    other = SessionLease(store, "chat", holder="b")
    other.acquire()
    assert other.held
    other.release()
    lease.release()
