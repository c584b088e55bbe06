"""What a store tells: a session at a glance, pages of its messages, pages of sessions, how an erasure went."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

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


class ErasureStage(Enum):
    """How far an erasure has come.

    Attributes:
        OPEN: Nothing has been changed.
        CLOSING: The mark is being written. Until there is an answer, nobody knows whether it stands.
        CLOSED: The mark stands: nobody reads the session. Perhaps not everything of it has been deleted.
        ERASED: Nothing of it is left.
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    ERASED = "erased"


class ErasureReport(NamedTuple):
    """What one call of an erasure came to.

    Attributes:
        erased: How many objects and versions it has deleted.
        left: How many there are at least yet, counted up to 1,000; ``0`` when nothing is left.
    """

    erased: int
    left: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left."""
        return self.left == 0
