"""One try at taking a turn: restore the agent, find out what is to be done, and do it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from agent_sessions.exceptions import SessionException
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.logs import logger
from lambda_src.metrics import recorded, table
from lambda_src.models.model_calls import ModelCalls
from lambda_src.models.patient_model import be_patient
from lambda_src.models.showing import Showing
from lambda_src.runtime.escapes import Contained
from lambda_src.turns.agent_events import events_of, listen
from lambda_src.turns.cancelling import Cancellation
from lambda_src.turns.closing import close_tools
from lambda_src.turns.containment import contain
from lambda_src.turns.interrupts import agent_input
from lambda_src.turns.orchestrators.conversing import as_orchestrator
from lambda_src.turns.orchestrators.running import OrchestratorTurn
from lambda_src.turns.repeats import Asked, OutcomeRecorder, Turn, plan
from lambda_src.turns.replays import Replay
from lambda_src.turns.time_limit import out_of_time
from lambda_src.turns.told_in_order import ToldInOrder
from lambda_src.turns.turn_counts import tell_counted
from lambda_src.turns.turn_events import Completed, Restored, TurnEvent
from lambda_src.turns.unanswered import close_unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from strands import Agent

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from lambda_src.contract import TurnBody
    from lambda_src.turns.orchestrators.conversing import ConversingOrchestrator


class Attempt:
    """Takes a turn; once more if it is refused before it has begun.

    The arguments are those of :func:`lambda_src.turns.turn.stream_turn`.

    Attributes:
        calls: How the model's calls ended.
        goes_on: Whether it is a turn that an earlier request has begun.
    """

    def __init__(
        self,
        open_session: Callable[[], RepositorySessionManager],
        build: Callable[[RepositorySessionManager], Agent],
        body: TurnBody,
        is_cancelled: Callable[[str, str], bool] | None,
        tell: Callable[[TurnEvent], object],
        stop_at: float,
    ) -> None:
        self._open_session = open_session
        self._build = build
        self._body = body
        self._is_cancelled = is_cancelled
        self._tell_event = tell
        self._stop_at = stop_at
        self.calls = ModelCalls()
        self.goes_on = False
        self._session: RepositorySessionManager | None = None
        self._has_told = False

    @property
    def has_begun(self) -> bool:
        """Whether the turn has its fence, without which no tool runs, or anything of it was told."""
        return self._has_told or (self._session is not None and self._session.has_fenced_a_turn())

    def _tell(self, event: TurnEvent) -> None:
        self._has_told = True
        self._tell_event(event)

    async def take(self, asked: Asked) -> None:
        """Restore the agent and take the turn."""
        self.calls, cancellation = ModelCalls(), Cancellation()
        self.goes_on = False
        agent: Agent | None = None
        try:
            session = self._session = self._open_session()
            with Contained():
                agent = self._build(session)
                conversing = as_orchestrator(agent)
                if conversing is None:
                    contain(agent, cancellation)
                begins_with_prompt = conversing is None and self._body.prompt is not None
                todo = plan(session, agent, asked, begins_with_prompt=begins_with_prompt)
            if isinstance(todo, Replay):
                recorded.add(table.REPLAYS)
                recorded.name(turn_id=todo.restored.turn_id)
                self._tell(todo.restored)
                self._tell(todo.reply)
                return
            self.goes_on = todo.continues
            told = ToldInOrder(partial(tell_counted, self._tell, todo, recorded.current()))
            told.add(Restored(agent.agent_id, todo.request.restored_messages or 0, todo.request.turn_id))
            # Only a turn whose id was told before it began can have been cancelled before.
            told_before = asked.turn_id is not None
            turn_id = todo.request.turn_id
            looking = partial(cancellation.looked_for, self._is_cancelled, agent, turn_id, at_once=told_before)
            begun = _Begun(session, self._body, todo, told, cancellation, looking, self._stop_at)
            if conversing is None:
                await _run_agent(agent, begun, self.calls)
            else:
                await _run_orchestrator(conversing, begun)
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
