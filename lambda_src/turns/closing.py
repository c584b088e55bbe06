"""Closes what an agent's tools have opened for its turn: connections to MCP servers, say."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands import Agent

CLOSE_SECONDS = 2.0
"""How long a reply waits for that. Afterwards it goes on by itself."""


_TAKES_LONG: Final = "an agent's tools take long to close"


async def close_tools(agent: Agent) -> None:
    """Close an agent's tool providers. Strands would leave that to the garbage collector.

    Args:
        agent: Whose turn is over. Whatever its providers raise is logged.
    """
    loop = asyncio.get_running_loop()
    closed = loop.create_future()

    def told() -> None:
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(closed.set_result, None)

    _begin_to_close(agent.cleanup, told)
    await asyncio.wait({closed}, timeout=CLOSE_SECONDS)
    if not closed.done():
        logger.warning(_TAKES_LONG)


def close_refused(built: Any) -> None:
    """Close what a builder has made that will take no turn: an agent, an orchestrator with its agents, anything.

    Args:
        built: It. Whatever closing it raises is logged.
    """
    from lambda_src.turns.orchestrators.nodes import agents_in

    cleanups = [agent.cleanup for _, agent in agents_in(built)]
    if callable(own := getattr(built, "cleanup", None)):
        cleanups.append(own)
    threads = [_begin_to_close(cleanup, lambda: None) for cleanup in cleanups]
    until = time.monotonic() + CLOSE_SECONDS
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        logger.warning(_TAKES_LONG)


def _begin_to_close(cleanup: Callable[[], object], closed: Callable[[], None]) -> threading.Thread:
    def close() -> None:
        try:
            cleanup()
        except BaseException as error:  # noqa: BLE001 - the turn is over, and its reply must not be lost for this
            logger.warning("an agent's tools could not be closed", extra=diagnosis(error))
        closed()

    # No thread of the loop's: it would be waited for however long it takes.
    thread = threading.Thread(target=close, name="close-tools", daemon=True)
    thread.start()
    return thread
