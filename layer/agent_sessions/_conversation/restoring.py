"""Gives a new agent object what its session holds."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.agent_state import REMOVED, AgentState
from agent_sessions._conversation.pending_interrupts import forget_answered_interrupts
from agent_sessions._conversation.role_runs import RestoredMessage, with_alternating_roles
from agent_sessions._conversation.stored_agent import StoredAgent
from agent_sessions._conversation.understanding import understanding
from agent_sessions._records.shapes import message_problem
from agent_sessions.tool_pairing import Repaired, has_tool_pairs, repair_tool_pairs
from agent_sessions.turn_request import TurnLog
from agent_sessions.types import ids_in

if TYPE_CHECKING:
    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal
    from agent_sessions.types import SessionAgent

logger = logging.getLogger(__name__)

_COUNTS = (REMOVED, "model_call_count")
"""What Strands' own conversation managers count."""


def restore_agent(agent: Any, record: SessionAgent, journal: Journal) -> StoredAgent:
    """Overwrite an agent's state, conversation manager and messages with what is stored.

    Args:
        agent: A new ``Agent`` or ``BidiAgent``.
        record: The agent's record.
        journal: Where its messages are.

    Returns:
        What is stored of the agent, which goes on where that ends.

    Raises:
        SessionCorruptError: Something of it cannot be understood. Nothing was written.
    """
    from strands.agent.state import AgentState as State

    logger.debug("session_id=<%s>, agent_id=<%s> | restoring an agent", journal.session_id, agent.agent_id)
    conversation_manager = getattr(agent, "conversation_manager", None)
    key = journal.turns.key_of_agent(agent.agent_id)
    with understanding("an agent's state", session_id=journal.session_id, key=key):
        found = _restore_conversation_manager(conversation_manager, record, journal.session_id)
    prepended, removed, same_class = found
    conversation = journal.read_conversation(record, removed)

    stored_agent = StoredAgent(
        journal,
        agent.agent_id,
        next_id=conversation.next_id,
        # A conversation manager of another class starts anew: what is stored is not what it would store.
        state=AgentState(journal, stored=record if same_class else None, removed=removed),
        turns=TurnLog((record.kit or {}).get("turns")),
    )
    stored_agent.joined = ids_in(record.kit, "joined")
    with understanding("an agent's state", session_id=journal.session_id, key=key):
        agent.state = State(record.state)
        record.initialize_internal_state(agent)
    stored = [*conversation.pinned, *conversation.window]
    for message_id, message in stored:
        stored_agent.held.add(message_id, message)
    if conversation_manager is not None and agent.model.stateful:
        logger.debug("agent_id=<%s> | the model keeps the conversation, no messages restored", agent.agent_id)
        return stored_agent

    restored = _acceptable(stored_agent, stored, agent, window_at=len(conversation.pinned))
    messages = [item.message for item in restored]
    forget_answered_interrupts(agent, messages)
    pinned = sum(1 for item in restored if item.sources and item.sources[-1] < len(conversation.pinned))
    agent.messages = [*messages[:pinned], *prepended, *messages[pinned:]] if prepended else messages
    return stored_agent


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
    stored, present = state.get("__name__"), type(conversation_manager).__name__
    try:
        prepended = conversation_manager.restore_from_session(copy.deepcopy(state)) or []
    except ValueError:
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
    removed = conversation_manager.removed_message_count
    for name, count in ((REMOVED, removed), *((name, state[name]) for name in _COUNTS if name in state)):
        if type(count) is not int or count < 0:
            raise ValueError(f"{name} is no count")
    if any(message_problem(message) is not None for message in prepended):
        raise ValueError("what stands before the conversation is no message")
    return list(prepended), removed, True


def _acceptable(
    stored_agent: StoredAgent, stored: list[tuple[int, Message]], agent: Any, *, window_at: int
) -> list[RestoredMessage]:
    """The restored messages as a model accepts them: tool calls with their results, roles that alternate.

    Args:
        stored_agent: Learns which message shows which record.
        stored: The messages as they are stored, with their ids.
        agent: Whose they are.
        window_at: Where among them the window begins; pinned messages stand before it.
    """
    messages = [message for _, message in stored]
    if has_tool_pairs(messages):
        repaired = [Repaired(message, position) for position, message in enumerate(messages)]
    else:
        logger.warning(
            "agent_id=<%s> | tool calls and results did not match, repaired in memory",
            agent.agent_id,
        )
        repaired = repair_tool_pairs(messages)
        _note_repairs(stored_agent, stored, repaired)
    joined = {position for position, (message_id, _) in enumerate(stored) if message_id in stored_agent.joined}
    restored = with_alternating_roles(repaired, joined, window_at=window_at)
    for item in restored:
        stored_agent.held.replace([stored[position][0] for position in item.sources], item.message)
        stored_agent.state.removed.note(item.message, len(item.sources))
    return restored


def _note_repairs(stored_agent: StoredAgent, stored: list[tuple[int, Message]], repaired: list[Repaired]) -> None:
    """Have repaired contents stored at the end of the next turn, where that is sure to be a repair."""
    read = {message_id for message_id, _ in stored}
    for item in repaired:
        if item.source is None or not item.changed:
            continue
        message_id = stored[item.source][0]
        # At the edge of what was read the other half of a pair may well be stored: that is no damage.
        if {message_id - 1, message_id + 1} <= {*read, -1}:
            stored_agent.changes.note_repair(message_id, item.message)
