"""What is stored beyond a restored conversation: a turn that was cut off left it, and the agent goes on behind it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._conversation.pending_interrupts import forget_answered_interrupts
from agent_sessions.tool_pairing import repair_tool_pairs

if TYPE_CHECKING:
    from strands.types.content import Message

    from agent_sessions._conversation.agent_state import RemovedMessages
    from agent_sessions._conversation.held_messages import HeldMessages
    from agent_sessions._conversation.journal import Journal

logger = logging.getLogger(__name__)


class Newcomer(NamedTuple):
    """The message that is being added while the agent's conversation turns out to be another.

    Attributes:
        message: The message, which the agent has behind its conversation already.
        message_id: The id under which it is stored; ``None`` while it is not. Then it is the last: what follows it
            belongs to somebody who has gone on behind it, and refuses whatever this agent says next.
    """

    message: Message
    message_id: int | None


def take_over_later(
    journal: Journal, agent: Any, held: HeldMessages, removed: RemovedMessages, newcomer: Newcomer | None
) -> int:
    """Put what is stored beyond the restored conversation behind it.

    Args:
        journal: Where it is stored.
        agent: The agent. Its messages are changed.
        held: Which record stands for which of them; changed likewise.
        removed: Learns of messages that are stored nowhere.
        newcomer: A message that is being added. While it is not stored it is left out.

    Returns:
        The id of the next message.
    """
    first_id, later = journal.turns.read_later(agent.agent_id)
    if newcomer is not None and newcomer.message_id is not None:
        stored_id = newcomer.message_id
        later = [*(item for item in later if item[0] < stored_id), (stored_id, newcomer.message)]
    logger.warning(
        "session_id=<%s>, agent_id=<%s>, messages=<%d> | going on after a turn that was cut off",
        journal.session_id,
        agent.agent_id,
        len(later),
    )
    left_out = [*held.forget_from(first_id), *([newcomer.message] if newcomer is not None else [])]
    before = [other for other in agent.messages if not any(other is wrong for wrong in left_out)]
    repaired = repair_tool_pairs([*before, *(other for _, other in later)])
    for message_id, other in later:
        held.add(message_id, other)
    agent.messages[:] = [item.message for item in repaired]
    for item in repaired:
        removed.note(item.message, 0 if item.source is None else 1)
    forget_answered_interrupts(agent, agent.messages)
    return later[-1][0] + 1 if later else first_id
