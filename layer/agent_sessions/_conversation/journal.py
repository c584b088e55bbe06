"""What a session manager needs of whatever keeps its session.

A :class:`Journal` has two forms. ``RepositoryJournal`` works over any :class:`SessionRepository`, by its documented
methods alone. ``ObjectJournal`` works over a store of objects, which can keep turns as a whole: see ``whole_turns``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from strands.types.content import Message

    from agent_sessions._conversation.orchestrators import Orchestrators
    from agent_sessions._conversation.whole_turns import WholeTurns
    from agent_sessions.types import Session, SessionAgent, SessionMessage


class Conversation(NamedTuple):
    """What a session holds of an agent's conversation, as far as its conversation manager still wants it.

    Attributes:
        pinned: Pinned messages from below the window, with their ids.
        window: The messages from the window's start on, with their ids, in order.
        next_id: The id the next message gets: one more than the highest ever stored.
    """

    pinned: list[tuple[int, Message]]
    window: list[tuple[int, Message]]
    next_id: int


class Appended(Enum):
    """What became of a message that was to be stored behind a restored conversation."""

    BEHIND_IT = "It is stored behind the conversation, as it was restored."
    BEHIND_ANOTHER = "It is stored, but behind another message than was restored last: a turn was cut off there."
    NOT_YET = "It is not stored: messages of a turn that was cut off stand in its place, and it goes behind them."


class Journal(ABC):
    """Opens one session and writes its turns.

    Attributes:
        session_id: The session.
        orchestrators: The session's graphs, swarms and other orchestrators.
    """

    session_id: str
    orchestrators: Orchestrators

    told_of_stored: Callable[[str, int], object] | None = None
    """Told the agent and the id of each new message that is stored, in order, on whatever thread has stored it."""

    told_of_renewal: Callable[[int, bool], object] | None = None
    """Told, when a turn's renewal has ended, how many objects it has renewed, and whether it failed."""

    @property
    @abstractmethod
    def turns(self) -> WholeTurns:
        """What is done for a turn as a whole, where that can be done."""

    @abstractmethod
    def open(self) -> tuple[Session | Future[Session], bool]:
        """Read the session, or create it.

        Returns:
            The session, which may be on its way still, and whether it is new: then there is nothing of it to look for.
        """

    @abstractmethod
    def read_agent(self, agent_id: str) -> SessionAgent | None:
        """Read an agent's record.

        Raises:
            SessionCorruptError: What the repository has read is none.
        """

    @abstractmethod
    def create_agent(self, session_agent: SessionAgent) -> None:
        """Store a new agent."""

    @abstractmethod
    def update_agent(self, session_agent: SessionAgent) -> None:
        """Replace an agent's record."""

    @abstractmethod
    def read_conversation(self, session_agent: SessionAgent, removed_message_count: int) -> Conversation:
        """Read what an agent's conversation manager still wants of its messages.

        Args:
            session_agent: The agent's record.
            removed_message_count: How many unpinned messages the conversation manager has removed.
        """

    @abstractmethod
    def append(self, agent_id: str, record: SessionMessage) -> Appended:
        """Store a new message; it is durable when this returns, unless it says otherwise.

        Raises:
            SessionConflictError: Another writer has stored a message in its place.
        """

    @abstractmethod
    def rewrite(
        self,
        agent_id: str,
        message_id: int,
        change: Callable[[SessionMessage], SessionMessage | None],
        *,
        redacts: bool = False,
    ) -> None:
        """Change a stored message.

        Args:
            agent_id: The agent.
            message_id: The message.
            change: Given the record as it is stored, returns it as it shall be, or ``None`` to leave it alone.
            redacts: Whether nothing may be left of what the message was.

        Raises:
            SessionNotFoundError: There is no such message.
        """

    @abstractmethod
    def read_records(self, agent_id: str, first_id: int, end_id: int) -> list[SessionMessage]:
        """Read the messages from one id up to another, as they are stored; what is missing is left out."""

    def stop(self) -> None:  # noqa: B027 - a repository whose writes are all waited for has nothing to stop
        """Write nothing more, and repeat no write that is on its way."""

    def _tell_stored(self, agent_id: str, message_id: int) -> None:
        if self.told_of_stored is not None:
            self.told_of_stored(agent_id, message_id)
