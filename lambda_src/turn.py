"""One turn of a conversation, as a stream of events: restore, run, reply.

The JSON reply is the fold of that stream, so that a client that wants tokens as they come needs another door, not
another turn.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from lambda_src import errors
from lambda_src.content import shown
from lambda_src.event_loop import run_to_end
from lambda_src.failures import answer_for
from lambda_src.interrupts import agent_input, described
from lambda_src.refused_media import blames_the_prompt, has_media, without_media

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from strands import Agent
    from strands.hooks import AfterModelCallEvent

    from agent_sessions.session_manager import SessionManager
    from lambda_src.contract import TurnBody

UNANSWERED = "(This message got no answer: the turn ended early.)"


@dataclass(frozen=True)
class Restored:
    """The agent remembers."""

    agent_id: str
    restored_messages: int


@dataclass(frozen=True)
class TextDelta:
    """A piece of the answer's text, as the model produces it."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool."""

    tool_use_id: str
    name: str


@dataclass(frozen=True)
class Completed:
    """The turn is over and stored."""

    message: dict[str, Any]
    stop_reason: str
    interrupts: list[dict[str, Any]]
    usage: dict[str, int]


TurnEvent = Restored | TextDelta | ToolCall | Completed


@dataclass(frozen=True)
class TimeLimit:
    """How long a turn may take, counted from its start.

    Attributes:
        seconds: When the agent is asked to stop, in good order.
        hard_seconds: When it is stopped wherever it is, should it not have listened.
    """

    seconds: float
    hard_seconds: float

    @classmethod
    def within(cls, remaining_seconds: float, margin_seconds: float) -> TimeLimit:
        """What is left of the function's time, less the margin; half of the margin is for the orderly stop."""
        return cls(remaining_seconds - margin_seconds, remaining_seconds - margin_seconds / 2)


def run_turn(session_id: str, turn: AsyncIterator[TurnEvent]) -> dict[str, Any]:
    """Run a turn to its end and fold its events into the reply.

    Raises:
        EndpointError: Whatever the turn ended with instead of a reply.
    """
    return run_to_end(fold(session_id, turn))


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
                }
            case TextDelta() | ToolCall():
                pass  # for those who watch; the reply holds the whole message
    return reply


async def stream_turn(
    open_session: Callable[[], SessionManager],
    build: Callable[[SessionManager], Agent],
    body: TurnBody,
    limit: TimeLimit,
) -> AsyncIterator[TurnEvent]:
    """Take one turn.

    Args:
        open_session: Opens the session, making it when there is none; called once.
        build: Makes the agent, which restores itself from the session; called once.
        body: A prompt, or answers to pending interrupts.
        limit: When to stop.

    Yields:
        ``Restored``, then ``TextDelta`` and ``ToolCall`` as they happen, then ``Completed``.

    Raises:
        EndpointError: When the turn cannot start, or ends without a reply. What it stored by then is kept.
    """
    if limit.seconds <= 0:
        raise errors.OutOfTimeError("The function has no time left for a turn; nothing was done.")
    calls = ModelCalls()
    stop_at = asyncio.get_running_loop().time() + limit.seconds
    hard_stop = asyncio.timeout(limit.hard_seconds)
    try:
        async with hard_stop:
            session = open_session()
            agent = build(session)
            agent.hooks.add_callback(calls.event_type(), calls.observe)
            yield Restored(agent.agent_id, len(agent.messages))
            prompt = agent_input(agent, body)
            if body.prompt is not None:
                await close_unanswered(agent)
            try:
                async for event in _stopped_in_order(agent, prompt, stop_at):
                    yield event
            except Exception as error:
                if refusal := _refusal_of_media(session, agent, calls):
                    raise refusal from error
                raise
    except Exception as error:
        if isinstance(error, TimeoutError) and hard_stop.expired():
            raise _out_of_time() from None
        raise answer_for(error, calls.error) from error


def _refusal_of_media(session: SessionManager, agent: Agent, calls: ModelCalls) -> errors.PromptRefusedError | None:
    """Take a new prompt's files out of the session when the turn failed because the model will not take them."""
    if calls.count != 1 or not blames_the_prompt(calls.error) or not has_media(agent.messages[-1]):
        return None
    session.redact_latest_message(cast("Any", without_media(agent.messages[-1])), agent)
    return errors.PromptRefusedError(
        "The model refused the files of this prompt. They were removed from the conversation, so that it can go on."
    )


async def _stopped_in_order(agent: Agent, prompt: Any, stop_at: float) -> AsyncIterator[TurnEvent]:
    """The turn's events, from an agent that is asked to stop when its time is over and given the time to do so."""
    loop = asyncio.get_running_loop()
    stopping = loop.call_at(stop_at, agent.cancel)
    stopped = False
    try:
        async for event in _events(agent, prompt):
            if isinstance(event, Completed) and event.stop_reason == "cancelled":
                stopped = loop.time() >= stop_at
            if not stopped:
                yield event
    finally:
        stopping.cancel()
    if stopped:
        raise _out_of_time()


async def _events(agent: Agent, prompt: Any) -> AsyncIterator[TurnEvent]:
    """Strands' stream, reduced to the events of a turn."""
    from strands.types.exceptions import MaxTokensReachedException

    seen: set[str] = set()
    try:
        async for event in agent.stream_async(prompt):
            if "result" in event:
                result = event["result"]
                yield _completed(agent, result.message, result.stop_reason, result.interrupts or ())
            elif "data" in event and isinstance(event["data"], str):
                yield TextDelta(event["data"])
            elif (call := event.get("current_tool_use")) and call.get("toolUseId") not in seen:
                seen.add(call["toolUseId"])
                yield ToolCall(call["toolUseId"], call.get("name", ""))
    except Exception as error:
        # An answer cut short by the model's limit is stored and is an answer; Strands reports it as an exception.
        if not isinstance(getattr(error, "original_exception", error), MaxTokensReachedException):
            raise
        yield _completed(agent, agent.messages[-1], "max_tokens", ())


def _completed(agent: Agent, message: Any, stop_reason: str, interrupts: Sequence[Any]) -> Completed:
    # The agent was made for this turn, so that what it has accumulated is what this turn used.
    usage = agent.event_loop_metrics.accumulated_usage
    return Completed(
        message=shown(message),
        stop_reason=stop_reason,
        interrupts=[described(interrupt) for interrupt in interrupts],
        usage={
            "input_tokens": usage.get("inputTokens", 0),
            "output_tokens": usage.get("outputTokens", 0),
            "total_tokens": usage.get("totalTokens", 0),
            "cache_read_input_tokens": usage.get("cacheReadInputTokens", 0),
            "cache_write_input_tokens": usage.get("cacheWriteInputTokens", 0),
        },
    )


async def close_unanswered(agent: Agent) -> None:
    """Give an earlier message without an answer one, so that the conversation alternates between user and assistant.

    A turn that ends early (model error, crash, timeout) leaves its question as the last message. Another question
    right behind it is something Bedrock's Converse refuses for some models, in this turn and in all later ones.
    """
    from strands.hooks import MessageAddedEvent

    if not agent.messages or agent.messages[-1]["role"] != "user":
        return
    agent.messages.append({"role": "assistant", "content": [{"text": UNANSWERED}]})
    await agent.hooks.invoke_callbacks_async(MessageAddedEvent(agent=agent, message=agent.messages[-1]))


class ModelCalls:
    """Remembers how the agent's model calls ended.

    What leaves the agent does not say who raised it: a tool provider, a hook, the session or the model.

    Attributes:
        count: How many calls there were.
        error: What the last of them raised, if it did.
    """

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    @staticmethod
    def event_type() -> type[AfterModelCallEvent]:
        """The hook event to register ``observe`` for."""
        from strands.hooks import AfterModelCallEvent

        return AfterModelCallEvent

    def observe(self, event: AfterModelCallEvent) -> None:
        """Note how a model call ended."""
        self.count += 1
        self.error = event.exception


def _out_of_time() -> errors.OutOfTimeError:
    return errors.OutOfTimeError("The function's time ran out. What was done so far is kept; the next turn goes on.")
