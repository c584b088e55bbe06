"""What a store tells of its sessions: a session at a glance, pages of its messages, pages of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_sessions.types import SessionMessage


@dataclass(frozen=True)
class AgentSummary:
    """An agent of a session, and how many messages of it are stored.

    Of a session of about a thousand objects or more it is the number of the last message and one: a message that
    somebody has removed from the middle counts, too.
    """

    agent_id: str
    message_count: int


@dataclass(frozen=True)
class SessionSummary:
    """A session at a glance.

    Attributes:
        session_id: The session.
        created_at: ISO 8601, UTC.
        last_used_at: When a turn wrote to it last, by the storage's clock; ISO 8601, UTC.
        expires_at: When it will have expired; ``None`` when sessions do not expire.
        agents: Its agents, ordered by id. A long session with very many agents shows some of them.
        next_cursor: Gets the agents behind these; ``None`` when there are no others.
    """

    session_id: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    agents: tuple[AgentSummary, ...]
    next_cursor: str | None = None


@dataclass(frozen=True)
class MessagePage:
    """Some messages of a conversation, in order; ``next_cursor`` gets those after them, if there are any."""

    agent_id: str
    messages: tuple[SessionMessage, ...]
    next_cursor: str | None

    def first(self, count: int) -> MessagePage:
        """The page with its first messages only; its cursor gets the others. The count is below the page's."""
        return MessagePage(self.agent_id, self.messages[:count], str(self.messages[count].message_id))


@dataclass(frozen=True)
class SessionPage:
    """Some sessions, ordered by id, perhaps none; ``next_cursor`` gets what comes after them, ``None`` at the end."""

    session_ids: tuple[str, ...]
    next_cursor: str | None
