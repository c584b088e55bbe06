"""A long session in memory, used under a clock that is set: what its turns renew, and what that costs in S3.

The sessions, the renewal and the store's threads are the real ones; only the objects are in memory and their bodies are
empty, so that sessions of a hundred thousand messages can live for months in a test.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from agent_sessions._life import key_listing
from agent_sessions._life.renewal import WORKERS
from agent_sessions._life.session_life import SessionLife
from agent_sessions._life.upkeep import Upkeep
from agent_sessions._records.layout import Layout, lasts_with_session
from agent_sessions._records.records import Records
from agent_sessions.exceptions import SessionNotFoundError, SessionStorageError
from agent_sessions.expiry import lifecycle_days, removable_at
from agent_sessions.object_store import Expectation, ListedObject, StoredObject, Written
from agent_sessions.types import Session, SessionType
from tests.concurrency.memory_objects import MemoryObjects
from tests.doubles.s3_server import S3_LATENCY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

DAY = 86_400.0
BEGIN = datetime(2026, 3, 1, 15, 30, tzinfo=UTC).timestamp()
SESSION_ID = "long"


@dataclass
class Cost:
    """Requests by verb."""

    gets: int = 0
    puts: int = 0
    lists: int = 0

    @property
    def seconds(self) -> float:
        """How long they take at S3's latencies: what is read and written by several at once, the rest one by one."""
        at_once = self.gets * S3_LATENCY["GET"] + self.puts * S3_LATENCY["PUT"]
        return at_once / WORKERS + self.lists * S3_LATENCY["LIST"]


@dataclass
class Turn:
    """A turn's renewal.

    Attributes:
        day: When, in days since the session began.
        cost: What it asked the store for.
        failed: Whether the turn did not succeed for it.
        oldest_days: The age of the session's oldest object after it.
    """

    day: float
    cost: Cost
    failed: bool
    oldest_days: float


class CountedObjects(MemoryObjects):
    """Objects in memory with the times of S3, its pages, and threads that wait for it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.cost = Cost()
        self.writes_left: int | None = None
        """How many writes the process has left before its storage is lost to it; ``None`` for any number."""
        self.names: list[str] = []
        self._lock = threading.Lock()
        self.pool = ThreadPoolExecutor(WORKERS + 2)

    @property
    def removes_by_age(self) -> bool:
        return True

    def write(self, key: str, body: bytes = b"{}") -> None:
        """Write an object as a turn does, at no cost here."""
        is_new = key not in self.bodies
        self.bodies[key] = (body, self._now())
        if is_new:
            insort(self.names, key)

    def get(self, key: str) -> StoredObject | None:
        with self._lock:
            self.cost.gets += 1
            self._refuse_when_lost(key)
        return super().get(key)

    def _refuse_when_lost(self, key: str) -> None:
        if self.writes_left is not None and self.writes_left <= 0:
            raise SessionStorageError("the process has lost its storage", code="EndpointConnectionError", key=key)

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        with self._lock:
            self.cost.puts += 1
            self._refuse_when_lost(key)
            if self.writes_left is not None:
                self.writes_left -= 1
        is_new = key not in self.bodies
        written = super().put(key, body, expect)
        if is_new:
            insort(self.names, key)
        return written

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        last, shown = max(start_after, prefix), 0
        # Looked for anew each time, for turns write meanwhile.
        while (number := bisect_right(self.names, last)) < len(self.names):
            last = self.names[number]
            if not last.startswith(prefix):
                return
            self.cost.lists += shown % key_listing.PAGE == 0
            shown += 1
            body, at = self.bodies[last]
            yield ListedObject(last, "listed", at, len(body))

    @property
    def executor(self) -> ThreadPoolExecutor:
        return self.pool


@dataclass
class LongSession:
    """A session of many messages.

    Attributes:
        messages: How many there are at the beginning.
        ttl_days: What its users are configured with.
        turn_seconds: How long a turn may take.
        by_strands: Whether Strands' manager has kept it so far.
    """

    messages: int
    ttl_days: float
    turn_seconds: float = 110.0
    by_strands: bool = False
    now: float = BEGIN
    turns: list[Turn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objects = CountedObjects(lambda: self.now)
        self.layout = Layout()
        self.next_id = 0
        records = Records(self.objects, self.layout)
        SessionLife(records, self.layout, ttl_days=self.ttl_days).begin(Session(SESSION_ID, SessionType.AGENT))
        if self.by_strands:
            record = b'{"session_id": "long", "session_type": "AGENT", "created_at": "2026-03-01T15:30:00+00:00"}'
            self.objects.write(self.layout.session(SESSION_ID), record)
        self.objects.write(self.layout.agent(SESSION_ID, "default"))
        for _ in range(self.messages):
            self._say()

    def _say(self) -> None:
        self.objects.write(self.layout.message(SESSION_ID, "default", self.next_id))
        self.next_id += 1

    def use(self, after_days: float = 0.0, *, writes: int | None = None, seconds: float | None = None) -> Turn:
        """Take a turn.

        Args:
            after_days: How long after the one before.
            writes: After how many writes of its renewal the process is lost.
            seconds: How long this turn may take.
        """
        self.now += round(after_days * DAY)
        objects = self.objects
        records = Records(objects, self.layout)
        life = SessionLife(records, self.layout, ttl_days=self.ttl_days)
        life.find_or_begin(SESSION_ID)
        used_before = objects.bodies[self.layout.agent(SESSION_ID, "default")][1]
        cost = objects.cost = Cost()
        upkeep = Upkeep(
            records,
            self.layout,
            life,
            SESSION_ID,
            time_left=lambda: (self.turn_seconds if seconds is None else seconds) - cost.seconds,
            clock=lambda: cost.seconds,
        )
        upkeep.note_earlier_use(used_before)
        objects.writes_left, failed = writes, False
        try:
            upkeep.before_writing()
            self._say()
            upkeep.note_use(datetime.fromtimestamp(self.now, UTC))
            upkeep.start()
            self._say()
            objects.write(self.layout.agent(SESSION_ID, "default"), b'{"kit": {"incarnation": "this kit"}}')
            upkeep.finish()
        except SessionStorageError:
            failed = True
        objects.writes_left = None
        self.turns.append(Turn((self.now - BEGIN) / DAY, cost, failed, self.oldest_days))
        return self.turns[-1]

    @property
    def oldest_days(self) -> float:
        """The age of the oldest object that has to last as long as the session."""
        folder = self.layout.session_folder(SESSION_ID)
        lasting = (at for key, (_, at) in self.objects.bodies.items() if lasts_with_session(key[len(folder) :]))
        return (self.now - min(lasting).timestamp()) / DAY

    def run_rule(self) -> int:
        """Let the lifecycle rule run, and return how many objects it would remove."""
        days = lifecycle_days(self.ttl_days)
        now = datetime.fromtimestamp(self.now, UTC)
        return sum(days is not None and removable_at(at, days) <= now for _, at in self.objects.bodies.values())

    def is_there(self) -> bool:
        """Whether a reader finds it."""
        life = SessionLife(Records(self.objects, self.layout), self.layout, ttl_days=self.ttl_days)
        try:
            return life.find(SESSION_ID) is not None
        except SessionNotFoundError:
            return False

    def close(self) -> None:
        """Let the threads go."""
        self.objects.pool.shutdown()
