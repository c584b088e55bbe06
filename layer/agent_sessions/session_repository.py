"""The storage contract: implement it, and sessions live wherever you like.

``docs/CUSTOM_REPOSITORY.md`` builds one step by step. The names and signatures are those of Strands' own
``SessionRepository``, so that one class serves both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_sessions.types import Session, SessionAgent, SessionMessage


class SessionRepository(ABC):
    """Creates, reads, updates and lists the parts of sessions.

    Every implementation owes its callers:

    * Reads return what was written: store ``to_dict()`` and read back with ``from_dict()``.
    * A read of something absent returns ``None``; an update of it raises a ``SessionException``.
    * A method that returned has stored; a method that raised has not, or says so.
    """

    @abstractmethod
    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Store a new session and return it.

        Raises:
            SessionException: When a session of this id exists.
        """

    @abstractmethod
    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        """Read a session, or ``None`` when there is none."""

    @abstractmethod
    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Store a new agent of a session."""

    @abstractmethod
    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        """Read an agent, or ``None`` when the session has none of this id."""

    @abstractmethod
    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Replace an agent, keeping the ``created_at`` it has.

        Raises:
            SessionException: When the session has no agent of this id.
        """

    @abstractmethod
    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Store a new message at ``session_message.message_id``.

        Refuse an index that is taken, if the storage can: this keeps two writers from losing turns.
        """

    @abstractmethod
    def read_message(self, session_id: str, agent_id: str, message_id: int, **kwargs: Any) -> SessionMessage | None:
        """Read a message, or ``None`` when there is none at this index."""

    @abstractmethod
    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Replace a message, keeping the ``created_at`` it has. Redactions and pins come this way.

        Raises:
            SessionException: When there is no message at this index.
        """

    @abstractmethod
    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **kwargs: Any
    ) -> list[SessionMessage]:
        """List an agent's messages in the order of their ids.

        Args:
            session_id: The session.
            agent_id: The agent.
            limit: At most so many messages; ``None`` for all.
            offset: Leave out so many messages from the start: a position, not an id.
            **kwargs: For later additions.
        """

    def create_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:
        """Store the state of a graph, a swarm or another orchestrator: ``multi_agent.serialize_state()``."""
        raise NotImplementedError(f"{type(self).__name__} does not store multi-agent state")

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:
        """Read the state of an orchestrator, or ``None`` when the session has none of this id."""
        raise NotImplementedError(f"{type(self).__name__} does not store multi-agent state")

    def update_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:
        """Replace the state of an orchestrator: ``multi_agent.serialize_state()``.

        Raises:
            SessionException: When the session has none of this id.
        """
        raise NotImplementedError(f"{type(self).__name__} does not store multi-agent state")
