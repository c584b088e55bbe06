"""Processes that take turns at single requests, on threads that are cheap to switch between.

What a thread does between two requests to the storage is seen by no other process. So it goes on to its next request at
once, and only the requests, the end of a sleep, a death and the clock are somebody's choice.

Everything that a process draws at random is a function of the process, the thread and how often that thread has drawn:
the same steps write the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from agent_sessions import types
from agent_sessions._objects import ordered_writer, tail_and_base
from agent_sessions._records import background
from agent_sessions.object_store import Erased
from agent_sessions.sweeps import Choose, ListedVersion, Swept, all_but
from tests.concurrency.interleaving import InterleavedObjects, Machine, Process, Task, short

START = 1_000_000.0
LEASE_SECONDS = 32.0
"""How far the clock goes on when time passes: every lease has run out by then."""

REQUESTS = ("GET", "PUT", "DELETE", "LIST")
WRITES = ("PUT", "DELETE")

Look = Callable[[dict[str, Any]], None]
"""Looks at what the storage holds, as nobody of its users could, and says what is wrong with an ``AssertionError``."""


class Step(NamedTuple):
    """A thread's request is answered, or its sleep comes to an end."""

    process: str
    thread: int


class Arrival(NamedTuple):
    """The request of a process that has died arrives."""

    process: str
    thread: int


class Death(NamedTuple):
    """A process dies. Of the writes it was about to send, some are under way and arrive at some time."""

    process: str
    late: tuple[int, ...]


class TimePasses(NamedTuple):
    """Everybody is slower than a lease lasts."""


Choice = Step | Arrival | Death | TimePasses


class Observed(InterleavedObjects):
    """Objects that can be looked at from outside, and whose sleepers wait for one of them to change."""

    machine: GreenletMachine

    def __init__(self, machine: GreenletMachine) -> None:
        super().__init__(machine)
        self.machine = machine

    def look(self, check: Look) -> None:
        """See what the storage holds at this moment. It is no request: the process learns nothing of it."""
        check(self.bodies)

    def wait_for_change(self, key: str) -> None:
        """Sleep until an object is another one, or time passes."""
        before = self.bodies.get(key)
        self.machine.pause("sleep", lambda: self.bodies.get(key) != before)

    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        self.machine.pause(f"LIST {short(prefix)}")
        return iter(list(super().list_folders(prefix, named=named, start_after=start_after)))

    # A sweep deletes with one request what another one has listed, as on S3.

    def sweep(self, prefix: str, choose: Choose, *, still: Callable[[], bool] | None = None, behind: str = "") -> Swept:
        listed, _ = self.list_versions(prefix, behind=behind)
        doomed = choose(listed)
        if not doomed or (still is not None and not still()):
            return Swept(())
        named = " ".join(entry.key.rpartition("/")[2] for entry in doomed)
        work = partial(self._delete_listed, doomed)
        return self._write(f"DELETE {named}", work, what=("sweep", tuple(doomed)))

    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        swept = self.sweep(prefix, all_but(keep), still=still)
        return Erased(len(swept.gone), more=swept.changed)

    def _delete_listed(self, doomed: Sequence[ListedVersion]) -> Swept:
        fates = [(entry, self.stored(entry.key)) for entry in doomed]
        gone = [entry for entry, found in fates if found is not None and found.etag == entry.etag]
        self._delete([entry.key for entry in gone])
        return Swept(gone, changed=any(found is not None and found.etag != entry.etag for entry, found in fates))


class GreenletMachine(Machine):
    """A machine whose threads are greenlets."""

    def __init__(self) -> None:
        super().__init__(0)
        self.now = START
        self.died = False
        """Whether a process has died."""
        self._scheduler = getcurrent()
        self._greenlets: dict[Task, greenlet] = {}
        self._task: Task | None = None
        self._drawn: dict[tuple[str, int], int] = {}
        self._late: frozenset[int] = frozenset()
        self.conditions, self.events = self.condition, self.event
        self.threading = SimpleNamespace(Event=self.events)
        self.datetime = SimpleNamespace(now=lambda zone=None: datetime.fromtimestamp(self.now, zone))

    # --- who runs ---------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> None:
        self._greenlets[task] = greenlet(task.work, parent=self._scheduler)

    def _running(self) -> Task | None:
        return self._task

    def _let_go_on(self, task: Task) -> None:
        self._task = task
        self._greenlets[task].switch()
        self._task = None

    def _let_others_go_on(self, task: Task) -> None:
        self._scheduler.switch()

    def settle(self) -> None:
        """Let everybody go on to the next request, which is not sent yet."""
        while (task := next(self._at_once(), None)) is not None:
            self._step(task)

    def _at_once(self) -> Iterator[Task]:
        self._tasks = [task for task in self._tasks if not task.finished]
        for task in self._tasks:
            if not task.doing.startswith((*REQUESTS, "sleep", "late")) and task.ready():
                yield task

    def abandon(self) -> None:
        """End all threads of a run that nobody needs any more."""
        self._late = frozenset()
        while tasks := [task for task in self._tasks if not task.finished]:
            for task in tasks:
                task.process.dead = True
                self._step(task)

    # --- late writes ------------------------------------------------------------------------------------

    def delivers_late(self) -> bool:
        task = self._running()
        return task is not None and task.number in self._late

    def loses_answer(self) -> bool:
        return False

    def later(self, doing: str, work: Callable[[], None]) -> None:
        sender = self._running()
        assert sender is not None
        self._spawn(Process(sender.process.name, mortal=False), work)
        self._tasks[-1].number = sender.number
        self._tasks[-1].doing = f"late {doing}"

    # --- chance -----------------------------------------------------------------------------------------

    def draw(self) -> uuid.UUID:
        """What stands for ``uuid.uuid4``."""
        task = self._running()
        who = ("", 0) if task is None else (task.process.name, task.number)
        count = self._drawn[who] = self._drawn.get(who, 0) + 1
        return uuid.UUID(bytes=hashlib.sha256(repr((who, count)).encode()).digest()[:16], version=4)


@contextlib.contextmanager
def library_on(machine: GreenletMachine) -> Iterator[None]:
    """Have the session library wait, draw and read the clock as the machine does.

    A base is written after every other turn.
    """
    now: list[tuple[Any, str, Any]] = [
        (tail_and_base, "SMALLEST_BASE_BYTES", 400),
        (tail_and_base, "TAIL_PER_ROOT", 1),
        (ordered_writer, "Condition", machine.conditions),
        (ordered_writer, "Event", machine.events),
        (background, "threading", machine.threading),
        (types, "datetime", machine.datetime),
        (uuid, "uuid4", machine.draw),
    ]
    # It is entered at every step of every process: ``unittest.mock`` takes a third of the time of all orders.
    before = [(where, name, getattr(where, name)) for where, name, _ in now]
    try:
        for where, name, value in now:
            setattr(where, name, value)
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)
