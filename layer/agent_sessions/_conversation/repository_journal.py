"""The journal of any repository: a session manager's needs met by the documented verbs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.journal import Appended, Conversation, Journal
from agent_sessions._conversation.orchestrators import Orchestrators
from agent_sessions._conversation.whole_turns import WholeTurns
from agent_sessions._conversation.window import split_window
from agent_sessions._records.shapes import agent_problem, message_problem
from agent_sessions.exceptions import SessionCorruptError, SessionException, SessionNotFoundError
from agent_sessions.types import Session, SessionType, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands.types.content import Message

    from agent_sessions.session_repository import SessionRepository
    from agent_sessions.types import SessionAgent, SessionMessage


class RepositoryJournal(Journal):
    """Opens one session of a repository and writes its turns, message by message.

    Args:
        repository: Where the session lives.
        session_id: The session.
    """

    def __init__(self, repository: SessionRepository, session_id: str) -> None:
        self.repository = repository
        self.session_id = session_id
        self.orchestrators = Orchestrators(repository, session_id)

    @property
    def turns(self) -> WholeTurns:
        """Nothing is done for a turn as a whole."""
        return WholeTurns()

    def open(self) -> tuple[Session, bool]:
        """See :meth:`Journal.open`."""
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
        """See :meth:`Journal.read_agent`."""
        record = self.repository.read_agent(self.session_id, agent_id)
        problem = agent_problem(_fields_of(record)) if record is not None else None
        if problem is not None:
            raise SessionCorruptError(
                f"session_id={self.session_id}, agent_id={agent_id} | not an agent: {problem}",
                session_id=self.session_id,
            )
        return record

    def create_agent(self, session_agent: SessionAgent) -> None:
        """See :meth:`Journal.create_agent`."""
        self.repository.create_agent(self.session_id, session_agent)

    def update_agent(self, session_agent: SessionAgent) -> None:
        """See :meth:`Journal.update_agent`."""
        self.repository.update_agent(self.session_id, session_agent)

    def read_conversation(self, session_agent: SessionAgent, removed_message_count: int) -> Conversation:
        """See :meth:`Journal.read_conversation`."""
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
        """See :meth:`Journal.append`."""
        self.repository.create_message(self.session_id, agent_id, record)
        self._tell_stored(agent_id, record.message_id)
        return Appended.BEHIND_IT

    def rewrite(
        self,
        agent_id: str,
        message_id: int,
        change: Callable[[SessionMessage], SessionMessage | None],
        *,
        redacts: bool = False,  # noqa: ARG002 - a repository without versions has nothing more to forget
    ) -> None:
        """See :meth:`Journal.rewrite`."""
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

    def read_records(self, agent_id: str, first_id: int, end_id: int) -> list[SessionMessage]:
        """See :meth:`Journal.read_records`."""
        found = (self.repository.read_message(self.session_id, agent_id, number) for number in range(first_id, end_id))
        return [record for record in found if record is not None]


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
