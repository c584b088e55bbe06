"""Interrupts that nobody can answer any more, and which would keep the agent from every other prompt."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from agent_sessions.tool_pairing import tool_use_ids

if TYPE_CHECKING:
    from strands.types.content import Message

logger = logging.getLogger(__name__)


def forget_answered_interrupts(agent: Any, messages: list[Message]) -> None:
    """Take back a pending interrupt whose tool call has got its results.

    A turn that was cut off between the results and the agent's record leaves it pending. Answered once more, the call
    would run again and its results would follow no call.
    """
    state = getattr(agent, "_interrupt_state", None)
    if state is None or not state.activated or (messages and tool_use_ids(messages[-1])):
        return
    # Strands keeps the interrupted call here since 1.53, and in the context before.
    if getattr(state, "pending_tool_execution", None) is not None or "tool_use_message" in state.context:
        logger.warning("agent_id=<%s> | an interrupt was pending though its tool call is answered", agent.agent_id)
        state.deactivate()


def withdraw_interrupt(agent: Any) -> None:
    """Take back an interrupt that cannot be stored: no other process could answer it."""
    state = getattr(agent, "_interrupt_state", None)
    if state is not None and state.activated:
        logger.warning("agent_id=<%s> | an interrupt that cannot be stored is taken back", agent.agent_id)
        state.deactivate()
