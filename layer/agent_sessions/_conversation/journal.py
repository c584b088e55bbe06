"""What a session manager needs of a repository, beyond the repository's own verbs.

:class:`Journal` works over any :class:`SessionRepository`, by the documented methods alone. A repository that can do
better, such as ours on S3, returns a journal of its own from ``session_journal``.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._conversation.orchestrators import Orchestrators
from agent_sessions._conversation.window import split_window
from agent_sessions._records.shapes import agent_problem, message_problem
from agent_sessions.exceptions import SessionCorruptError, SessionException, SessionNotFoundError
from agent_sessions.types import Session, SessionType, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands.types.content import Message

    from agent_sessions.session_repository import SessionRepository
    from agent_sessions.turn_request import TurnRecord
    from agent_sessions.types import SessionAgent, SessionMessage

logger = logging.getLogger(__name__)


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


class Journal:
    """Opens one session of a repository and writes its turns.

    Args:
        repository: Where the session lives.
        session_id: The session.

    Attributes:
        orchestrators: The session's graphs, swarms and other orchestrators.
    """

    told_of_stored: Callable[[str, int], object] | None = None
    """Told the agent and the id of each new message that is stored, in order, on whatever thread has stored it."""

    def __init__(self, repository: SessionRepository, session_id: str) -> None:
        self.repository = repository
        self.session_id = session_id
        self.orchestrators = Orchestrators(repository, session_id)

    def open(self) -> tuple[Session, bool]:
        """Read the session, or create it.

        Returns:
            The session, and whether it is new: then nothing of it needs to be looked for.
        """
        session = self.repository.read_session(self.session_id)
        if session is not None:
            return session, False
        session = Session(session_id=self.session_id, session_type=SessionType.AGENT)
        try:
            self.repository.create_session(session)
        except SessionException:
            # Of two first callers one is faster; the session is the other's as well.
            found = self.repository.read_session(self.session_id)
            if found is None:
                raise
            return found, False
        return session, True

    def read_agent(self, agent_id: str) -> SessionAgent | None:
        """Read an agent's record.

        Raises:
            SessionCorruptError: What the repository has read is none.
        """
        record = self.repository.read_agent(self.session_id, agent_id)
        problem = agent_problem(_fields_of(record)) if record is not None else None
        if problem is not None:
            raise SessionCorruptError(
                f"session_id={self.session_id}, agent_id={agent_id} | not an agent: {problem}",
                session_id=self.session_id,
            )
        return record

    def key_of_agent(self, agent_id: str) -> str | None:  # noqa: ARG002
        """The key of an agent's record, where there are keys."""
        return None

    def create_agent(self, session_agent: SessionAgent) -> None:
        """Store a new agent."""
        self.repository.create_agent(self.session_id, session_agent)

    def update_agent(self, session_agent: SessionAgent) -> None:
        """Replace an agent's record."""
        self.repository.update_agent(self.session_id, session_agent)

    def read_conversation(self, session_agent: SessionAgent, removed_message_count: int) -> Conversation:
        """Read what an agent's conversation manager still wants of its messages.

        Args:
            session_agent: The agent's record.
            removed_message_count: How many unpinned messages the conversation manager has removed.
        """
        # Positions are ids here: a repository that loses messages in the middle has no way to say so. Pins below the
        # window shift the count, so they are looked for wherever the record says that there are some.
        pinned = bool((session_agent.kit or {}).get("pinned"))
        offset = 0 if pinned else removed_message_count
        records = self.repository.list_messages(self.session_id, session_agent.agent_id, offset=offset)
        messages = [(record.message_id, _checked(record, self.session_id)) for record in records]
        below, window = split_window(messages, removed_message_count) if pinned else ([], messages)
        if records:
            next_id = records[-1].message_id + 1
        elif offset:
            # An empty window is no empty conversation: starting over at 0 would overwrite it.
            earlier = self.repository.list_messages(self.session_id, session_agent.agent_id)
            next_id = earlier[-1].message_id + 1 if earlier else 0
        else:
            next_id = 0
        return Conversation(below, window, next_id)

    def append(self, agent_id: str, record: SessionMessage) -> Appended:
        """Store a new message; it is durable when this returns, unless it says otherwise.

        Raises:
            SessionConflictError: Another writer has stored a message in its place.
        """
        self.repository.create_message(self.session_id, agent_id, record)
        self._tell_stored(agent_id, record.message_id)
        return Appended.BEHIND_IT

    def _tell_stored(self, agent_id: str, message_id: int) -> None:
        if self.told_of_stored is not None:
            self.told_of_stored(agent_id, message_id)

    def rewrite(
        self,
        agent_id: str,
        message_id: int,
        change: Callable[[SessionMessage], SessionMessage | None],
        *,
        redacts: bool = False,  # noqa: ARG002 - a repository without versions has nothing more to forget
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
        record = self.repository.read_message(self.session_id, agent_id, message_id)
        if record is None:
            raise SessionNotFoundError(
                f"session_id={self.session_id}, agent_id={agent_id}, message_id={message_id} | no such message",
                session_id=self.session_id,
            )
        changed = change(record)
        if changed is not None:
            changed.updated_at = utc_now()
            self.repository.update_message(self.session_id, agent_id, changed)

    def read_later(self, agent_id: str) -> tuple[int, list[tuple[int, Message]]]:
        """When the restored conversation is not the stored one: from which id on it is another, and what is there."""
        raise NotImplementedError(f"{type(self).__name__} never restores a conversation that is not whole")

    def has_later(self, agent_id: str) -> bool:  # noqa: ARG002
        """Whether messages are stored that the restored conversation lacks: a turn was cut off, or is under way."""
        return False

    def read_records(self, agent_id: str, first_id: int, end_id: int) -> list[SessionMessage]:
        """Read the messages from one id up to another, as they are stored; what is missing is left out."""
        found = (self.repository.read_message(self.session_id, agent_id, number) for number in range(first_id, end_id))
        return [record for record in found if record is not None]

    def find_elsewhere(self, agent_id: str, key: str) -> TurnRecord | None:  # noqa: ARG002
        """The turn of another agent of the session that answered the request of this key."""
        return None

    def fence(self, agent_id: str) -> None:
        """Let nobody else go on from here: refuse when somebody has, and have those refused who come later."""

    def needs_update(self, agent_id: str) -> bool:  # noqa: ARG002
        """Whether the agent's record has to be written although its value has not changed."""
        return False

    def begin_turn(self, agent_id: str) -> None:
        """A turn of the agent begins."""

    def close_turn(self, agent_id: str) -> None:
        """The turn is ending: what is written from now on may be written at once, by :meth:`end_turn`."""

    def end_turn(self, agent_id: str) -> None:
        """Return when everything of the turn is durable, or raise why it is not."""

    def abandon_turn(self, agent_id: str) -> None:
        """The turn has failed: return when nothing is being written any more."""


def _fields_of(record: SessionAgent) -> dict[str, Any]:
    names = ("agent_id", "state", "conversation_manager_state", "_internal_state", "created_at", "updated_at")
    return {name: getattr(record, name) for name in names if hasattr(record, name)}


def _checked(record: SessionMessage, session_id: str) -> Message:
    """The message of a record, as a conversation shows it.

    Raises:
        SessionCorruptError: It is none.
    """
    message = record.to_message()
    problem = "its id is no integer" if type(record.message_id) is not int else message_problem(message)
    if problem is not None:
        raise SessionCorruptError(
            f"session_id={session_id}, message_id={record.message_id} | not a message: {problem}", session_id=session_id
        )
    return message


def journal_of(repository: SessionRepository, session_id: str) -> Journal:
    """The best journal a repository offers."""
    make = getattr(type(repository), "session_journal", None)
    if make is None:
        return Journal(repository, session_id)
    journal = make(repository, session_id)
    if not isinstance(journal, Journal):
        raise SessionException(f"{type(repository).__name__}.session_journal() must return a Journal")
    return journal
