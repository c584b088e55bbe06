"""Every order of the storage requests of several processes, with at most so many deaths at every point.

:mod:`tests.concurrency.interleaving` draws orders by a seed; here all of them are taken. Two beginnings of a run that
lead to the same state are one: what each process has seen so far, what it is about to do, and who wrote what the
storage holds. A process knows nothing else, so it goes on in the same way from there, and one of them is enough.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from agent_sessions.object_store import Expectation, ListedObject, PreconditionFailedError, StoredObject, Written
from tests.concurrency.interleaving import InterleavedObjects, Machine, Process, Task
from tests.concurrency.memory_objects import etag as _etag

LEASE_SECONDS = 32.0
"""How far the clock goes on when time passes: every lease has run out by then."""


_TOKEN = re.compile(rb"\b(?:[0-9a-f]{64}|[0-9a-f]{32})\b")
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-9.]+(?:\+00:00|Z)")
REQUESTS = ("GET", "PUT", "DELETE", "LIST", "late")


class SeenBeforeError(Exception):
    """The run has reached a state from which everything has been tried."""


@dataclass(frozen=True)
class Step:
    """One task goes on."""

    task: Task


@dataclass(frozen=True)
class Death:
    """A process dies. Of the writes it was about to send, some are under way and arrive at some time."""

    process: Process
    late: frozenset[str]


@dataclass(frozen=True)
class TimePasses:
    """Everybody is slower than a lease lasts."""


Choice = Step | Death | TimePasses


class Untried(NamedTuple):
    """A beginning of a run from which nothing has been tried.

    Attributes:
        plan: Which of the choices is taken at each step.
        share: How much of everything follows it, if all that follows each choice were equally much.
    """

    plan: list[int]
    share: float


@dataclass
class Orders:
    """The orders that have been tried, and those that have not.

    Attributes:
        runs: How often the callers were started from the beginning.
        states: Different states they came through.
        ends: Different states in which all had come to an end.
        deaths: Runs in which a process died.
    """

    runs: int = 0
    states: int = 0
    ends: int = 0
    deaths: int = 0
    seen: set[bytes] = field(default_factory=set)
    untried: list[Untried] = field(default_factory=lambda: [Untried([], 1.0)])

    @property
    def share_tried(self) -> float:
        """How much of everything has been tried, from 0 to 1, if all that follows each choice were equally much."""
        return 1 - sum(untried.share for untried in self.untried)


class ChosenMachine(Machine):
    """A machine that follows a plan, and behind its end takes what comes first and notes what else there was.

    Args:
        plan: The beginning to follow.
        orders: What has been tried.
        deaths: How many processes may die.
        delays: How often time may pass while a process waits to go on.
        alike: Whether the processes do the same: then the first of them may as well be the first that asks.
    """

    def __init__(self, plan: Untried, orders: Orders, *, deaths: int = 0, delays: int = 0, alike: bool = False) -> None:
        super().__init__(0)
        self._plan, self._share = plan
        self._scheduler = getcurrent()
        self._threads: dict[Task, greenlet] = {}
        self._task: Task | None = None
        self._orders = orders
        self._deaths = deaths
        self._delays = delays
        self.taken: list[int] = []
        self._late: frozenset[str] = frozenset()
        self._known: dict[Task, str] = {}
        self._beside: set[Task] = set()
        self.storage: Callable[[], object] = lambda: ()
        self.outcome: Callable[[], object] = lambda: ()
        """What is left of the processes that have ended: what a test will ask of them."""
        self.died = False
        self.ended = False
        self.is_new_end = False
        self._asked = False
        self._latest: Process | None = None
        self._might_have_died: set[Process] = set()  # since their last step
        self._alike = alike

    # --- who runs: threads that take turns are cheaper when there is one ---------------------------------

    def _begin(self, task: Task) -> None:
        self._threads[task] = greenlet(task.work, parent=self._scheduler)

    def _running(self) -> Task | None:
        return self._task

    def _let_go_on(self, task: Task) -> None:
        self._task = task
        self._threads[task].switch()
        self._task = None

    def _let_others_go_on(self, task: Task) -> None:
        self._scheduler.switch()

    # --- what a process knows ---------------------------------------------------------------------------

    def observe(self, what: object) -> None:
        """Note what a thread has seen: with what it knew before, it is all that decides how it goes on."""
        task = self._running()
        if task is not None:
            self._known[task] = _digest(self._known.get(task, ""), what)

    def known(self) -> str:
        """What the thread which is running has seen, as a digest."""
        task = self._running()
        return "" if task is None else _digest(task.process.name, self._known.get(task))

    def _note_step(self, task: Task) -> None:
        """Note that a thread goes on.

        What a read beside the first thread has found shows when somebody waits for it. What the other threads have
        done may show at once.
        """
        others = None
        if _reads_beside(task):
            self._beside.add(task)
        elif task.doing != "begin":
            self._beside.discard(task)
            waited = task.doing.startswith("wait")
            others = sorted(
                (other.number, seen)
                for other, seen in self._known.items()
                if other.process is task.process and (other not in self._beside or (waited and other.finished))
            )
        self._known[task] = _digest(self._known.get(task, ""), (task.doing, others))

    def _state(self) -> bytes:
        going_on = {task.process for task in self._tasks if not _reads_beside(task)}
        seen = sorted(
            (task.process.name, task.number, digest) for task, digest in self._known.items() if task.process in going_on
        )
        doing = sorted(
            (task.process.name, task.process.dead, task.number, task.doing, task.ready()) for task in self._tasks
        )
        whole = repr((seen, doing, self.outcome(), self.storage(), self.now, self._deaths, self._delays))
        return hashlib.sha256(whole.encode()).digest()

    # --- who goes on ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everybody go on along the plan and then in one untried order.

        Raises:
            SeenBeforeError: From here on, everything has been tried.
        """
        self._orders.runs += 1
        while True:
            self._tasks = [task for task in self._tasks if not task.finished]
            if not self._tasks:
                break
            choices = list(self._choices())
            self._take(choices[self._chosen(len(choices))])
        self.ended = True
        self._orders.deaths += self.died
        self.is_new_end = self._remember()
        if not self.is_new_end:
            raise SeenBeforeError
        self._orders.ends += 1

    def _remember(self) -> bool:
        state = self._state()
        if state in self._orders.seen:
            return False
        self._orders.seen.add(state)
        return True

    def _chosen(self, count: int) -> int:
        step = len(self.taken)
        if step < len(self._plan):
            chosen = self._plan[step]
        else:
            if count > 1 and not self._remember():
                self._abandon()
                raise SeenBeforeError
            self._orders.states += count > 1
            self._share /= count
            self._orders.untried.extend(Untried([*self.taken, other], self._share) for other in range(1, count))
            chosen = 0
        self.taken.append(chosen)
        return chosen

    def _choices(self) -> Iterator[Choice]:
        ready = [task for task in self._tasks if task.ready()]
        asleep = [task for task in self._tasks if task.doing == "sleep"]
        assert ready or asleep, f"deadlock: {[(task.process.name, task.doing) for task in self._tasks]}"
        unseen = [task for task in ready if self._is_seen_by_nobody(task)]
        if unseen:  # what it does until its next request is seen by nobody else
            yield Step(unseen[0])
            return
        # Behind the end of a plan whoever has gone on goes on: a part of all orders has those with few changes then.
        ready.sort(key=lambda task: task.process is not self._latest)
        if self._alike and not self._asked:
            ready = [task for task in ready if task.process is ready[0].process]
        yield from (Step(task) for task in ready if self._matters_now(task, ready))
        if asleep and (self._delays or not ready):
            yield TimePasses()
        if not self._deaths:
            return
        mortal = {task.process.name: task.process for task in self._tasks if task.process.mortal}
        for process in mortal.values():
            # What others do between its last step and its death they may as well do behind it: nobody sees it die.
            if process in self._might_have_died:
                continue
            self._might_have_died.add(process)
            doing = [task.doing for task in self._tasks if task.process is process]
            sending = sorted(what for what in doing if what.startswith(("PUT", "DELETE")))
            # Elsewhere a death shows nothing that one at the write before, or at the next one, does not show.
            for which in product((False, True), repeat=len(sending)) if sending else ():
                late = frozenset(what for what, is_late in zip(sending, which, strict=True) if is_late)
                yield Death(process, late)

    def _is_seen_by_nobody(self, task: Task) -> bool:
        """Whether a thread does nothing in the storage next, or reads for a process that is at its end."""
        if _reads_beside(task):
            return not any(other.number == 0 and other.process is task.process for other in self._tasks)
        return not task.doing.startswith(REQUESTS) and task.doing != "sleep"

    def _matters_now(self, task: Task, ready: list[Task]) -> bool:
        """Whether it makes a difference that a thread goes on before another one does.

        When a read beside the first thread is answered does not matter until somebody writes what it reads, or until
        its process has nothing else to do. (No thread of the library asks whether such a read has come to its end.)
        """
        if not _reads_beside(task):
            return True
        key = task.doing.removeprefix("GET ")
        others = [other for other in ready if other.process is task.process and not _reads_beside(other)]
        return not others or any(key in other.doing and not other.doing.startswith("GET") for other in ready)

    def _take(self, choice: Choice) -> None:
        if isinstance(choice, Step):
            self._asked = self._asked or choice.task.doing.startswith(REQUESTS)
            self._latest = choice.task.process
            self._might_have_died.discard(choice.task.process)
            self._note_step(choice.task)
            self._step(choice.task)
        elif isinstance(choice, Death):
            self._deaths -= 1
            self._late = choice.late
            self.died = True
            self._kill(choice.process)
        else:
            self.history.append("time passes")
            self._delays = max(0, self._delays - 1)
            self.now += LEASE_SECONDS
            for task in [task for task in self._tasks if task.doing == "sleep"]:
                task.ready = lambda: True

    def delivers_late(self) -> bool:
        task = self._running()
        return task is not None and task.doing in self._late

    def loses_answer(self) -> bool:
        return False

    def later(self, doing: str, work: Callable[[], None]) -> None:
        self._spawn(Process(f"late: {doing}, {self.known()}", mortal=False), work)

    def _abandon(self) -> None:
        """End all threads of a run that nobody needs any more."""
        self._late = frozenset()
        while tasks := [task for task in self._tasks if not task.finished]:
            for task in tasks:
                task.process.dead = True
                self._step(task)


class ObservedObjects(InterleavedObjects):
    """Objects that tell the machine which version of them each process sees.

    A version is named by its key, how many were written there before, and what it holds. Random names and times in it
    count by where they first appeared: runs that differ in nothing else go on alike.
    """

    def __init__(self, machine: ChosenMachine) -> None:
        super().__init__(machine)
        self._chosen = machine
        self.versions: dict[str, str] = {}
        self._written: dict[str, int] = {}
        self._names: dict[bytes, bytes] = {}
        machine.storage = lambda: sorted(self.versions.items())

    def begin_with(self, bodies: dict[str, Any]) -> None:
        """Hold what an earlier time has left."""
        for key, (body, at) in bodies.items():
            self.bodies[key] = (body, at)
            self._name_version(key, body)

    def _name_version(self, key: str, body: bytes) -> None:
        count = self._written[key] = self._written.get(key, 0) + 1
        found: list[bytes] = []

        def name(token: re.Match[bytes]) -> bytes:
            found.append(token[0])
            return self._names.setdefault(token[0], f"{key} {count} {len(found)}".encode())

        known = _TOKEN.sub(name, _TIME.sub(b"", body))
        self._names[_etag(body).encode()] = f"{key} {count}".encode()
        self.versions[key] = _digest(f"{key} {count} {self.clock()}", known)

    def get(self, key: str) -> StoredObject | None:
        found = super().get(key)
        self._chosen.observe(("get", key, self.versions.get(key)))
        return found

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        found = list(super().list(prefix, start_after=start_after))
        self._chosen.observe(("list", [self.versions[listed.key] for listed in found]))
        return iter(found)

    def _put(self, key: str, body: bytes, expect: Expectation) -> Written:
        before = self.stored(key)
        try:
            written = super()._put(key, body, expect)
        except PreconditionFailedError:
            self._chosen.observe(("refused", self.versions.get(key)))
            raise
        if before is None or before.body != body:
            self._name_version(key, body)
        self._chosen.observe(("written", self.versions[key]))
        return written

    def _delete(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        super()._delete(doomed)
        self._chosen.observe(("deleted", doomed))
        for key in doomed:
            self.versions.pop(key, None)

    def _delete_version(self, key: str, etag: str) -> bool:
        deleted = super()._delete_version(key, etag)
        self._chosen.observe(("deleted", key, deleted, self.versions.get(key)))
        if deleted:
            self.versions.pop(key, None)
        return deleted


def _reads_beside(task: Task) -> bool:
    """Whether a thread beside the first reads a copy or a record. Who looks for a message may write it next."""
    return task.number > 0 and task.doing.startswith("GET") and not task.doing.startswith("GET message_")


def _digest(before: str, what: object) -> str:
    return hashlib.sha256(f"{before} {what!r}".encode()).hexdigest()
