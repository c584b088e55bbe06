"""One turn of a conversation, as a stream of events: restore, run, reply.

The JSON reply is the fold of that stream. So a client that wants tokens as they come needs another door, not another
turn.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from agent_sessions.exceptions import SessionException
from lambda_src.answers import errors
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.logs import logger
from lambda_src.metrics import recorded, table
from lambda_src.models.model_calls import ModelCalls
from lambda_src.models.patient_model import be_patient
from lambda_src.models.showing import Showing
from lambda_src.runtime.escapes import Contained
from lambda_src.runtime.event_loop import run_to_end
from lambda_src.turns.agent_events import events_of, listen
from lambda_src.turns.cancelling import Cancellation
from lambda_src.turns.closing import close_tools
from lambda_src.turns.containment import contain
from lambda_src.turns.interrupts import agent_input
from lambda_src.turns.orchestrators.conversing import as_orchestrator
from lambda_src.turns.orchestrators.running import OrchestratorTurn
from lambda_src.turns.repeats import Asked, OutcomeRecorder, Turn, plan
from lambda_src.turns.replays import Replay
from lambda_src.turns.time_limit import TimeLimit, out_of_time
from lambda_src.turns.told_in_order import ToldInOrder
from lambda_src.turns.turn_counts import count_failure, tell_counted
from lambda_src.turns.turn_events import Completed, Restored, TextDelta, ToolCall, TurnEvent, reply_of
from lambda_src.turns.unanswered import close_unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from strands import Agent

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from lambda_src.contract import TurnBody
    from lambda_src.turns.orchestrators.conversing import ConversingOrchestrator

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
        open_session: Opens the session, making it when there is none; called once.
        build: Makes the agent, which restores itself from the session; called once.
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
    calls, cancellation = ModelCalls(), Cancellation()
    loop = asyncio.get_running_loop()
    stop_at = loop.time() + limit.seconds
    hard_stop = asyncio.timeout(limit.hard_seconds)
    agent: Agent | None = None
    try:
        async with hard_stop:
            session = open_session()
            with Contained():
                agent = build(session)
                conversing = as_orchestrator(agent)
                if conversing is None:
                    contain(agent, cancellation)
                todo = plan(session, agent, asked)
            if isinstance(todo, Replay):
                recorded.add(table.REPLAYS)
                recorded.name(turn_id=todo.restored.turn_id)
                tell(todo.restored)
                tell(todo.reply)
                return
            told = ToldInOrder(partial(tell_counted, tell, todo, recorded.current()))
            told.add(Restored(agent.agent_id, todo.request.restored_messages or 0, todo.request.turn_id))
            # Only a turn whose id was told before it began can have been cancelled before.
            told_before = asked.turn_id is not None
            turn_id = todo.request.turn_id
            looking = partial(cancellation.looked_for, is_cancelled, agent, turn_id, at_once=told_before)
            begun = _Begun(session, body, todo, told, cancellation, looking, stop_at)
            if conversing is None:
                await _run_agent(agent, begun, calls)
            else:
                await _run_orchestrator(conversing, begun)
    except Exception as error:
        late = isinstance(error, TimeoutError) and hard_stop.expired()
        answer = out_of_time() if late else answer_for(error, calls.error)
        count_failure(answer)
        if late:
            raise answer from None
        raise answer from error
    finally:
        if agent is not None:
            await close_tools(agent)


class _Begun(NamedTuple):
    """A turn that is about to be taken.

    Attributes:
        session: Where it is stored.
        body: What is asked.
        todo: Which turn it is, and whether it goes on.
        told: Gets its events.
        cancellation: Ends it early.
        looking: Meanwhile looks whether it is to be cancelled.
        stop_at: When its time is over, by the event loop's clock.
    """

    session: RepositorySessionManager
    body: TurnBody
    todo: Turn
    told: ToldInOrder
    cancellation: Cancellation
    looking: Callable[[], AbstractAsyncContextManager[None]]
    stop_at: float


async def _run_agent(agent: Agent, turn: _Begun, calls: ModelCalls) -> None:
    session, request = turn.session, turn.todo.request
    loop = asyncio.get_running_loop()
    prompt = None if turn.todo.continues else agent_input(agent, turn.body)
    if turn.body.prompt is not None and not turn.todo.continues:
        await close_unanswered(agent)
    agent.hooks.add_callback(calls.event_type(), calls.observe)
    showing = Showing(agent, session)
    be_patient(agent, showing, partial(turn.cancellation.cut, agent=agent))
    showing.listen()
    restored = request.restored_messages or 0
    recorder = OutcomeRecorder(session, restored, calls, showing, lambda: loop.time() >= turn.stop_at)
    recorder.listen_to(agent)
    session.answer_request(agent, request)
    listen(agent, session, turn.told)
    try:
        async with turn.looking():
            async for event in _stopped_in_order(agent, prompt, turn.stop_at, request.turn_id, showing):
                turn.told.add(event)
    except Exception as error:
        _end_what_began(session, agent)
        if recorder.refused_as:
            raise recorder.refused_as from error
        raise


async def _run_orchestrator(agent: ConversingOrchestrator, turn: _Begun) -> None:
    task = agent.task(turn.body, turn.todo.request.turn_id, continues=turn.todo.continues)
    conversing = cast("Agent", agent)
    if not turn.todo.continues:
        await close_unanswered(conversing)
    turn.session.answer_request(agent, turn.todo.request)
    listen(conversing, turn.session, turn.told)
    run = OrchestratorTurn(agent, turn.session, turn.todo.request, turn.cancellation.signal, turn.stop_at)
    async with turn.looking(), aclosing(run.events(task)) as events:
        async for event in events:
            turn.told.add(event)


def _end_what_began(session: RepositorySessionManager, agent: Agent) -> None:
    """Have everything written, if Strands has not said that the invocation is over.

    A conversation manager or a hook that fails at the end prevents that. What is still on its way to the storage must
    not arrive in the next turn.
    """
    if session.is_in_turn(agent):
        try:
            session.end_turn(agent)
        except SessionException as failure:
            logger.warning("a turn that failed could not be stored whole", extra=diagnosis(failure))


async def _stopped_in_order(
    agent: Agent, prompt: Any, stop_at: float, turn_id: str, showing: Showing
) -> AsyncIterator[TurnEvent]:
    """The turn's events. When its time is over, the agent is asked to stop, and given the time to do so."""
    loop = asyncio.get_running_loop()
    stopping = loop.call_at(stop_at, agent.cancel)
    stopped = False
    try:
        async for event in events_of(agent, prompt, turn_id, showing):
            if isinstance(event, Completed) and event.stop_reason == "cancelled":
                stopped = loop.time() >= stop_at
            if not stopped:
                yield event
    finally:
        stopping.cancel()
    if stopped:
        raise out_of_time()
