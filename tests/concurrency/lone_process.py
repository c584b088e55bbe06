"""What one process does, found out by running it alone: after each row of answers, what it asks for next.

A process knows nothing of the others but what the storage has answered it, and the clock. So it is run alone, and given
answers: any row of them, once. From then on it is known how it goes on, whoever else there is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from agent_sessions.object_store import Expectation, ListedObject, PreconditionFailedError, StoredObject, Written
from tests.concurrency.greenlets import GreenletMachine, Look, Observed, library_on
from tests.concurrency.interleaving import Process, Task, short
from tests.concurrency.memory_objects import MemoryObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.concurrency.together import Callers, MakeCallers

T = TypeVar("T")

READS_ALONE = ("GET agent.json", "GET history.json", "GET message_")
"""What a thread beside the first reads and hands over as it is."""


class Refused(NamedTuple):
    """The answer to a write that did not find what it expected."""

    key: str
    found: StoredObject | None


class Woken(NamedTuple):
    """The end of a sleep."""


@dataclass(eq=False)
class Request:
    """What a thread asks of the storage.

    Attributes:
        name: For those who read an order.
        what: All that the answer depends on beside the storage: two requests that are equal here are equal.
        work: Asks it of ``objects``.
        objects: Whose storage can be exchanged.
    """

    name: str
    what: object
    work: Callable[[], object]
    objects: LoneObjects

    def ask(self, bodies: dict[str, Any], now: float) -> tuple[object, dict[str, Any]]:
        """The answer of a storage that holds this, and what it holds then."""
        self.objects.bodies = dict(bodies)
        self.objects.machine.now = now
        try:
            answer = self.work()
        except PreconditionFailedError as error:
            answer = Refused(error.key, error.found)
        after, self.objects.bodies = self.objects.bodies, HIDDEN
        return answer, after


class Given(NamedTuple):
    """An answer that a thread was given.

    Attributes:
        thread: Its number.
        answer: What it was told.
        now: What the clock showed then.
    """

    thread: int
    answer: object
    now: float


@dataclass(eq=False)
class Known:
    """A process as it stands after some answers: all of its threads wait for the storage, or have come to their end.

    Attributes:
        given: The answers.
        requests: What each of its threads asks for.
        sleeping: Which object each of its sleeping threads waits for.
        outcome: What is left of it if it ends here, or dies.
        error: What was wrong with it.
        follows: What follows each further answer that was tried, and what is to be looked at meanwhile.
    """

    given: tuple[Given, ...]
    requests: dict[int, Request]
    sleeping: dict[int, str]
    outcome: tuple[str, ...]
    error: BaseException | None
    follows: dict[object, tuple[Known, list[Look]]] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to do."""
        return not self.requests and not self.sleeping


class Hidden:
    """What the storage holds, to a process that has not asked."""

    def _refuse(self, *_: object) -> Any:
        raise AssertionError("a process has looked into the storage without asking")

    __getattr__ = __getitem__ = __iter__ = __contains__ = __len__ = __setitem__ = __delitem__ = _refuse


HIDDEN: Any = Hidden()


class LoneObjects(Observed):
    """A storage that answers nothing by itself."""

    machine: LoneMachine

    def __init__(self, machine: LoneMachine) -> None:
        super().__init__(machine)
        self.looks: list[Look] = []

    def look(self, check: Look) -> None:
        self.looks.append(check)

    def wait_for_change(self, key: str) -> None:
        self.machine.sleep(key)

    def get(self, key: str) -> StoredObject | None:
        request = Request(f"GET {short(key)}", ("get", key), lambda: self.stored(key), self)
        return cast("StoredObject | None", self.machine.ask(request))

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        name = f"PUT {short(key)} {type(expect).__name__}"
        what = ("put", key, body, getattr(expect, "etag", None))
        return cast("Written", self.machine.ask(Request(name, what, lambda: self._put(key, body, expect), self)))

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        def listed() -> tuple[ListedObject, ...]:
            return tuple(MemoryObjects.list(self, prefix, start_after=start_after))

        return iter(self.machine.ask(Request(f"LIST {short(prefix)}", ("list", prefix, start_after), listed, self)))

    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        def listed() -> tuple[str, ...]:
            return tuple(MemoryObjects.list_folders(self, prefix, named=named, start_after=start_after))

        what = ("folders", prefix, named, start_after)
        return iter(self.machine.ask(Request(f"LIST {short(prefix)}", what, listed, self)))

    def delete(self, keys: Iterable[str]) -> None:
        doomed = tuple(keys)
        name = f"DELETE {[short(key) for key in doomed]}"
        self.machine.ask(Request(name, ("delete", doomed), lambda: self._delete(doomed), self))

    def delete_version(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        work = partial(self._delete_version, key, etag)
        return bool(self.machine.ask(Request(f"DELETE {short(key)}", ("delete", key, etag), work, self)))

    def _write(self, name: str, work: Callable[[], T], *, what: object = None) -> T:
        assert what is not None, f"nobody knows whether two of these are the same: {name}"
        return cast("T", self.machine.ask(Request(name, what, work, self)))


class LoneMachine(GreenletMachine):
    """A machine that runs one process, and gives its threads the answers it is told to give."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: dict[int, Request] = {}
        self.sleeping: dict[int, str] = {}
        self._answers: dict[int, object] = {}
        self._seen: dict[Task, str] = {}
        self._shown: dict[Task, str] = {}
        self._saw: dict[Task, list[tuple[int, str]]] = {}

    # --- for the process --------------------------------------------------------------------------------

    def ask(self, request: Request) -> Any:
        """Ask the storage, and wait for the answer.

        Raises:
            PreconditionFailedError: So it was answered.
        """
        task = self._running()
        assert task is not None, f"asked before the process has begun: {request.name}"
        if not task.process.dead:
            self.requests[task.number] = request
        self.pause(request.name)
        answer = self._answers.pop(task.number)
        if isinstance(answer, Refused):
            raise PreconditionFailedError(answer.key, answer.found)
        return answer

    def sleep(self, key: str) -> None:
        """Sleep until somebody wakes it."""
        task = self._running()
        assert task is not None
        if not task.process.dead:
            self.sleeping[task.number] = key
        self.pause("sleep")

    def observe(self, what: object) -> None:
        task = self._running()
        if task is not None:
            self._seen[task] = self._shown[task] = _digest(self._seen.get(task, ""), what)

    # --- for whoever runs it ----------------------------------------------------------------------------

    def give(self, given: Given) -> None:
        """Give a thread its answer, and let it and the others go on to their next requests."""
        (task,) = (task for task in self._tasks if not task.finished and task.number == given.thread)
        self.now = given.now
        if isinstance(given.answer, Woken):
            del self.sleeping[task.number]
        else:
            del self.requests[task.number]
            self._answers[task.number] = given.answer
        self._step(task, given)
        self.settle()

    def _step(self, task: Task, given: Given | None = None) -> None:
        """Let a thread go on.

        It may see at once what the other threads of its process have done and seen. A thread that only reads tells the
        others nothing but what they ask its future, and a future notes what it was asked, or lets nobody go on before
        it is known: so what it has read counts when it is asked for, whenever that was answered. For the same reason
        it does not count whether somebody had to wait, but what the others had done by then.
        """
        others = sorted((other.number, seen) for other, seen in self._shown.items() if other is not task)
        if given is None and task.doing.startswith("wait") and others == self._saw.get(task):
            super()._step(task)
            return
        before = self._seen.get(task, "")
        only_reads = given is not None and task.number > 0 and task.doing.startswith(READS_ALONE)
        self._seen[task] = _digest(before, (task.doing, () if only_reads else others, given))
        if not only_reads:
            self._shown[task], self._saw[task] = self._seen[task], others
        super()._step(task)
        if only_reads and not task.finished:  # it goes on with what it has read
            self._seen[task] = self._shown[task] = _digest(self._seen[task], others)
            self._saw[task] = others

    def seen(self) -> list[tuple[int, str]]:
        """What each thread has seen: it is all that decides how it goes on."""
        return sorted((task.number, seen) for task, seen in self._seen.items())


@dataclass(eq=False)
class Run:
    """A process that runs alone, and has come to where it stands."""

    machine: LoneMachine
    objects: LoneObjects
    callers: Callers
    process: Process


class LoneProcess:
    """One of the processes of a world.

    Args:
        name: Its name.
        make: Makes the callers of a world.
        bodies: What the storage holds at the beginning.
    """

    def __init__(self, name: str, make: MakeCallers, bodies: dict[str, Any]) -> None:
        self.name = name
        self._make = make
        self._bodies = bodies
        self._known: dict[object, Known] = {}
        self.runs = 0
        """How often it was started from its beginning."""
        self._run = self._begin()
        self._at = self.beginning = self._stand(())
        self.looks = list(self._run.objects.looks)

    @property
    def states(self) -> int:
        """How many different ones it has come to."""
        return len(self._known)

    def next(self, known: Known, given: Given, label: object) -> tuple[Known, list[Look]]:
        """How it goes on when it is given one more answer.

        Args:
            known: As it stands.
            given: The answer.
            label: A name for the thread, the answer and the time.
        """
        found = known.follows.get(label)
        if found is None:
            found = known.follows[label] = self._go_on(known, given)
        return found

    def _go_on(self, known: Known, given: Given) -> tuple[Known, list[Look]]:
        """Give it one more answer where it stands, or at the end of another run through those before."""
        if known is not self._at:
            with library_on(self._run.machine):
                self._run.machine.abandon()
            self._run = self._begin()
            for before in known.given:
                self._give(before)
        self._run.objects.looks.clear()
        self._give(given)
        self._at = self._stand((*known.given, given))
        return self._at, list(self._run.objects.looks)

    def _begin(self) -> Run:
        self.runs += 1
        machine = LoneMachine()
        objects = LoneObjects(machine)
        objects.bodies = dict(self._bodies)
        with library_on(machine):
            callers = self._make(machine, objects)
            objects.bodies = HIDDEN
            process = machine.start(self.name, callers.work()[self.name])
            machine.settle()
        return Run(machine, objects, callers, process)

    def _give(self, given: Given) -> None:
        with library_on(self._run.machine):
            self._run.machine.give(given)

    def _stand(self, answers: tuple[Given, ...]) -> Known:
        """Where the process stands after these answers."""
        machine = self._run.machine
        asks = sorted((thread, request.what) for thread, request in machine.requests.items())
        asleep = sorted(machine.sleeping.items())
        running = any(not task.finished for task in machine._tasks)
        assert running is bool(asks or asleep), f"{self.name} waits for itself: {[t.doing for t in machine._tasks]}"
        error, left = self._run.process.error, tuple(map(repr, self._run.callers.outcome()))
        same = (machine.seen() if running else (), asks, asleep, left, error)
        key = hashlib.sha256(repr(same).encode()).digest()
        known = self._known.get(key)
        if known is None:
            known = Known(answers, dict(machine.requests), dict(machine.sleeping), left, error)
            self._known[key] = known
        return known


def _digest(before: str, what: object) -> str:
    return hashlib.sha256(f"{before} {what!r}".encode()).hexdigest()
