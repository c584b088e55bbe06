"""Closes an earlier message that got no answer, before a turn adds its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions.tool_pairing import lost_results, tool_use_ids
from lambda_src.models.simplify import UNANSWERED

if TYPE_CHECKING:
    from strands import Agent
    from strands.types.content import Message


async def close_unanswered(agent: Agent) -> None:
    """Answer an earlier message that got no answer, so that the conversation alternates between user and assistant.

    A turn that ends early (model error, crash, timeout) leaves its question as the last message. For some models,
    Bedrock's Converse refuses a second question right after it, in this turn and in all later ones.
    """
    from strands.hooks import MessageAddedEvent

    missing: list[Message] = []
    if agent.messages and (calls := tool_use_ids(agent.messages[-1])):
        # Strands would add the results too, and the prompt right after them: two user messages in a row.
        missing.append(lost_results(calls))
    if missing or (agent.messages and agent.messages[-1]["role"] == "user"):
        missing.append({"role": "assistant", "content": [{"text": UNANSWERED}]})
    for message in missing:
        agent.messages.append(message)
        await agent.hooks.invoke_callbacks_async(MessageAddedEvent(agent=agent, message=message))
