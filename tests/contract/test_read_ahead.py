"""What a restore needs is asked for while the lease is being taken: when the answers count, and who finds out."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from strands import Agent
from strands.hooks import BeforeToolCallEvent
from strands.types.session import Session as StrandsSession
from strands.types.session import SessionType as StrandsSessionType

from agent_sessions._objects.read_ahead import ReadAhead
from agent_sessions.exceptions import SessionConflictError, SessionCorruptError, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent, Erased, StoredObject
from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.session_store import ObjectSessionStore
from agent_sessions.types import Session, SessionType
from tests.contract.agents import add
from tests.contract.dict_repository import DictRepository
from tests.contract.test_interrupts import answers
from tests.doubles.held_objects import PATIENCE_SECONDS, THREADS, HeldObjects
from tests.doubles.scripted_model import ScriptedModel, tool_use


class ReadObjects(HeldObjects):
    """Notes what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self.erases = True

    def forget_reads(self) -> None:
        """Forget them once nothing that was asked for earlier is on its way any more."""
        all_idle = threading.Barrier(THREADS)
        for idle in [self.executor.submit(all_idle.wait) for _ in range(THREADS)]:
            idle.result()
        self.read.clear()

    def get(self, key: str) -> StoredObject | None:
        self.read.append(key.rpartition("/")[2])
        return super().get(key)

    def erase_some(self, prefix: str, **options: Any) -> Erased:
        if self.erases:
            return super().erase_some(prefix, **options)
        raise SessionStorageError("unreachable", code="Test")


class World:
    """A session with one turn in it."""

    def __init__(self, ttl_days: float | None = None) -> None:
        self.objects = ReadObjects()
        self.store = ObjectSessionStore(self.objects, ttl_days=ttl_days)

    def lease(self) -> SessionLease:
        return SessionLease(self.store, "s", holder="test", renew_seconds=None)

    def read_ahead(self, agent_id: str | None = None) -> ReadAhead:
        ahead = self.store.read_ahead("s", agent_id)
        assert ahead is not None
        for asked in ahead._asked.values():
            asked.result()
        return ahead

    def manager(self, **options: Any) -> RepositorySessionManager:
        return self.store.session_manager("s", durability="turn", **options)

    def agent(self, *script: Any, manager: Any = None, **options: Any) -> Agent:
        return Agent(
            model=ScriptedModel(*script),
            session_manager=manager or self.manager(),
            tools=[add],
            callback_handler=None,
            **options,
        )

    def stored(self) -> list[str]:
        return [block["text"] for message in self.agent().messages for block in message["content"] if "text" in block]


@pytest.fixture
def world() -> World:
    world = World()
    world.agent("reply 0")("prompt 0")
    return world


def test_if_the_lease_was_free_nothing_is_read_twice(world: World) -> None:
    world.objects.forget_reads()
    ahead = world.read_ahead()
    with world.lease() as lease:
        agent = world.agent("reply 1", manager=world.manager(lease=lease, read_ahead=ahead))
        agent("prompt 1")
        read = Counter(world.objects.read)

    assert [read[name] for name in ("session.json", "agent.json", "history.json")] == [1, 1, 1]
    assert world.stored() == ["prompt 0", "reply 0", "prompt 1", "reply 1"]


def test_behind_another_holder_everything_is_read_again(world: World) -> None:
    other = world.lease()
    other.acquire()
    ahead = world.read_ahead()

    def end_turn(_: float) -> None:
        world.agent("reply 1", manager=world.manager(lease=other))("prompt 1")
        other.release()

    lease = SessionLease(world.store, "s", holder="test", wait_seconds=5, renew_seconds=None, sleep=end_turn)
    lease._clock = iter(range(100)).__next__
    with lease:
        agent = world.agent(manager=world.manager(lease=lease, read_ahead=ahead))

    assert len(agent.messages) == 4


def test_after_a_holder_that_died_everything_is_read_again(world: World) -> None:
    died = world.lease()
    died.acquire()
    died.release(whole=False)
    ahead = world.read_ahead()
    world.objects.forget_reads()
    with world.lease() as lease:
        world.objects.forget_reads()
        world.manager(lease=lease, read_ahead=ahead)

    assert "session.json" in world.objects.read


@pytest.mark.parametrize("fence", ["model", "effects"])
def test_a_turn_that_ended_between_the_two_requests_refuses_this_ones_first_message(world: World, fence: str) -> None:
    ahead = world.read_ahead()
    with world.lease() as other:
        world.agent("reply 1", manager=world.manager(lease=other))("prompt 1")

    with world.lease() as lease:
        late = world.agent("too late", manager=world.manager(lease=lease, read_ahead=ahead, fence=fence))
        with pytest.raises(SessionConflictError):
            late("prompt 2")
        world.agent("reply 2", manager=world.manager(lease=lease, read_ahead=ahead))("prompt 2")

    assert world.stored() == ["prompt 0", "reply 0", "prompt 1", "reply 1", "prompt 2", "reply 2"]


def test_a_turn_that_ended_in_between_is_not_taken_for_one_that_was_cut_off(world: World) -> None:
    ahead = world.read_ahead()
    world.agent("reply 1")("prompt 1")

    with world.lease() as lease:
        manager = world.manager(lease=lease, read_ahead=ahead)
        agent = world.agent(manager=manager)
        with pytest.raises(SessionConflictError, match="ended while the lease was being taken"):
            manager.catch_up(agent)


def test_a_turn_that_was_cut_off_is_gone_on_behind(world: World) -> None:
    key = next(key for key in world.objects.bodies if key.endswith("agent.json"))
    record = world.objects.bodies[key]
    with pytest.raises(RuntimeError):
        world.agent([RuntimeError("the process died")])("prompt 1")
    world.objects.bodies[key] = record
    ahead = world.read_ahead()

    with world.lease() as lease:
        world.agent("reply 2", manager=world.manager(lease=lease, read_ahead=ahead))("prompt 2")

    assert world.stored() == ["prompt 0", "reply 0", "prompt 1", "prompt 2", "reply 2"]


def test_what_an_agent_waits_for_is_read_again(world: World) -> None:
    def ask(event: BeforeToolCallEvent) -> None:
        event.interrupt("may I?")

    asking = world.agent(tool_use("add", a=1, b=2))
    asking.hooks.add_callback(BeforeToolCallEvent, ask)
    asked = asking("1+2?")
    ahead = world.read_ahead()
    answering = world.agent("3.")
    answering(answers(asked, "yes"))

    with world.lease() as lease:
        agent = world.agent(manager=world.manager(lease=lease, read_ahead=ahead))

    assert not agent._interrupt_state.activated
    assert len(agent.messages) == len(answering.messages)


@pytest.mark.parametrize("fence", ["model", "effects"])
@pytest.mark.parametrize("erased", ["the session", "everything"])
def test_nothing_is_written_to_a_session_that_was_erased_in_between(world: World, erased: str, fence: str) -> None:
    ahead = world.read_ahead()
    if erased == "the session":
        world.store.delete_session("s")
    else:
        world.store.erase_all()

    with world.lease() as lease:
        late = world.agent("too late", manager=world.manager(lease=lease, read_ahead=ahead, fence=fence))
        with pytest.raises(SessionConflictError, match="is not as it was while its lease was being taken"):
            late("prompt 1")

    assert isinstance(late.model, ScriptedModel)
    assert fence == "effects" or late.model.requests == []
    assert not any(message["role"] == "assistant" for message in late.messages[2:])
    assert [key for key in world.objects.bodies if not key.endswith(("lease.json", "erasure.json"))] == []


def test_a_session_that_is_being_erased_is_not_gone_on_with(world: World) -> None:
    ahead = world.read_ahead()
    world.objects.erases = False
    with pytest.raises(SessionStorageError):
        world.store.delete_session("s")

    with world.lease() as lease:
        manager = world.manager(lease=lease, read_ahead=ahead)
        agent = world.agent("too late", manager=manager)
        with pytest.raises(SessionConflictError, match="is not as it was while its lease was being taken"):
            manager.catch_up(agent)
        with pytest.raises(SessionConflictError, match="is not as it was while its lease was being taken"):
            agent("prompt 1")


def test_without_the_lease_or_for_another_session_it_is_refused(world: World) -> None:
    with world.lease() as lease:
        with pytest.raises(ValueError, match="read_ahead"):
            world.manager(read_ahead=world.read_ahead())
        with pytest.raises(ValueError, match="read_ahead"):
            world.store.session_manager("other", lease=lease, read_ahead=world.read_ahead())


def test_the_agent_that_is_named_is_the_one_that_is_read(world: World) -> None:
    world.agent("reply 1", agent_id="second")("prompt 1")
    world.objects.hints["agent_id"] = "default"
    world.objects.forget_reads()
    ahead = world.read_ahead("second")
    with world.lease() as lease:
        agent = world.agent(agent_id="second", manager=world.manager(lease=lease, read_ahead=ahead))

    assert len(agent.messages) == 2
    assert world.objects.read.count("agent.json") == 1


def test_when_the_lease_is_not_had_nothing_more_is_asked_for(world: World) -> None:
    world.objects.forget_reads()
    had = threading.Event()
    for _ in range(THREADS):
        world.objects.executor.submit(had.wait)
    ahead = world.store.read_ahead("s")
    assert ahead is not None

    ahead.close()
    had.set()
    world.objects.executor.submit(int).result()

    assert world.objects.read == []


@pytest.mark.parametrize("before", ["nothing", "an erased session", "an expired one"])
def test_a_session_that_does_not_live_waits_for_the_lease(before: str) -> None:
    world = World(ttl_days=1)
    if before != "nothing":
        world.agent("reply 0")("prompt 0")
    if before == "an erased session":
        world.store.delete_session("s")
    elif before == "an expired one":
        now = world.objects.clock
        world.objects.clock = lambda: now() + 100 * 86400
    ahead = world.read_ahead()

    with world.lease() as lease:
        agent = world.agent("reply 1", manager=world.manager(lease=lease, read_ahead=ahead))
        assert agent.messages == []
        agent("prompt 1")

    assert world.stored() == ["prompt 1", "reply 1"]


def test_a_session_that_was_erased_and_begun_anew_in_between_is_not_mixed_with_what_was_read(world: World) -> None:
    ahead = world.read_ahead()
    world.store.delete_session("s")
    world.agent("another reply")("another prompt")

    with world.lease() as lease:
        late = world.agent("too late", manager=world.manager(lease=lease, read_ahead=ahead))
        with pytest.raises(SessionConflictError):
            late("prompt 1")

    assert world.stored() == ["another prompt", "another reply"]


def test_a_session_whose_agent_strands_has_written_since_is_read_under_the_lease(world: World) -> None:
    (key,) = [key for key in world.objects.bodies if key.endswith("agent.json")]
    body = json.loads(world.objects.bodies[key][0])
    del body["kit"]
    world.objects.delete([key])
    world.objects.put(key, json.dumps(body).encode(), Absent())
    ahead = world.read_ahead()

    with world.lease() as lease:
        world.agent("reply 1", manager=world.manager(lease=lease, read_ahead=ahead))("prompt 1")

    assert world.stored() == ["prompt 0", "reply 0", "prompt 1", "reply 1"]


def test_a_session_that_has_lost_its_record_is_found_when_it_is_read_again(world: World) -> None:
    world.objects.delete([key for key in world.objects.bodies if key.endswith("session.json")])
    ahead = world.read_ahead()

    with world.lease() as lease:
        late = world.agent("too late", manager=world.manager(lease=lease, read_ahead=ahead))
        with pytest.raises(SessionConflictError, match="is not as it was while its lease was being taken"):
            late("prompt 1")
        world.agent("reply 1", manager=world.manager(lease=lease))("prompt 1")

    assert world.stored() == ["prompt 0", "reply 0", "prompt 1", "reply 1"]


def test_the_session_is_had_when_it_has_been_read(world: World) -> None:
    ahead = world.read_ahead()
    with world.lease() as lease:
        assert world.manager(lease=lease, read_ahead=ahead).session.session_id == "s"

    ahead = world.read_ahead()
    world.store.delete_session("s")
    with world.lease() as lease:
        manager = world.manager(lease=lease, read_ahead=ahead)
        with pytest.raises(SessionConflictError, match="is not as it was while its lease was being taken"):
            _ = manager.session


def test_the_last_turn_keeps_a_session_that_is_read_ahead_from_expiring() -> None:
    world = World(ttl_days=1)
    world.agent("reply 0")("prompt 0")
    now = world.objects.clock
    world.objects.clock = lambda: now() + 0.9 * 86400
    world.agent("reply 1")("prompt 1")
    world.objects.clock = lambda: now() + 1.8 * 86400  # the session's record is too old, the agent's is not
    ahead = world.read_ahead()

    with world.lease() as lease:
        world.agent("reply 2", manager=world.manager(lease=lease, read_ahead=ahead))("prompt 2")

    assert world.stored() == ["prompt 0", "reply 0", "prompt 1", "reply 1", "prompt 2", "reply 2"]


@contextmanager
def session_record_late(world: World) -> Iterator[threading.Event]:
    """Reads of the session's record wait for the event that this gives; it is set at the end of the block."""
    read, may_read = world.objects.get, threading.Event()

    def get(key: str) -> StoredObject | None:
        if key.endswith("session.json"):
            assert may_read.wait(PATIENCE_SECONDS)
        return read(key)

    world.objects.get = get  # type: ignore[method-assign]
    try:
        yield may_read
    finally:
        may_read.set()
        world.objects.get = read  # type: ignore[method-assign]


def rewrite(world: World, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record as it is stored."""
    (key,) = [key for key in world.objects.bodies if key.endswith(name)]
    body, at = world.objects.bodies[key]
    content = json.loads(body)
    change(content)
    world.objects.bodies[key] = (json.dumps(content).encode(), at)


def test_a_record_that_needs_a_second_look_keeps_no_thread_of_the_store_waiting() -> None:
    world = World(ttl_days=30)
    world.agent("reply 0")("prompt 0")
    world.agent("hello", agent_id="second")("hi")
    ago = [datetime.fromtimestamp(world.objects.clock() - days * 86_400, UTC).isoformat() for days in (60, 40)]
    rewrite(world, "session.json", lambda record: record["kit"].update(renewed_at=ago[0], used_until=ago[1]))
    world.objects._threads = ThreadPoolExecutor(1)
    ahead = world.read_ahead("default")

    with world.lease() as lease:
        late = world.agent("too late", manager=world.manager(lease=lease, read_ahead=ahead))
        with pytest.raises(SessionConflictError, match="is not as it was while its lease was being taken"):
            late("prompt 1")


def test_a_damaged_session_record_is_said_and_kept(world: World) -> None:
    (key,) = [key for key in world.objects.bodies if key.endswith("session.json")]
    world.objects.bodies[key] = (b"not json", world.objects.bodies[key][1])
    before = dict(world.objects.bodies)
    ahead = world.read_ahead()

    with world.lease() as lease:
        late = world.agent("too late", manager=world.manager(lease=lease, read_ahead=ahead, fence="effects"))
        with pytest.raises(SessionCorruptError, match=r"session\.json"):
            late("prompt 1")

    assert world.objects.bodies == before


def test_a_storage_that_fails_under_the_lease_leaves_everything_as_it_was(world: World) -> None:
    ahead, before = world.read_ahead(), dict(world.objects.bodies)
    with session_record_late(world) as may_read, world.lease() as lease:
        world.objects.get = _unreachable  # type: ignore[method-assign]
        may_read.set()
        late = world.agent("too late", manager=world.manager(lease=lease, read_ahead=ahead, fence="effects"))
        with pytest.raises(SessionStorageError, match="unreachable"):
            late("prompt 1")

    assert world.objects.bodies == before


def _unreachable(key: str) -> StoredObject | None:
    raise SessionStorageError("unreachable", code="Test", key=key)


def test_nothing_is_removed_either_before_the_session_is_known_to_live(world: World) -> None:
    for number in range(12):
        world.agent("r" * 3000)(f"{number} {'p' * 3000}")
    ahead = world.read_ahead()
    with world.lease() as lease, session_record_late(world) as may_read:
        manager = world.manager(lease=lease, read_ahead=ahead)
        world.agent(manager=manager)
        before = dict(world.objects.bodies)
        with ThreadPoolExecutor(1) as threads:
            redacted = threads.submit(manager._journal.rewrite, "default", 0, lambda record: record, redacts=True)
            with pytest.raises(TimeoutError):
                redacted.result(0.3)
            assert world.objects.bodies == before
            may_read.set()
            redacted.result()


def test_what_is_asked_of_another_session_waits_for_nothing(world: World) -> None:
    world.store.session_manager("other")
    ahead = world.read_ahead()
    world.store.delete_session("s")

    with world.lease() as lease:
        repository: Any = world.manager(lease=lease, read_ahead=ahead).session_repository

        assert repository.read_session("other").session_id == "other"
        assert repository.life.record("other") is not None
        with pytest.raises(SessionConflictError):
            repository.life.record("s")


def test_a_second_agent_is_restored_under_the_lease(world: World) -> None:
    world.agent("reply 1", agent_id="second")("prompt 1")
    ahead = world.read_ahead("default")
    with world.lease() as lease:
        manager = world.manager(lease=lease, read_ahead=ahead)
        first, second = (world.agent("fine", manager=manager, agent_id=name) for name in ("default", "second"))
        second("and?")
        first("and?")

    assert [len(agent.messages) for agent in (first, second)] == [4, 4]


def test_the_session_of_a_manager_can_be_set_as_that_of_strands_can(world: World) -> None:
    manager, other = world.manager(), Session(session_id="s", session_type=SessionType.AGENT)
    manager.session = other

    assert manager.session is other


def test_the_session_may_be_one_of_strands_own() -> None:
    class StrandsOwn(DictRepository):
        def read_session(self, session_id: str, **kwargs: Any) -> Any:
            return StrandsSession(session_id=session_id, session_type=StrandsSessionType.AGENT)

    assert isinstance(RepositorySessionManager("s", StrandsOwn()).session, StrandsSession)
