"""Processes that take turns at single requests to the storage, in an order that a test chooses.

Only one thread runs at a time. Whoever is about to ask the storage something, or waits for another thread of its
process, pauses there, and the scheduler says who goes on. So every order of requests can be tried, and the same seed
gives the same order. A process can be killed at any pause: what it had sent may be lost, take effect, or take effect
much later.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from agent_sessions._records.layout import Layout
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.object_store import Expectation, ListedObject, PreconditionFailedError, StoredObject, Written
from tests.concurrency.memory_objects import MemoryObjects

T = TypeVar("T")

PATIENCE_SECONDS = 120
"""For a thread to come to its next pause, on a machine that is busy with other things."""


class KilledError(BaseException):
    """The process is no more."""


@dataclass(eq=False)
class Process:
    """A process of the simulated machine: what it does, until it ends or is killed."""

    name: str
    dead: bool = False
    mortal: bool = True
    error: BaseException | None = None
    threads: int = 0


@dataclass(eq=False)
class Task:
    """A thread of a process."""

    process: Process
    work: Callable[[], None]
    doing: str = "begin"
    ready: Callable[[], bool] = lambda: True
    go: threading.Event = field(init=False)
    finished: bool = False
    number: int = 0
    """Which thread of its process it is, in the order of their beginning."""


class Machine(Executor):
    """The scheduler. To those that run it is the threads of their process.

    Args:
        seed: Chooses who goes on.
        kills: How likely it is, at each step, that the process that would go on is killed instead.
        lost_answers: How likely it is that a write takes effect and its answer is lost.
    """

    def __init__(self, seed: int, *, kills: float = 0.0, lost_answers: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.now = 1_000_000.0
        self.kills = kills
        self.lost_answers = lost_answers
        self.history: list[str] = []
        self._tasks: list[Task] = []
        self._stopped = threading.Semaphore(0)
        self._local = threading.local()

    # --- for whoever sets the scene ---------------------------------------------------------------------

    def start(self, name: str, work: Callable[[], object]) -> Process:
        process = Process(name)

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                process.error = error

        self._spawn(process, run)
        return process

    def run(self) -> None:
        """Let everybody go on, one at a time, until all have ended."""
        while True:
            self._tasks = [task for task in self._tasks if not task.finished]
            if not self._tasks:
                return
            ready = [task for task in self._tasks if task.ready()]
            assert ready, f"deadlock: {[(task.process.name, task.doing) for task in self._tasks]}"
            task = self.random.choice(ready)
            if self.kills and task.process.mortal and task.doing != "begin" and self.random.random() < self.kills:
                self._kill(task.process)
            else:
                self.now += self.random.choice((0.0, 0.001, 0.2))
                self._step(task)

    def _kill(self, process: Process) -> None:
        self.history.append(f"{process.name} is killed")
        process.dead = True
        for task in [task for task in self._tasks if task.process is process]:
            self._step(task)

    def _step(self, task: Task) -> None:
        self.history.append(f"{task.process.name}: {task.doing}")
        self._let_go_on(task)

    def _spawn(self, process: Process, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                if not process.dead:
                    work()
            except KilledError:
                pass
            finally:
                task.finished = True

        task = Task(process, run, number=process.threads)
        process.threads += 1
        self._tasks.append(task)
        self._begin(task)

    # --- who runs ---------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> None:
        """Have a thread ready to go on."""
        task.go = threading.Event()

        def run() -> None:
            self._local.task = task
            task.go.wait()
            task.go.clear()
            task.work()
            self._stopped.release()

        threading.Thread(target=run, daemon=True).start()

    def _running(self) -> Task | None:
        """The thread that is running; ``None`` outside of the machine's."""
        task: Task | None = getattr(self._local, "task", None)
        return task

    def _let_go_on(self, task: Task) -> None:
        """Let a thread go on to its next pause, or to its end."""
        task.go.set()
        assert self._stopped.acquire(timeout=PATIENCE_SECONDS), self.history

    def _let_others_go_on(self, task: Task) -> None:
        """Pause the thread that is running."""
        self._stopped.release()
        task.go.wait()
        task.go.clear()

    def delivers_late(self) -> bool:
        """Whether the request that a killed process was about to send is under way, and arrives at some time."""
        return self.random.random() < 1 / 3

    def loses_answer(self) -> bool:
        """Whether the answer to a write that took effect is lost."""
        return self.random.random() < self.lost_answers

    # --- for those that run -----------------------------------------------------------------------------

    def pause(self, doing: str, ready: Callable[[], bool] = lambda: True) -> None:
        """Let others go on. Outside of a process of this machine nobody waits.

        Raises:
            KilledError: This process has been killed meanwhile.
        """
        task = self._running()
        if task is None:
            return
        if not task.process.dead:
            task.doing, task.ready = doing, ready
            self._let_others_go_on(task)
        if task.process.dead:
            raise KilledError

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run something on another thread of the same process."""
        future: Future[T] = _Awaited(self)
        task = self._running()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return  # nobody waits for it any more
            try:
                result = work(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - a future carries it
                future.set_exception(error)
            else:
                future.set_result(result)

        if task is None:
            run()
        else:
            self._spawn(task.process, run)
        return future

    def observe(self, what: object) -> None:
        """Note what a thread has seen of another one of its process without waiting for it."""

    def later(self, doing: str, work: Callable[[], None]) -> None:
        """Have something happen by itself, at any time from now on."""
        self._spawn(Process(f"late: {doing}"), work)

    @property
    def condition(self) -> type[Any]:
        """What stands for ``threading.Condition``."""
        machine = self

        class Condition:
            def __enter__(self) -> Self:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def wait_for(self, predicate: Callable[[], bool]) -> None:
                if not predicate():
                    machine.pause("wait for a write", predicate)

            def notify_all(self) -> None:
                pass

        return Condition

    @property
    def event(self) -> type[Any]:
        """What stands for ``threading.Event``. Nobody waits for time to pass: anything may come first anyway."""
        machine = self

        class Event(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                if timeout is None and not self.is_set():
                    machine.pause("wait for an event", self.is_set)
                return self.is_set()

        return Event


class _Awaited(Future[T]):
    """A future that is waited for as the machine has it."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def done(self) -> bool:
        done = super().done()
        self._machine.observe(("done", done))
        return done

    def cancel(self) -> bool:
        cancelled = super().cancel()
        self._machine.observe(("cancelled", cancelled))
        return cancelled

    def result(self, timeout: float | None = None) -> T:
        if not super().done():
            self._machine.pause("wait for a result", super().done)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        if not super().done():
            self._machine.pause("wait for an end", super().done)
        return super().exception(0)


class InterleavedObjects(MemoryObjects):
    """Objects in memory; whoever asks for something waits for its turn first."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(lambda: machine.now)
        self._machine = machine
        self._hints: dict[str, str] = {}

    @property
    def hints(self) -> dict[str, str]:
        return self._hints

    def get(self, key: str) -> StoredObject | None:
        self._machine.pause(f"GET {short(key)}")
        return super().get(key)

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        name = f"PUT {short(key)} {type(expect).__name__}"
        return self._write(name, lambda: self._put(key, body, expect))

    def _put(self, key: str, body: bytes, expect: Expectation) -> Written:
        found = self.stored(key)
        if found is not None and found.body == body:  # sent again after its answer was lost
            return Written(found.etag, found.last_modified)
        return super().put(key, body, expect)

    def delete(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        self._write(f"DELETE {[short(key) for key in doomed]}", lambda: self._delete(doomed))

    def _delete(self, keys: Iterable[str]) -> None:
        super().delete(keys)

    def delete_version(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        return self._write(f"DELETE {short(key)}", lambda: self._delete_version(key, etag))

    def _delete_version(self, key: str, etag: str) -> bool:
        return super().delete_version(key, etag)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        self._machine.pause(f"LIST {short(prefix)}")
        return iter(list(super().list(prefix, start_after=start_after)))

    @property
    def executor(self) -> Executor:
        return self._machine

    def _write(self, name: str, work: Callable[[], T], *, what: object = None) -> T:
        """Wait for one's turn, and write.

        Args:
            name: What is done, for those who read an order.
            work: Does it.
            what: All that its outcome depends on beside the storage.
        """
        try:
            self._machine.pause(name)
        except KilledError:
            # It may have left before the process died, and arrive at any time.
            if self._machine.delivers_late():
                self._machine.later(name, lambda: _ignoring_refusal(work))
            raise
        try:
            done = work()
        finally:
            self._machine.pause(f"answer to {name}")
        if self._machine.loses_answer():
            raise SessionStorageError("applied, and the answer lost", code="ReadTimeoutError")
        return done


class InterleavedPlace:
    """A place with such objects."""

    def __init__(self, machine: Machine) -> None:
        self.objects = InterleavedObjects(machine)
        self.layout = Layout()


def _ignoring_refusal(work: Callable[[], object]) -> None:
    with contextlib.suppress(PreconditionFailedError):
        work()


def short(key: str) -> str:
    """A key as an order names it."""
    return "/".join(key.rstrip("/").split("/")[-1:])
