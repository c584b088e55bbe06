"""Closes what an agent's tools have opened for its turn: connections to MCP servers, say."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.logs import logger

if TYPE_CHECKING:
    from strands import Agent

CLOSE_SECONDS = 2.0
"""How long a reply waits for that. Afterwards it goes on by itself."""


async def close_tools(agent: Agent) -> None:
    """Close an agent's tool providers. Strands would leave that to the garbage collector.

    Args:
        agent: Whose turn is over. Whatever its providers raise is logged.
    """
    loop = asyncio.get_running_loop()
    closed = loop.create_future()

    def close() -> None:
        try:
            agent.cleanup()
        except BaseException as error:  # noqa: BLE001 - the turn is over, and its reply must not be lost for this
            logger.warning("an agent's tools could not be closed", extra=diagnosis(error))
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(closed.set_result, None)

    # No thread of the loop's: it would be waited for however long it takes.
    threading.Thread(target=close, name="close-tools", daemon=True).start()
    await asyncio.wait({closed}, timeout=CLOSE_SECONDS)
    if not closed.done():
        logger.warning("an agent's tools take long to close")
