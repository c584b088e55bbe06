"""Passes on somebody else's events until it is told to stop, even while none come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable

Item = TypeVar("Item")


class StoppedError(Exception):
    """The events were stopped before their end."""


class StopSignal:
    """Says stop, once, to all who listen."""

    def __init__(self) -> None:
        self.is_set = False
        self._listeners: list[Callable[[], object]] = []

    def set(self) -> None:
        """Say stop."""
        if not self.is_set:
            self.is_set = True
            for tell in list(self._listeners):
                tell()

    def listen(self, tell: Callable[[], object]) -> Callable[[], None]:
        """Call a function when stop is said. Returns what ends the listening."""
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell)


async def stoppable(
    events: AsyncIterable[Item], signal: StopSignal, *, grace_seconds: float = 0
) -> AsyncGenerator[Item]:
    """The events, read in a task of their own: only the task that began a generator may resume it.

    Args:
        events: Somebody else's.
        signal: Says stop.
        grace_seconds: How long after that they may still end by themselves.

    Raises:
        StoppedError: They were stopped.
        Exception: What they raised.
    """
    if signal.is_set and not grace_seconds:
        raise StoppedError  # they need not begin
    arrived: asyncio.Queue[tuple[Item] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def pump() -> None:
        async for event in events:
            arrived.put_nowait((event,))

    pumping = asyncio.ensure_future(pump())
    pumping.add_done_callback(lambda _: arrived.put_nowait(None))
    timers: list[asyncio.TimerHandle] = []

    def stop_soon() -> None:
        timers.append(loop.call_later(grace_seconds, arrived.put_nowait, None))

    # Strands runs some calls of a model on a loop of their own, in another thread.
    unlisten = signal.listen(lambda: loop.call_soon_threadsafe(stop_soon))
    if signal.is_set:
        stop_soon()
    try:
        while (arrival := await arrived.get()) is not None:
            yield arrival[0]
        if not pumping.done():
            raise StoppedError
        pumping.result()
    finally:
        unlisten()
        for timer in timers:
            timer.cancel()
        if not pumping.done():
            pumping.cancel()
            await asyncio.wait({pumping})
