"""Reduces what an agent does in a turn to the turn's events: from Strands' stream, and from Strands' hooks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from lambda_src.runtime.escapes import contained
from lambda_src.turns.turn_events import (
    MessageStored,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolEnded,
    completed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from strands import Agent

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from lambda_src.models.showing import Showing
    from lambda_src.turns.told_in_order import ToldInOrder
    from lambda_src.turns.turn_events import TurnEvent


async def events_of(agent: Agent, prompt: Any, turn_id: str, showing: Showing) -> AsyncIterator[TurnEvent]:
    """Invoke an agent.

    Tools find ``turn_id`` in their invocation state: it is the same when a turn that was cut off is continued.

    Yields:
        What the model says and asks for, then the end.
    """
    from strands.types.exceptions import MaxTokensReachedException

    seen: set[str] = set()
    try:
        async for event in contained(agent.stream_async(prompt, invocation_state={"turn_id": turn_id})):
            if "result" in event:
                result = event["result"]
                yield completed(agent, result.message, result.stop_reason, result.interrupts or (), showing.left_out)
            elif isinstance(event.get("data"), str):
                yield TextDelta(event["data"])
            elif isinstance(event.get("reasoningText"), str):
                yield ReasoningDelta(event["reasoningText"])
            elif (call := event.get("current_tool_use")) and call.get("toolUseId") not in seen:
                seen.add(call["toolUseId"])
                yield ToolCall(call["toolUseId"], call.get("name", ""))
    except Exception as error:
        # When the model's limit cuts an answer short, Strands raises. That answer is stored and counts.
        if not isinstance(getattr(error, "original_exception", error), MaxTokensReachedException):
            raise
        yield completed(agent, agent.messages[-1], "max_tokens", (), showing.left_out)


def listen(agent: Agent, session: RepositorySessionManager, told: ToldInOrder) -> None:
    """Tell what Strands' stream leaves out: which tools have ended, and what is stored.

    Each hook event goes to all other callbacks first: the session stores, and a hook may change a tool's result.
    """
    from strands.hooks import AfterToolCallEvent, BeforeModelCallEvent, BeforeToolCallEvent, MessageAddedEvent

    loop = asyncio.get_running_loop()
    next_id = session.next_message_id(agent)
    tell = agent.hooks.invoke_callbacks_async

    def record_stored(_agent_id: str, message_id: int) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: the turn was abandoned
            loop.call_soon_threadsafe(told.record_stored, message_id)

    async def tell_and_note(event: Any) -> Any:
        nonlocal next_id
        answer = await tell(event)
        if isinstance(event, MessageAddedEvent):
            if (now := session.next_message_id(agent)) > next_id:
                next_id = now
                told.add(MessageStored(next_id - 1, event.message["role"]))
        elif isinstance(event, AfterToolCallEvent):
            if not getattr(event, "retry", False):
                called = event.tool_use
                told.add(ToolEnded(called["toolUseId"], called["name"], event.result["status"]))
        elif isinstance(event, BeforeModelCallEvent) and not session.awaits_fence(agent):
            if (now := session.next_message_id(agent)) > next_id:
                # The first message has gone behind those of a turn that was cut off: the model is asked again.
                told.renumber_first(now - 1)
                next_id = now
            told.record_fenced()  # without a message of its own, a turn has another fence, also awaited
        elif isinstance(event, BeforeToolCallEvent):
            told.record_fenced()  # no tool runs without
        return answer

    session.watch_stored(record_stored)
    agent.hooks.invoke_callbacks_async = tell_and_note  # type: ignore[method-assign] # this agent's hooks only
