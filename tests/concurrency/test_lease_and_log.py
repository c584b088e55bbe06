"""Lease and log together, step by step in any order: holders pause, clocks are wrong, processes die, storage fails.

The reference model knows which turns were acknowledged. The storage's clock is the only one that is right.
"""

import contextlib
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions.exceptions import SessionBusyError, SessionConflictError, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.types import Session, SessionAgent, SessionMessage, SessionType
from tests.concurrency.memory_objects import MemoryPlace


class Caller:
    """A caller: its lease, its clock, and what it knows of the log."""

    def __init__(self, number: int, world: "LeaseAndLog", offset: float, speed: float) -> None:
        self.number = number
        self.world = world
        self.offset, self.speed = offset, speed
        self.lease = SessionLease(
            world.place,
            "chat",
            holder=f"caller {number}",
            renew_seconds=None,
            clock=lambda: self.offset + world.now * self.speed,
            sleep=lambda _: None,
        )
        self.repository = ObjectSessionRepository(world.place.objects, world.place.layout)
        self.next_id = 0
        self.turn: list[tuple[int, str]] = []
        self.stopped = False

    @property
    def right(self) -> bool:
        """Whether its clock runs as fast as the storage's. What it shows does not matter."""
        return self.speed == 1.0

    def restore(self) -> None:
        self.turn = []
        self.next_id = len(self.repository.list_messages("chat", "default"))


class LeaseAndLog(RuleBasedStateMachine):
    holders: Bundle[Caller] = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.25
        self.place = MemoryPlace(lambda: self.now)
        repository = ObjectSessionRepository(self.place.objects, self.place.layout)
        repository.create_session(Session("chat", SessionType.AGENT))
        repository.create_agent("chat", SessionAgent("default", {}, {}))
        self.callers: list[Caller] = []
        self.acknowledged: list[list[tuple[int, str]]] = []
        self.serial = 0

    @rule(
        target=holders,
        offset=st.floats(-1e6, 1e6),
        speed=st.sampled_from([1.0, 1.0, 1.0, 0.5, 3.0]),
        waiting=st.floats(0, 3),
    )
    def come(self, offset: float, speed: float, waiting: float) -> Any:
        """Somebody asks for the lease."""
        caller = Caller(len(self.callers), self, offset, speed)
        before = self.place.objects.get("session_chat/lease.json")
        self.place.objects.failing = 0
        refusal: SessionBusyError | None = None
        try:
            caller.lease.acquire()
        except SessionBusyError as busy:
            refusal = busy
        if refusal is None:
            caller.restore()
            self.callers.append(caller)
            return caller
        assert before is not None
        assert f'"{refusal.holder}"' in before.body.decode()
        # Who comes back when it was told to finds it free, unless it was renewed meanwhile.
        age = (before.read_at - before.last_modified).total_seconds()
        assert 0 < refusal.retry_after_seconds == 31 - age
        self.now += waiting
        caller.stopped = True
        return caller

    @rule(seconds=st.sampled_from([0.25, 0.5, 9.75, 15.0, 29.25, 29.5, 30.0, 30.75, 31.0]) | st.floats(0.1, 45))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(holder=holders)
    def renew(self, holder: Caller) -> None:
        if holder.stopped:
            return
        renewed = holder.lease.renew()
        assert renewed or holder.lease.lost

    @rule(holder=holders, failing=st.sampled_from([1, -1]))
    def renew_while_the_storage_fails(self, holder: Caller, failing: int) -> None:
        if holder.stopped:
            return
        self.place.objects.failing = failing
        holder.lease.renew()
        self.place.objects.failing = 0

    @rule(holder=holders)
    def write(self, holder: Caller) -> None:
        """A holder stores its turn's next message, however long it was paused before."""
        if holder.stopped:
            return
        self.serial += 1
        text = f"{holder.number}/{len(holder.turn)}/{self.serial}"
        message = SessionMessage.from_message({"role": "user", "content": [{"text": text}]}, holder.next_id)
        try:
            holder.repository.create_message("chat", "default", message)
        except SessionConflictError:
            holder.stopped = True  # it says so to its caller, and writes nothing more
            return
        holder.turn.append((holder.next_id, text))
        holder.next_id += 1

    @rule(holder=consumes(holders))
    def finish(self, holder: Caller) -> None:
        """A holder ends its turn and gives the lease back."""
        if not holder.stopped and holder.turn:
            self.acknowledged.append(holder.turn)
        holder.stopped = True
        holder.lease.release()

    @rule(holder=consumes(holders), failing=st.sampled_from([1, -1]))
    def finish_while_the_storage_fails(self, holder: Caller, failing: int) -> None:
        if holder.stopped:
            return
        self.place.objects.failing = failing
        message = SessionMessage.from_message({"role": "user", "content": [{"text": "last"}]}, holder.next_id)
        with contextlib.suppress(SessionStorageError, SessionConflictError):
            holder.repository.create_message("chat", "default", message)
        self.place.objects.failing = 0
        holder.stopped = True
        holder.lease.release(whole=False)

    @rule(holder=consumes(holders))
    def die(self, holder: Caller) -> None:
        holder.stopped = True
        holder.lease._held = False  # as if its process had never been

    @invariant()
    def no_two_believe_that_they_hold_it(self) -> None:
        believing = [caller for caller in self.callers if not caller.stopped and caller.lease.held and caller.right]
        assert len(believing) <= 1

    @invariant()
    def every_acknowledged_turn_is_whole_in_the_log(self) -> None:
        repository = ObjectSessionRepository(self.place.objects, self.place.layout)
        stored = repository.list_messages("chat", "default")
        assert [record.message_id for record in stored] == list(range(len(stored)))
        texts = [record.message["content"][0]["text"] for record in stored]
        for turn in self.acknowledged:
            first = turn[0][0]
            assert texts[first : first + len(turn)] == [text for _, text in turn]

    def teardown(self) -> None:
        # A lease never keeps a session for good.
        self.now += 32
        last = Caller(999, self, 0, 1.0)
        last.lease.acquire()
        last.lease.release()
        assert "session_chat/lease.json" not in self.place.objects.bodies


TestLeaseAndLog = LeaseAndLog.TestCase
TestLeaseAndLog.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
