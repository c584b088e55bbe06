"""One turn of a conversation, as a stream of events: restore, run, reply.

The JSON reply is the fold of that stream. So a client that wants tokens as they come needs another door, not another
turn.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionConflictError
from lambda_src.answers import errors
from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.logs import logger
from lambda_src.metrics import recorded, table
from lambda_src.runtime.event_loop import run_to_end
from lambda_src.turns.attempt import Attempt
from lambda_src.turns.time_limit import TimeLimit, out_of_time
from lambda_src.turns.turn_counts import count_failure
from lambda_src.turns.turn_events import Completed, Restored, TextDelta, ToolCall, TurnEvent, reply_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from strands import Agent

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from lambda_src.contract import TurnBody
    from lambda_src.turns.repeats import Asked

__all__ = [
    "Completed",
    "Restored",
    "TextDelta",
    "TimeLimit",
    "ToolCall",
    "TurnEvent",
    "fold",
    "out_of_time",
    "run_turn",
    "stream_turn",
]


def run_turn(
    session_id: str,
    turn: AsyncIterator[TurnEvent],
    limit: TimeLimit,
    watch: Callable[[TurnEvent], object] | None = None,
) -> dict[str, Any]:
    """Run a turn to its end and fold its events into the reply.

    Args:
        session_id: Whose turn it is.
        turn: Its events.
        limit: After this time nobody waits for the turn any more.
        watch: Gets each event as it happens. It must return at once.

    Raises:
        EndpointError: The turn ended with this instead of a reply.
        AbandonedError: It did not end within the limit, and may go on.
    """
    return run_to_end(fold(session_id, turn, watch), within_seconds=limit.last_seconds)


async def fold(
    session_id: str, turn: AsyncIterator[TurnEvent], watch: Callable[[TurnEvent], object] | None = None
) -> dict[str, Any]:
    """The reply that a turn's events add up to."""
    restored: Restored | None = None
    completed: Completed | None = None
    async for event in turn:
        if watch is not None:
            watch(event)
        # The other events are for those who watch; the reply holds the whole message.
        if isinstance(event, Restored):
            restored = event
        elif isinstance(event, Completed):
            completed = event
    if restored is None or completed is None:
        raise errors.InternalError("The turn came to no end.")
    return reply_of(session_id, restored, completed)


async def stream_turn(
    open_session: Callable[[], RepositorySessionManager],
    build: Callable[[RepositorySessionManager], Agent],
    body: TurnBody,
    limit: TimeLimit,
    asked: Asked,
    is_cancelled: Callable[[str, str], bool] | None = None,
) -> AsyncIterator[TurnEvent]:
    """Take one turn, in a task of its own: a slow reader of its events does not hold it up.

    Args:
        open_session: Opens the session, making it when there is none; called once more when the turn is refused
            before it has its fence.
        build: Makes the agent, which restores itself from the session; called as often.
        body: A prompt, or answers to pending interrupts.
        limit: When to stop.
        asked: Tells whether the request has been sent before.
        is_cancelled: Given the agent's id and the turn's, tells whether the turn is to be cancelled. It is called
            beside the turn, once a second, and may block.

    Yields:
        ``Restored`` once the turn's first message is stored, then what happens, in its order, then ``Completed``. If
            the turn had been taken already, only the first and the last.

    Raises:
        EndpointError: When the turn cannot start, or ends without a reply. What it stored by then is kept.
    """
    happened: asyncio.Queue[TurnEvent | None] = asyncio.Queue()
    work = asyncio.ensure_future(_take_turn(open_session, build, body, limit, asked, is_cancelled, happened.put_nowait))
    work.add_done_callback(lambda _: happened.put_nowait(None))
    try:
        while (event := await happened.get()) is not None:
            yield event
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait({work})
    work.result()


async def _take_turn(
    open_session: Callable[[], RepositorySessionManager],
    build: Callable[[RepositorySessionManager], Agent],
    body: TurnBody,
    limit: TimeLimit,
    asked: Asked,
    is_cancelled: Callable[[str, str], bool] | None,
    tell: Callable[[TurnEvent], object],
) -> None:
    if limit.seconds <= 0:
        raise errors.OutOfTimeError("The function has no time left for a turn; nothing was done.")
    loop = asyncio.get_running_loop()
    stop_at = loop.time() + limit.seconds
    hard_stop = asyncio.timeout(limit.hard_seconds)
    attempt = Attempt(open_session, build, body, is_cancelled, tell, stop_at)
    try:
        async with hard_stop:
            try:
                await attempt.take(asked)
            except SessionConflictError:
                # It has shown nothing and done nothing. What this restore did not see, the next one does.
                if attempt.has_begun or loop.time() >= stop_at:
                    raise
                logger.info("the turn was refused before anything was done in it, and begins once more")
                recorded.add(table.TURNS_BEGUN_AGAIN)
                await attempt.take(replace(asked, looks_first=True))
    except Exception as error:
        late = isinstance(error, TimeoutError) and hard_stop.expired()
        answer = out_of_time() if late else _answer_for(error, attempt)
        count_failure(answer)
        if late:
            raise answer from None
        raise answer from error


def _answer_for(error: Exception, attempt: Attempt) -> errors.EndpointError:
    return answer_for(error, attempt.calls.error, turn_began=attempt.has_begun or attempt.goes_on)
