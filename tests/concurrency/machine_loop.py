"""An event loop for a process of the simulated machine: its clock is the machine's, and its waits are pauses there.

So a turn of the endpoint, with its tasks, its timers and its threads, takes part in every order of requests.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from lambda_src.runtime.escapes import contained_task
from tests.concurrency.interleaving import Machine

T = TypeVar("T")

LONG_SECONDS = 60.0
"""A timer further away than this, such as the end of the function's time, does not come before anything else."""


class _Threads(ThreadPoolExecutor):
    """The loop's threads are the machine's."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(max_workers=1)  # never started
        self._machine = machine

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return self._machine.submit(work, *args, **kwargs)


class _Waits(selectors.SelectSelector):
    """Waits by pausing. When a timer is waited for, the machine's clock goes on to it."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine
        self.unwinds = False  # the work is over: what is left of it is not seen by anybody

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if found or timeout == 0:
            return found
        until = None if timeout is None or timeout > LONG_SECONDS else self._machine.now + timeout
        if not self.unwinds:
            self._machine.pause("wait", lambda: until is not None or bool(super(_Waits, self).select(0)))
        found = super().select(0)
        if not found and until is not None:
            self._machine.now = max(self._machine.now, until)
        return found


class MachineLoop(asyncio.SelectorEventLoop):
    """A loop that runs in one thread of a process.

    Args:
        machine: The machine.
    """

    def __init__(self, machine: Machine) -> None:
        self._waits = _Waits(machine)
        super().__init__(self._waits)
        self._machine = machine
        self.set_default_executor(_Threads(machine))
        self.set_task_factory(contained_task)

    def time(self) -> float:
        return self._machine.now

    def unwind(self) -> None:
        """End what is left, as the end of the process would: its requests are not sent any more."""
        self._waits.unwinds = True
        self.run_until_complete(_cancel(asyncio.all_tasks(self)))
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def run(machine: Machine, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in this thread of the machine, to its end or its process's."""
    loop = MachineLoop(machine)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.unwind()
