"""The processes of a world, run together: along a given order, or wherever somebody chooses at each step.

:mod:`tests.concurrency.every_order` knows from one process at a time what follows each answer, and goes through all
orders with that. Here nothing is known from before: the callers run, all of them, on one storage. It is slower by far,
and what every order is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any, Protocol

from tests.concurrency.greenlets import (
    LEASE_SECONDS,
    WRITES,
    Arrival,
    Choice,
    Death,
    GreenletMachine,
    Observed,
    Step,
    TimePasses,
    library_on,
)

if TYPE_CHECKING:
    from tests.concurrency.interleaving import Process, Task


class Callers(Protocol):
    """What some processes do with one storage, and what became of it."""

    def work(self) -> dict[str, Callable[[], object]]:
        """What each process does, by its name."""

    def outcome(self) -> Sequence[object]:
        """What is left of the processes that have begun: all that :meth:`check` asks of them."""

    def check(self) -> None:
        """See what holds when everybody has come to an end."""


MakeCallers = Callable[[GreenletMachine, Observed], Callers]


class Together(GreenletMachine):
    """The processes of a world on one storage.

    Args:
        make: Makes the callers.
        bodies: What an earlier time has left in the storage.
        deaths: How many processes may die.
        delays: How often time may pass while a process could go on.
    """

    def __init__(self, make: MakeCallers, bodies: dict[str, Any], *, deaths: int = 0, delays: int = 0) -> None:
        super().__init__()
        self.objects = Observed(self)
        self.objects.bodies = dict(bodies)
        self.deaths, self.delays = deaths, delays
        self.taken: list[Choice] = []
        self.processes: dict[str, Process] = {}
        with library_on(self):
            self.callers = make(self, self.objects)
            for name, work in self.callers.work().items():
                self.processes[name] = self.start(name, work)
            self.settle()

    def choices(self) -> list[Choice]:
        """What may come next; nothing when all have come to an end."""
        ready = [task for task in self._tasks if not task.finished and task.ready()]
        asleep = [task for task in self._tasks if not task.finished and task.doing == "sleep"]
        found: list[Choice] = [self._kind(task)(task.process.name, task.number) for task in ready]
        if asleep and (self.delays or not ready):
            found.append(TimePasses())
        for name, process in self.processes.items():
            sending = [task.number for task in ready if task.process is process and task.doing.startswith(WRITES)]
            if self.deaths and sending and not process.dead:
                found.extend(Death(name, late) for late in subsets(sending))
        assert found or not self.is_running(), f"deadlock: {[(task.process.name, task.doing) for task in self._tasks]}"
        return found

    def is_running(self) -> bool:
        """Whether somebody has not come to an end."""
        return any(not task.finished for task in self._tasks)

    def take(self, choice: Choice) -> None:
        """Let something happen, and everybody go on to the next request."""
        self.taken.append(choice)
        with library_on(self):
            if isinstance(choice, TimePasses):
                self.history.append("time passes")
                self.delays = max(0, self.delays - 1)
                self.now += LEASE_SECONDS
                for task in self._tasks:
                    if task.doing == "sleep":
                        task.ready = lambda: True
            elif isinstance(choice, Death):
                self.deaths -= 1
                self.died = True
                self._late = frozenset(choice.late)
                self._kill(self.processes[choice.process])
            else:
                (task,) = (
                    task
                    for task in self._tasks
                    if not task.finished
                    and (task.process.name, task.number) == tuple(choice)
                    and self._kind(task) is type(choice)
                )
                self._step(task)
            self.settle()

    def follow(self, order: Iterable[Choice]) -> None:
        """Go along an order."""
        for choice in order:
            self.take(choice)

    def abandon(self) -> None:
        with library_on(self):
            super().abandon()

    def check(self) -> None:
        """See what holds at the end."""
        with library_on(self):
            for process in self.processes.values():
                assert process.dead or process.error is None, repr(process.error)
            self.callers.check()

    def end(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        """What became of the callers, and what the storage holds."""
        return tuple(sorted(map(repr, self.callers.outcome()))), dict(self.objects.bodies)

    @staticmethod
    def _kind(task: Task) -> type[Step | Arrival]:
        return Arrival if task.doing.startswith("late") else Step


def subsets(threads: Iterable[int]) -> list[tuple[int, ...]]:
    """Every choice of some of these, none and all of them included."""
    all_of_them = sorted(threads)
    return list(chain.from_iterable(combinations(all_of_them, count) for count in range(len(all_of_them) + 1)))
