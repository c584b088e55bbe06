"""What is stored of an agent besides its messages: when it has changed, and how much of the conversation is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import UnstorableValueError
from agent_sessions.types import SessionAgent, ids_in, is_bidirectional
from agent_sessions.values import canonical, type_name

if TYPE_CHECKING:
    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal

REMOVED = "removed_message_count"
"""What conversation managers call the number of messages that they have removed."""


class AgentState:
    """The state of one agent as it was stored last.

    Args:
        journal: Where the session is written.
        stored: The agent's record as it is stored; ``None`` when it is to be stored anew.
        removed: How many messages its conversation manager has removed, in its own count.
    """

    def __init__(self, journal: Journal, *, stored: SessionAgent | None = None, removed: int = 0) -> None:
        self._journal = journal
        self._stored = comparable(stored) if stored is not None else None
        self.removed = RemovedMessages(removed)

    def check(self, agent: Any) -> None:
        """See that the agent's state can be stored, before anything else is.

        Raises:
            UnstorableValueError: It cannot.
        """
        comparable(SessionAgent.from_agent(agent))

    def store(self, agent: Any, kit: dict[str, Any]) -> None:
        """Store the agent's state if its value has changed.

        Args:
            agent: The agent.
            kit: This package's own fields of the record.

        Raises:
            UnstorableValueError: It cannot be stored; what is stored is as it was.
            SessionConflictError: Another writer has changed it.
            SessionStorageError: Storage failed.
        """
        record = SessionAgent.from_agent(agent)
        record.kit = kit or None
        record.conversation_manager_state = self.removed.in_records(agent, record.conversation_manager_state)
        state = comparable(record)
        unchanged = state == self._stored and not is_bidirectional(agent)
        if unchanged and not self._journal.turns.needs_update(agent.agent_id):
            return
        self._journal.update_agent(record)
        self._stored = state


class RemovedMessages:
    """Counts in stored messages what a conversation manager counts in messages of the agent's.

    The two are the same but for what was restored otherwise than it is stored: two stored messages of one role are one
    message of the agent's, and the result of a tool call that was lost is stored nowhere.

    Args:
        counted: How many messages the conversation manager has removed, in its own count.
    """

    def __init__(self, counted: int = 0) -> None:
        self._counted = counted
        self._others: list[tuple[Message, int]] = []
        self._besides = 0  # stored messages that were removed, beyond the manager's count

    def note(self, message: Message, stored: int) -> None:
        """One message of the agent's stands for so many stored ones."""
        if stored != 1:
            self._others.append((message, stored))

    def in_records(self, agent: Any, state: dict[str, Any]) -> dict[str, Any]:
        """A conversation manager's state, with its count in stored messages."""
        counted = state.get(REMOVED)
        if not isinstance(counted, int):
            return state
        if self._others:
            left = {id(message) for message in agent.messages}
            gone = [stored for message, stored in self._others if id(message) not in left]
            self._others = [(message, stored) for message, stored in self._others if id(message) in left]
            if counted > self._counted:  # otherwise the caller has taken them out, which counts for nothing
                self._besides += sum(stored - 1 for stored in gone)
        self._counted = counted
        return {**state, REMOVED: max(0, counted + self._besides)} if self._besides else state


def comparable(record: SessionAgent) -> str:
    """A record's content as text: equal texts are equal values.

    Strands counts versions instead, which rise after every tool cycle even when nothing has changed.

    Raises:
        UnstorableValueError: There is something in it that cannot be stored.
    """
    content = record.to_dict()
    for changing in ("created_at", "updated_at"):
        content.pop(changing)
    kit = record.kit or {}
    content["kit"] = [ids_in(kit, "pinned"), ids_in(kit, "joined"), kit.get("turns")]
    try:
        return canonical(content)
    except RecursionError as error:
        raise UnstorableValueError(
            "agent", type_name(content), "nested too deeply for where it is stored from"
        ) from error
