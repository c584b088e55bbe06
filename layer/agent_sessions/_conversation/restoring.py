"""Gives a new agent object what its session holds."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.stored_agent import AgentLog, comparable, forget_answered_interrupts
from agent_sessions.tool_pairing import has_tool_pairs, repair_tool_pairs
from agent_sessions.turn_request import TurnLog

if TYPE_CHECKING:
    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal
    from agent_sessions.types import SessionAgent

logger = logging.getLogger(__name__)


def restore_agent(agent: Any, record: SessionAgent, journal: Journal) -> AgentLog:
    """Overwrite an agent's state, conversation manager and messages with what is stored.

    Args:
        agent: A new ``Agent`` or ``BidiAgent``.
        record: The agent's record.
        journal: Where its messages are.

    Returns:
        The agent's log, which goes on where the stored one ends.
    """
    from strands.agent.state import AgentState

    logger.debug("session_id=<%s>, agent_id=<%s> | restoring an agent", journal.session_id, agent.agent_id)
    conversation_manager = getattr(agent, "conversation_manager", None)
    prepended, removed, same_class = _restore_conversation_manager(conversation_manager, record, journal.session_id)
    conversation = journal.read_conversation(record, removed)

    log = AgentLog(
        journal,
        agent.agent_id,
        next_id=conversation.next_id,
        # A conversation manager of another class starts anew: what is stored is not what it would store.
        stored_state=comparable(record) if same_class else None,
        turns=TurnLog((record.kit or {}).get("turns")),
    )
    agent.state = AgentState(record.state)
    record.initialize_internal_state(agent)
    stored = [*conversation.pinned, *conversation.window]
    for message_id, message in stored:
        log.held.add(message_id, message)
    if conversation_manager is not None and agent.model.stateful:
        logger.debug("agent_id=<%s> | the model keeps the conversation, no messages restored", agent.agent_id)
        return log

    messages = _with_tool_pairs(log, stored, journal.session_id, agent.agent_id)
    forget_answered_interrupts(agent, messages)
    pinned = sum(1 for message_id, _ in conversation.pinned if log.held.message(message_id) in messages)
    agent.messages = [*messages[:pinned], *prepended, *messages[pinned:]] if prepended else messages
    return log


def _restore_conversation_manager(
    conversation_manager: Any, record: SessionAgent, session_id: str
) -> tuple[list[Message], int, bool]:
    """Give a conversation manager its state back.

    Returns:
        Messages that it wants before the stored ones, how many of those it had removed, and whether the stored state
        was its own.
    """
    if conversation_manager is None:
        return [], 0, True
    state = record.conversation_manager_state
    try:
        prepended = conversation_manager.restore_from_session(copy.deepcopy(state)) or []
    except ValueError:
        stored, present = state.get("__name__"), type(conversation_manager).__name__
        if stored == present:
            raise
        # Whoever exchanges the conversation manager of an agent must not lose the agent's sessions by it.
        logger.warning(
            "session_id=<%s>, agent_id=<%s>, stored=<%s>, present=<%s> | the agent has another conversation manager "
            "now, restoring all messages",
            session_id,
            record.agent_id,
            stored,
            present,
        )
        return [], 0, False
    return prepended, conversation_manager.removed_message_count, True


def _with_tool_pairs(log: AgentLog, stored: list[tuple[int, Message]], session_id: str, agent_id: str) -> list[Message]:
    """The restored messages with every tool call followed by its results."""
    messages = [message for _, message in stored]
    if has_tool_pairs(messages):
        return messages
    logger.warning(
        "session_id=<%s>, agent_id=<%s> | tool calls and results did not match, repaired in memory",
        session_id,
        agent_id,
    )
    repaired = repair_tool_pairs(messages)
    read = {message_id for message_id, _ in stored}
    for item in repaired:
        if item.source is None or not item.changed:
            continue
        message_id = stored[item.source][0]
        log.held.replace([message_id], item.message)
        # At the edge of what was read the other half of a pair may well be stored: that is no damage.
        if {message_id - 1, message_id + 1} <= {*read, -1}:
            log.has_repaired(message_id, item.message)
    return [item.message for item in repaired]
