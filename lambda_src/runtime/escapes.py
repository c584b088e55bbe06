"""What would end a process, a task or a generator, and is raised where somebody else's code merely failed.

``sys.exit()`` in a tool, a ``CancelledError`` that a model's client brings along, a ``GeneratorExit`` or a group of
such: none is an ``Exception``, so neither Strands nor anybody else catches it on its way. Here each becomes an ordinary
error, as near as possible to the code that raised it. A turn that really is being cancelled stays cancelled.
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
    """Somebody's code raised what is no ``Exception``.

    Attributes:
        original_exception: What it raised. Strands' own wrapper names it like this, too.
    """

    def __init__(self, original: BaseException) -> None:
        # The words of what was raised stay out: they may quote a conversation.
        super().__init__(f"it raised {type(original).__name__}")
        self.original_exception = original


def as_ordinary(error: BaseException) -> Exception | None:
    """The ordinary error that stands for what somebody's code raised; ``None`` when it goes on as it is."""
    if isinstance(error, Exception):
        return None
    if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
        return None
    return EscapedError(error)


def _is_being_cancelled() -> bool:
    """Whether somebody has asked for this task's end. Without that, a ``CancelledError`` is somebody's mistake."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return False
    return task is not None and task.cancelling() > 0


class Contained:
    """A ``with`` block around somebody else's code, out of which come ordinary errors only."""

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
    """The events of somebody else's generator, which ends in an ordinary error if it does not end well."""
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
        # Whoever stops listening early ends the source now, and not when the collector finds it.
        close = getattr(source, "aclose", None)
        if close is not None:
            with Contained():
                await close()


def contained_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a loop's tasks such that none ends with what is no ``Exception``; a loop's task factory.

    asyncio stops the whole loop for a task's ``SystemExit``, and hands a ``GeneratorExit`` to whoever waits as if
    that one were being closed.
    """
    return asyncio.Task(_ContainedWork(work) if asyncio.iscoroutine(work) else work, loop=loop, **options)


class _ContainedWork(Coroutine[Any, Any, Any]):
    """A coroutine in all respects but one: it ends in a result, a cancellation or an ordinary error.

    Not another coroutine around it: one that never began would leave this one behind, never awaited.
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
        """Wait for it."""
        return self._work.__await__()

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked of a coroutine, such as its name."""
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
    """The threads in which Strands runs synchronous tools; what a tool raises there is an ordinary error here.

    A ``StopIteration`` cannot be handed to a waiting coroutine at all: before Python 3.12 it would wait for ever.
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
