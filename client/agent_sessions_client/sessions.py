"""What the endpoint tells of sessions: docs/HTTP.md of the kit has the fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Order = Literal["id", "recent"]


@dataclass(frozen=True)
class RunningTurn:
    """A turn that runs; ``follow`` and ``cancel`` find it.

    Attributes:
        turn_id: The turn.
        agent_id: Whose turn it is.
    """

    turn_id: str
    agent_id: str


@dataclass(frozen=True)
class ListedSession:
    """A session, as a list shows it. Times are ISO 8601 in UTC.

    Attributes:
        session_id: The session.
        title: The title it was given, or the first words of its first prompt; ``None`` when there are none.
        created_at: When it began.
        forked_from: The session that it was forked off, if it was.
        last_used_at: When it was used last, with the order ``recent``.
        running_turn: The turn that runs in it, with the order ``recent``.
    """

    session_id: str
    title: str | None
    created_at: str | None
    forked_from: str | None
    last_used_at: str | None
    running_turn: RunningTurn | None


@dataclass(frozen=True)
class SessionsPage:
    """A page of sessions. It may have fewer than were asked for, even none, and still a ``next_cursor``.

    Attributes:
        sessions: The sessions.
        next_cursor: Gets the next page; ``None`` at the end.
    """

    sessions: tuple[ListedSession, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class Fork:
    """A session that began as another one was before a turn.

    Attributes:
        session_id: The new session.
        forked_from: The session it began as.
        agent_id: Whose turn it was.
        before_message: The first message of that turn.
        message_count: How many messages of this agent it began with.
        state: Of the agents: ``as then``, or ``unknown`` where nobody kept it, and it began empty.
    """

    session_id: str
    forked_from: str
    agent_id: str
    before_message: int
    message_count: int
    state: str


def page_of(value: dict[str, Any]) -> SessionsPage:
    """A page from its parsed JSON object."""
    return SessionsPage(tuple(_listed(row) for row in value["sessions"]), value["next_cursor"])


def fork_of(value: dict[str, Any]) -> Fork:
    """A fork from its parsed JSON object. Fields that this version does not know are left out."""
    return Fork(**{name: value[name] for name in Fork.__dataclass_fields__})


def _listed(row: dict[str, Any]) -> ListedSession:
    running = row.get("running_turn")
    return ListedSession(
        session_id=row["session_id"],
        title=row.get("title"),
        created_at=row.get("created_at"),
        forked_from=row.get("forked_from"),
        last_used_at=row.get("last_used_at"),
        running_turn=None if running is None else RunningTurn(running["turn_id"], running["agent_id"]),
    )
