"""What a store tells: a session at a glance, pages of its messages, pages of sessions, how an erasure went."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from agent_sessions.session_title import title_in

if TYPE_CHECKING:
    from agent_sessions.sweeps import Undeleted
    from agent_sessions.types import SessionMessage


FORK = "fork"
"""Under ``kit`` of a session's record: how it was forked."""


@dataclass(frozen=True)
class AgentSummary:
    """An agent of a session, and how many messages of it are stored.

    If the session has about a thousand objects or more, the count is the number of the last message plus one: a message
    that somebody has removed from the middle counts, too.
    """

    agent_id: str
    message_count: int


@dataclass(frozen=True)
class Fork:
    """How a session was forked off another.

    Attributes:
        session_id: The new session.
        forked_from: The session it began as.
        agent_id: The agent before whose turn.
        before_message: The id of this turn's first message.
        message_count: How many messages of this agent it began with.
        state: ``as then``, or ``unknown``: nobody kept that of some agent. Then it is empty, and its conversation
            manager has removed nothing.
        request: What its caller named the request by that made it; ``None`` if nobody did.
    """

    session_id: str
    forked_from: str
    agent_id: str
    before_message: int
    message_count: int
    state: Literal["as then", "unknown"]
    request: str | None = None

    def to_kit(self) -> dict[str, Any]:
        """As the session's record has it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def fork_in(kit: dict[str, Any] | None) -> Fork | None:
    """How a session was forked, if its record says so."""
    found = (kit or {}).get(FORK)
    names = {field.name for field in fields(Fork)}
    return Fork(**found) if isinstance(found, dict) and found.keys() | {"request"} == names else None


@dataclass(frozen=True)
class RunningTurn:
    """A turn that runs at this moment.

    Attributes:
        turn_id: Names it.
        agent_id: Whose turn it is.
    """

    turn_id: str
    agent_id: str


@dataclass(frozen=True)
class SessionGlance:
    """A session in a list.

    Attributes:
        session_id: The session.
        title: What it is called: the title it was given, or the first words of its first prompt. ``None`` when it has
            neither, or no turn that keeps titles has run in it yet.
        created_at: ISO 8601, UTC; ``None`` when its record cannot be read.
        forked_from: The session that it began as.
        last_used_at: When a turn wrote to it last, by the storage's clock; ISO 8601, UTC. ``None`` where sessions are
            listed by id: nobody looks it up there.
        running_turn: The turn that runs in it; ``None`` when none does, or where sessions are listed by id.
    """

    session_id: str
    title: str | None = None
    created_at: str | None = None
    forked_from: str | None = None
    last_used_at: str | None = None
    running_turn: RunningTurn | None = None


def glance_at(session_id: str, record: dict[str, Any]) -> SessionGlance:
    """What a session's record says of it in a list."""
    kit, created_at = record.get("kit"), record.get("created_at")
    kit = kit if isinstance(kit, dict) else None
    fork = fork_in(kit)
    return SessionGlance(
        session_id,
        title_in(kit).shown,
        created_at if isinstance(created_at, str) else None,
        None if fork is None else fork.forked_from,
    )


@dataclass(frozen=True)
class RecentPage:
    """Some sessions, those used last first; ``next_cursor`` gets those after them, ``None`` at the end."""

    sessions: tuple[SessionGlance, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class SessionSummary:
    """A session at a glance.

    Attributes:
        session_id: The session.
        created_at: ISO 8601, UTC.
        last_used_at: When a turn wrote to it last, by the storage's clock; ISO 8601, UTC.
        expires_at: When it will expire unless it is used again; ``None`` when sessions do not expire.
        agents: Its agents, ordered by id. A long session with very many agents shows some of them.
        next_cursor: Gets the agents after these; ``None`` when there are no more.
        fork: How it was forked off another session; ``None`` when it was not.
        title: What it is called; ``None`` when it was given no title and has no prompt with words in it yet.
    """

    session_id: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    agents: tuple[AgentSummary, ...]
    next_cursor: str | None = None
    fork: Fork | None = None
    title: str | None = None


@dataclass(frozen=True)
class MessagePage:
    """Some messages of a conversation, in order; ``next_cursor`` gets those after them, if there are any."""

    agent_id: str
    messages: tuple[SessionMessage, ...]
    next_cursor: str | None

    def first(self, count: int) -> MessagePage:
        """The page cut to its first messages; its cursor gets the others. The count is below the page's."""
        return MessagePage(self.agent_id, self.messages[:count], str(self.messages[count].message_id))


@dataclass(frozen=True)
class SessionPage:
    """Some sessions, ordered by id, perhaps none; ``next_cursor`` gets those after them, ``None`` at the end.

    ``sessions`` says more of each, as far as that was read anyway.
    """

    session_ids: tuple[str, ...]
    next_cursor: str | None
    sessions: tuple[SessionGlance, ...] = ()


class ErasureStage(Enum):
    """How far an erasure has come.

    Attributes:
        OPEN: Nothing has been changed.
        CLOSING: The mark is being written. Until there is an answer, it may or may not stand.
        CLOSED: The mark stands: nobody reads the session. Perhaps not everything of it has been deleted.
        ERASED: Nothing of it is left.
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    ERASED = "erased"


class ErasureReport(NamedTuple):
    """The outcome of one call of an erasure.

    Attributes:
        erased: How many objects and versions it has deleted.
        left: How many are left at least, counted up to 1,000; ``0`` when nothing is left.
    """

    erased: int
    left: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left."""
        return self.left == 0


@dataclass(frozen=True)
class ErasureReceipt:
    """What has become of an owner's sessions, over all requests since the erasure began.

    Attributes:
        sessions: How many sessions are erased.
        objects: How many objects.
        versions: How many older versions of objects, in a bucket that keeps them.
        markers: How many delete markers, likewise.
        bytes: The size of all these.
        began_at: When the erasure began, by the storage's clock; ISO 8601, UTC. ``None`` when there was nothing.
        ended_at: When everything had gone; ``None`` while something is left.
        left: What could not be deleted, and why: the first 20. ``InUse`` is the lease of a session in which a turn
            runs: the session is closed, and goes with the next call after the turn.
        left_count: How many could not be deleted.
        goes_on: Whether another call can do more.
    """

    sessions: int
    objects: int
    versions: int
    markers: int
    bytes: int
    began_at: str | None
    ended_at: str | None
    left: tuple[Undeleted, ...]
    left_count: int
    goes_on: bool

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left."""
        return not self.goes_on and not self.left_count
