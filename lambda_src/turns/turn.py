"""One turn of a conversation, as a stream of events: restore, run, reply.

The JSON reply is the fold of that stream, so that a client that wants tokens as they come needs another door, not
another turn.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionException
from agent_sessions.tool_pairing import lost_results, tool_use_ids
from lambda_src.answers import errors
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.failures import answer_for
from lambda_src.answers.logs import logger
from lambda_src.runtime.escapes import Contained, contained
from lambda_src.runtime.event_loop import run_to_end
from lambda_src.turns.containment import contain
from lambda_src.turns.interrupts import agent_input
from lambda_src.turns.model_calls import ModelCalls
from lambda_src.turns.patient_model import be_patient
from lambda_src.turns.repeats import Asked, OutcomeRecorder, Replay, plan
from lambda_src.turns.showing import Showing
from lambda_src.turns.simplify import UNANSWERED
from lambda_src.turns.turn_events import Completed, Restored, TextDelta, ToolCall, TurnEvent, completed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from strands import Agent
    from strands.types.content import Message

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from lambda_src.contract import TurnBody

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


@dataclass(frozen=True)
class TimeLimit:
    """How long a turn may take, counted from its start.

    Attributes:
        seconds: When the agent is asked to stop, in good order.
        hard_seconds: When it is stopped wherever it is, should it not have listened.
        last_seconds: When nobody waits for it any more, should it not even have been stoppable: something outside,
            a storage that does not answer, keeps its thread.
    """

    seconds: float
    hard_seconds: float
    last_seconds: float = math.inf

    @classmethod
    def within(cls, remaining_seconds: float, margin_seconds: float) -> TimeLimit:
        """What is left of the function's time, less the margin; half of the margin is for the orderly stop."""
        return cls(
            remaining_seconds - margin_seconds,
            remaining_seconds - margin_seconds / 2,
            remaining_seconds - margin_seconds / 4,
        )


def run_turn(session_id: str, turn: AsyncIterator[TurnEvent], limit: TimeLimit) -> dict[str, Any]:
    """Run a turn to its end and fold its events into the reply.

    Raises:
        EndpointError: Whatever the turn ended with instead of a reply.
        AbandonedError: It did not end within the limit, and may go on.
    """
    return run_to_end(fold(session_id, turn), within_seconds=limit.last_seconds)


async def fold(session_id: str, turn: AsyncIterator[TurnEvent]) -> dict[str, Any]:
    """The reply that a turn's events add up to."""
    reply: dict[str, Any] = {"session_id": session_id}
    async for event in turn:
        match event:
            case Restored():
                reply |= {"agent_id": event.agent_id, "restored_messages": event.restored_messages}
            case Completed():
                reply |= {
                    "message": event.message,
                    "stop_reason": event.stop_reason,
                    "interrupts": event.interrupts,
                    "usage": event.usage,
                    **({"left_out": event.left_out} if event.left_out else {}),
                }
            case TextDelta() | ToolCall():
                pass  # for those who watch; the reply holds the whole message
    return reply


async def stream_turn(
    open_session: Callable[[], RepositorySessionManager],
    build: Callable[[RepositorySessionManager], Agent],
    body: TurnBody,
    limit: TimeLimit,
    asked: Asked,
) -> AsyncIterator[TurnEvent]:
    """Take one turn.

    Args:
        open_session: Opens the session, making it when there is none; called once.
        build: Makes the agent, which restores itself from the session; called once.
        body: A prompt, or answers to pending interrupts.
        limit: When to stop.
        asked: Tells whether the request has been sent before.

    Yields:
        ``Restored``, then ``TextDelta`` and ``ToolCall`` as they happen, then ``Completed``. Of a turn that had been
        taken already only the first and the last.

    Raises:
        EndpointError: When the turn cannot start, or ends without a reply. What it stored by then is kept.
    """
    if limit.seconds <= 0:
        raise errors.OutOfTimeError("The function has no time left for a turn; nothing was done.")
    calls = ModelCalls()
    loop = asyncio.get_running_loop()
    stop_at = loop.time() + limit.seconds
    hard_stop = asyncio.timeout(limit.hard_seconds)
    try:
        async with hard_stop:
            session = open_session()
            with Contained():
                agent = build(session)
                contain(agent)
                todo = plan(session, agent, asked)
            if isinstance(todo, Replay):
                yield todo.restored
                yield todo.reply
                return
            restored = Restored(agent.agent_id, len(agent.messages))
            yield restored
            prompt = None if todo.continues else agent_input(agent, body)
            if body.prompt is not None and not todo.continues:
                await close_unanswered(agent)
            agent.hooks.add_callback(calls.event_type(), calls.observe)
            showing = Showing(agent, session)
            be_patient(agent, showing)
            showing.listen()
            recorder = OutcomeRecorder(
                session, restored.restored_messages, calls, showing, lambda: loop.time() >= stop_at
            )
            recorder.listen_to(agent)
            session.answer_request(agent, todo.request)
            try:
                async for event in _stopped_in_order(agent, prompt, stop_at, todo.request.turn_id, showing):
                    yield event
            except Exception as error:
                _end_what_began(session, agent)
                if recorder.refused_as:
                    raise recorder.refused_as from error
                raise
    except Exception as error:
        if isinstance(error, TimeoutError) and hard_stop.expired():
            raise out_of_time() from None
        raise answer_for(error, calls.error) from error


def _end_what_began(session: RepositorySessionManager, agent: Agent) -> None:
    """Have everything written when Strands has not come to saying that the invocation is over.

    A conversation manager or a hook that fails at the end keeps it from that. What is still on its way to the storage
    must not arrive in the next turn.
    """
    if session.is_in_turn(agent):
        try:
            session.end_turn(agent)
        except SessionException as failure:
            logger.warning("a turn that failed could not be stored whole", extra=diagnosis(failure))


async def _stopped_in_order(
    agent: Agent, prompt: Any, stop_at: float, turn_id: str, showing: Showing
) -> AsyncIterator[TurnEvent]:
    """The turn's events, from an agent that is asked to stop when its time is over and given the time to do so."""
    loop = asyncio.get_running_loop()
    stopping = loop.call_at(stop_at, agent.cancel)
    stopped = False
    try:
        async for event in _events(agent, prompt, turn_id, showing):
            if isinstance(event, Completed) and event.stop_reason == "cancelled":
                stopped = loop.time() >= stop_at
            if not stopped:
                yield event
    finally:
        stopping.cancel()
    if stopped:
        raise out_of_time()


async def _events(agent: Agent, prompt: Any, turn_id: str, showing: Showing) -> AsyncIterator[TurnEvent]:
    """Strands' stream, reduced to the events of a turn.

    Tools find ``turn_id`` in their invocation state: it is the same when a turn that was cut off is continued.
    """
    from strands.types.exceptions import MaxTokensReachedException

    seen: set[str] = set()
    try:
        async for event in contained(agent.stream_async(prompt, invocation_state={"turn_id": turn_id})):
            if "result" in event:
                result = event["result"]
                yield completed(agent, result.message, result.stop_reason, result.interrupts or (), showing.left_out)
            elif "data" in event and isinstance(event["data"], str):
                yield TextDelta(event["data"])
            elif (call := event.get("current_tool_use")) and call.get("toolUseId") not in seen:
                seen.add(call["toolUseId"])
                yield ToolCall(call["toolUseId"], call.get("name", ""))
    except Exception as error:
        # An answer cut short by the model's limit is stored and is an answer; Strands reports it as an exception.
        if not isinstance(getattr(error, "original_exception", error), MaxTokensReachedException):
            raise
        yield completed(agent, agent.messages[-1], "max_tokens", (), showing.left_out)


async def close_unanswered(agent: Agent) -> None:
    """Give an earlier message without an answer one, so that the conversation alternates between user and assistant.

    A turn that ends early (model error, crash, timeout) leaves its question as the last message. Another question
    right behind it is something Bedrock's Converse refuses for some models, in this turn and in all later ones.
    """
    from strands.hooks import MessageAddedEvent

    missing: list[Message] = []
    if agent.messages and (calls := tool_use_ids(agent.messages[-1])):
        # Strands would add the results too, and the prompt right behind them: two messages of the user's.
        missing.append(lost_results(calls))
    if missing or (agent.messages and agent.messages[-1]["role"] == "user"):
        missing.append({"role": "assistant", "content": [{"text": UNANSWERED}]})
    for message in missing:
        agent.messages.append(message)
        await agent.hooks.invoke_callbacks_async(MessageAddedEvent(agent=agent, message=message))


def out_of_time() -> errors.OutOfTimeError:
    """What a caller is told whose turn took longer than the function may."""
    return errors.OutOfTimeError("The function's time ran out. What was done so far is kept; the next turn goes on.")
