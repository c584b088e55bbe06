"""Turns ``SystemExit`` and the like, raised by other people's code, into ordinary errors.

``sys.exit()`` in a tool, a ``CancelledError`` from a model's client, a ``GeneratorExit``, or a group of such: none is
an ``Exception``, so neither Strands nor anybody else catches it. Here each becomes an ordinary error, as near as
possible to the code that raised it. A turn that really is being cancelled stays cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator
    from types import TracebackType

Item = TypeVar("Item")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class EscapedError(Exception):
    """Somebody's code raised something that is no ``Exception``.

    Attributes:
        original_exception: What it raised. Strands' own wrapper names it like this, too.
    """

    def __init__(self, original: BaseException) -> None:
        # The words of what was raised stay out: they may quote a conversation.
        super().__init__(f"it raised {type(original).__name__}")
        self.original_exception = original


def as_ordinary(error: BaseException) -> Exception | None:
    """The ordinary error for what somebody's code raised; ``None`` if that is to be raised as it is."""
    if isinstance(error, Exception):
        return None
    if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
        return None
    return EscapedError(error)


def _is_being_cancelled() -> bool:
    """Whether this task was asked to end. If not, a ``CancelledError`` is somebody's mistake."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return False
    return task is not None and task.cancelling() > 0


class Contained:
    """A ``with`` block around somebody else's code. Only ordinary errors leave it."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Raise the ordinary error instead."""
        if error is not None and (ordinary := as_ordinary(error)):
            raise ordinary from None
        return False


async def contained(events: AsyncIterable[Item]) -> AsyncIterator[Item]:
    """The events of somebody else's generator. If it fails, it fails with an ordinary error."""
    source = aiter(events)
    try:
        while True:
            with Contained():
                try:
                    event = await anext(source)
                except StopAsyncIteration:
                    return
            yield event
    finally:
        # If the reader stops early, the source ends now, and not when the collector finds it.
        close = getattr(source, "aclose", None)
        if close is not None:
            with Contained():
                await close()


def contained_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """A loop's task factory: none of its tasks ends with anything but an ``Exception``.

    asyncio stops the whole loop for a task's ``SystemExit``. It hands a ``GeneratorExit`` to the coroutine that waits,
    as if that one were being closed.
    """
    return asyncio.Task(_ContainedWork(work) if asyncio.iscoroutine(work) else work, loop=loop, **options)


class _ContainedWork(Coroutine[Any, Any, Any]):
    """Like the coroutine inside, but ends only in a result, a cancellation or an ordinary error.

    An ``async def`` around it would not do: if that one never began, the one inside would never be awaited.
    """

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work

    def send(self, value: Any) -> Any:
        """Go on with it."""
        return self._step(self._work.send, value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error."""
        return self._step(self._work.throw, *error)

    def close(self) -> None:
        """End it."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for its end."""
        return self._work.__await__()

    def __getattr__(self, name: str) -> Any:
        """Any other attribute of the coroutine, such as its name."""
        return getattr(self._work, name)

    @staticmethod
    def _step(step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return step(*arguments)
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - raised again as an ordinary one
            raise EscapedError(error) from None


class ContainedThreads(ThreadPoolExecutor):
    """The threads in which Strands runs synchronous tools. What a tool raises there is an ordinary error here.

    A ``StopIteration`` cannot be handed to a waiting coroutine: before Python 3.12 that one would wait for ever.
    """

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Have a function called in one of the threads."""

        def call() -> Any:
            with Contained():
                try:
                    return fn(*args, **kwargs)
                except StopIteration as error:
                    raise EscapedError(error) from None

        return super().submit(call)
