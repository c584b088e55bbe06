"""Running asynchronous work from Lambda's synchronous handler."""

import asyncio
import contextvars
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from lambda_src.runtime.escapes import Contained, ContainedThreads, contained_task

Result = TypeVar("Result")


class AbandonedError(Exception):
    """The work did not end in time. It is still under way, and nobody waits for it."""


def run_to_end(work: Coroutine[Any, Any, Result], *, within_seconds: float = math.inf) -> Result:
    """Run a coroutine on a loop of its own, and do not wait for threads it left behind.

    ``asyncio.run`` joins the executor's threads. One that hangs in a read from a silent model would keep the reply
    back until the function is killed. What hangs the loop itself, such as a storage that does not answer, is not
    waited for either: the loop has a thread of its own.

    Args:
        work: What to run.
        within_seconds: How long to wait for it.

    Raises:
        AbandonedError: It took longer.
        BaseException: What the work raised.
    """
    return within(within_seconds, lambda: _run(work))


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Do something, and wait no longer for it than this.

    Args:
        seconds: How long to wait; not at all when it is 0 or less.
        work: What to do. It goes on, on a thread of its own, when nobody waits any more.

    Raises:
        AbandonedError: It took longer.
        BaseException: What the work raised.
    """
    if seconds == math.inf:
        return work()
    results: list[Result] = []
    raised: list[BaseException] = []

    def keep() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised to whoever waits
            raised.append(error)

    # The context holds the request's log fields and trace.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(keep,), name="turn", daemon=True)
    thread.start()
    thread.join(max(seconds, 0))
    if raised:
        raise raised[0]
    if results:
        return results[0]
    raise AbandonedError(f"not ended after {seconds:.1f} seconds")


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ContainedThreads())
    loop.set_task_factory(contained_task)
    try:
        return _finish(loop, work)
    finally:
        try:
            _finish(loop, _cancel(asyncio.all_tasks(loop)))
            _finish(loop, loop.shutdown_asyncgens())
        finally:
            loop.close()


def _finish(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result]) -> Result:
    """Run a loop until the work is done, even if a callback beside it tries to end the process.

    asyncio lets a callback's ``SystemExit`` and ``KeyboardInterrupt`` through, and stops. The loop is whole all the
    same, and goes on.
    """
    task = loop.create_task(work)
    with Contained():
        while True:
            try:
                return loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt):
                if task.done():
                    raise


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
