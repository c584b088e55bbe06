"""A session repository over an object store, in the layout that Strands' own managers use."""
# Over 300 lines: the documented verbs of a repository, each with its errors.

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from agent_sessions._life.session_life import SessionLife
from agent_sessions._objects.log_removal import drop_log
from agent_sessions._objects.object_journal import ObjectJournal
from agent_sessions._objects.orchestrators import state_in, state_of
from agent_sessions._objects.redacted_titles import drop_title, redact_title
from agent_sessions._records.message_records import list_message_ids, message_in
from agent_sessions._records.own_names import checked_agent, checked_multi_agent
from agent_sessions._records.record_format import Record, parsed
from agent_sessions._records.records import Records
from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.object_store import Absent, ObjectStore
from agent_sessions.session_repository import SessionRepository
from agent_sessions.types import (
    Session,
    SessionAgent,
    SessionMessage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._conversation.journal import Journal
    from agent_sessions._life.erasure import SessionErasure
    from agent_sessions._objects.read_ahead import ReadAhead
    from agent_sessions._objects.turn_writer import Durability, Fence
    from agent_sessions._records.layout import Layout
    from agent_sessions.lease import SessionLease

logger = logging.getLogger(__name__)


class ObjectSessionRepository(SessionRepository):
    """Sessions as objects.

    Args:
        objects: Where the objects live.
        layout: How they are named.
        durability: When a message appended by a session manager is durable: ``message``: when it has been appended;
            ``turn``: at the latest when the turn has ended, writing while the model works.
        fence: What a turn's first message is waited for before: ``model``: its model is called; ``effects``: the turn
            has an effect. See :class:`~agent_sessions.s3_session_manager.S3SessionManager`.
        consolidates: Whether to keep derived copies for a restore in one round trip. Where reading an object costs
            next to nothing, as on a disk, they are not worth their bytes.
        agent_id: The agent a session manager expects, whose records are then asked for together with the session's.
        lease: The session's lease, where the caller has taken it. While it is held, messages beyond the restored
            conversation were left by a turn that was cut off, and the session goes on behind them.
        ttl_days: Days after its last use at which a session expires; ``0`` or ``None`` for never.
        time_left: Tells the seconds until whoever waits for a turn has to be answered. What can wait for the next turn,
            such as renewing a long session, then ends in time. When not given, nobody says.
        recent: Whether turns keep the session in the list of those used last, and give it a title: see
            ``SessionStore.list_recent``.
        read_ahead: What was asked for while the lease was being taken: see ``SessionStore.read_ahead``.
    """

    def __init__(
        self,
        objects: ObjectStore,
        layout: Layout,
        *,
        durability: Durability = "message",
        fence: Fence = "model",
        consolidates: bool = False,
        agent_id: str | None = None,
        lease: SessionLease | None = None,
        ttl_days: float | None = None,
        time_left: Callable[[], float] | None = None,
        recent: bool = False,
        read_ahead: ReadAhead | None = None,
    ) -> None:
        if durability not in {"message", "turn"}:
            raise ValueError(f"durability={durability!r} | must be 'message' or 'turn'")
        if fence not in {"model", "effects"}:
            raise ValueError(f"fence={fence!r} | must be 'model' or 'effects'")
        if fence == "effects" and durability != "turn":
            raise ValueError(
                f"fence='effects', durability={durability!r} | only with durability='turn' may the model be called "
                "before a turn's first message is stored"
            )
        self.objects = objects
        self.layout = layout
        self.records = Records(objects, layout)
        self._ttl_days = ttl_days
        self.life = SessionLife(self.records, layout, ttl_days=ttl_days)
        self.life.keeps_recent = self._recent = recent
        self._is_read_by_a_journal = False
        self._consolidates = consolidates
        self._journal_options = {
            "durability": durability,
            "fence": fence,
            "consolidates": consolidates,
            "agent_id": agent_id,
            "lease": lease,
            "time_left": time_left,
            "read_ahead": read_ahead,
        }

    def session_journal(self, session_id: str) -> Journal:
        """What a session manager writes its turns with.

        A subclass that changes what is read or written keeps every word of it: its methods are called one by one.

        The first journal, which is a manager's own, knows what this repository's methods have read and written. Every
        later one belongs to another writer and knows what it has read itself: what one of them writes is news to the
        other, and refuses it.
        """
        verbs = ("session", "agent", "message", "messages", "multi_agent")
        names = [f"{doing}_{what}" for doing in ("create", "read", "update", "list") for what in verbs]
        changed = [
            name
            for name in names
            if getattr(type(self), name, None) is not getattr(ObjectSessionRepository, name, None)
        ]
        if changed:
            logger.debug("overridden=<%s> | writing through the repository's own methods", ",".join(changed))
            from agent_sessions._conversation.repository_journal import RepositoryJournal

            return RepositoryJournal(self, session_id)
        records, life = self.records, self.life
        if self._is_read_by_a_journal:
            records = Records(self.objects, self.layout)
            life = SessionLife(records, self.layout, ttl_days=self._ttl_days)
            life.keeps_recent = self._recent
        self._is_read_by_a_journal = True
        return ObjectJournal(records, self.layout, life, session_id, **self._journal_options)  # type: ignore[arg-type] # the keywords of this constructor

    # --- sessions ---------------------------------------------------------------------------------------

    def create_session(self, session: Session, **kwargs: Any) -> Session:  # noqa: ARG002
        """Create a session with one conditional write.

        Raises:
            SessionExistsError: There is one of this id.
        """
        return self.life.create(session)

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:  # noqa: ARG002
        """Read a session, or ``None`` when there is none, it has expired or it is being erased."""
        return self.life.find(session_id)

    def delete_session(self, session_id: str, **kwargs: Any) -> None:  # noqa: ARG002
        """Erase everything of a session.

        Raises:
            SessionNotFoundError: There is nothing of it.
            SessionStorageError: Something could not be deleted; the error names what is left.
        """
        self.erasure(session_id).run()

    def erasure(self, session_id: str, *, clock: Callable[[], float] = time.monotonic) -> SessionErasure:
        """An erasure of a session that can be asked to end in time, and watched from another thread."""
        from agent_sessions._life.erasure import SessionErasure

        return SessionErasure(self.records, self.layout, session_id, clock=clock)

    # --- agents -----------------------------------------------------------------------------------------

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:  # noqa: ARG002
        """Create an agent.

        Raises:
            SessionConflictError: The session has an agent of this id.
        """
        self._find(session_id)
        self.objects.make_folder(self.layout.messages_folder(session_id, session_agent.agent_id))
        self.records.create_head(
            session_id, self.layout.agent(session_id, session_agent.agent_id), session_agent.to_dict()
        )

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:  # noqa: ARG002
        """Read an agent, or ``None`` when the session has none of this id."""
        record = self._own(session_id, self.layout.agent(session_id, agent_id))
        return None if record is None else parsed(SessionAgent, checked_agent(record, agent_id))

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace an agent.

        Raises:
            SessionConflictError: It has changed since it was read.
            SessionNotFoundError: There is none of this id.
        """
        key = self.layout.agent(session_id, session_agent.agent_id)
        created_at = self._created_at(session_id, key, f"Agent {session_agent.agent_id} in session {session_id}")
        session_agent.created_at = created_at or session_agent.created_at
        self.records.update(session_id, key, session_agent.to_dict())

    # --- messages ---------------------------------------------------------------------------------------

    def create_message(
        self,
        session_id: str,
        agent_id: str,
        session_message: SessionMessage,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Create a message.

        Raises:
            SessionConflictError: There is a message of this id: another writer came first.
        """
        self._find(session_id)
        key = self.layout.message(session_id, agent_id, session_message.message_id)
        self.records.create(session_id, key, session_message.to_dict())

    def read_message(
        self,
        session_id: str,
        agent_id: str,
        message_id: int,
        **kwargs: Any,  # noqa: ARG002
    ) -> SessionMessage | None:
        """Read a message, or ``None`` when there is none of this id."""
        record = self._own(session_id, self.layout.message(session_id, agent_id, message_id))
        return None if record is None else message_in(record)

    def update_message(
        self,
        session_id: str,
        agent_id: str,
        session_message: SessionMessage,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Replace a message.

        Raises:
            SessionConflictError: It has changed since it was read.
            SessionNotFoundError: There is none of this id.
        """
        key = self.layout.message(session_id, agent_id, session_message.message_id)
        created_at = self._created_at(session_id, key, f"Message {session_message.message_id}")
        session_message.created_at = created_at or session_message.created_at
        if self._consolidates:
            # The derived copies must not go on showing what has just been replaced.
            self.records.delete(self.layout.history(session_id, agent_id))
            drop_log(self.records, session_id, self.layout.agent(session_id, agent_id))
        drop_title(self.records, self.layout, self.life, session_id, agent_id, session_message)
        self.records.update(session_id, key, session_message.to_dict())
        if self._consolidates:
            # Whoever was restored in between may have read the old message.
            drop_log(self.records, session_id, self.layout.agent(session_id, agent_id))
        redact_title(self.records, self.layout, self.life, session_id, agent_id, session_message)

    def list_messages(
        self,
        session_id: str,
        agent_id: str,
        limit: int | None = None,
        offset: int = 0,
        *,
        first_id: int = 0,
        **kwargs: Any,  # noqa: ARG002
    ) -> list[SessionMessage]:
        """List an agent's messages in the order of their ids.

        With ``limit`` and ``first_id`` it costs what is read, with ``offset`` a listing of the whole conversation, too.

        Args:
            session_id: The session.
            agent_id: The agent.
            limit: At most so many; ``None`` for all.
            offset: Leave out so many from the start: a position, as in every repository.
            first_id: The smallest id wanted. Unlike ``offset`` it means the same message whatever is missing.
            **kwargs: For later additions.

        Raises:
            SessionCorruptError: A message cannot be read; the error names its key.
        """
        self._find(session_id)
        if limit is not None and limit > 0 and offset == 0:
            from agent_sessions._objects.conversation_pages import ConversationPlace, read_page

            conversation = ConversationPlace(self.records, self.layout, session_id, agent_id)
            return read_page(conversation, first_id, limit=limit).messages
        ids = [message_id for message_id, _ in list_message_ids(self.objects, self.layout, session_id, agent_id)]
        keys = [self.layout.message(session_id, agent_id, message_id) for message_id in ids if message_id >= first_id]
        # Records of an earlier life take no part in the count, and which they are shows only when they are read.
        return [message_in(record) for record in self.records.own_many(session_id, keys)][offset:][:limit]

    def quarantine_message(self, session_id: str, agent_id: str, message_id: int) -> str:
        """Put a message that cannot be read aside, so that the rest of the session can be used again.

        Returns:
            The key under which its bytes are kept, unchanged, within the session.

        Raises:
            SessionNotFoundError: There is no object of this id.
        """
        key = self.layout.message(session_id, agent_id, message_id)
        found = self.objects.get(key)
        if found is None:
            raise SessionNotFoundError(f"Message {message_id} does not exist", session_id=session_id, key=key)
        aside = self.layout.quarantine(session_id, agent_id, message_id, uuid.uuid4().hex)
        self.objects.put(aside, found.body, Absent())
        self.records.delete(key)
        logger.warning("session_id=<%s>, key=<%s>, aside=<%s> | message put into quarantine", session_id, key, aside)
        return aside

    # --- orchestrators ----------------------------------------------------------------------------------

    def create_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Create an orchestrator's state.

        Raises:
            SessionConflictError: The session has one of this id.
        """
        self._find(session_id)
        key = self.layout.multi_agent(session_id, multi_agent.id)
        self.records.create_head(session_id, key, state_of(multi_agent))

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:  # noqa: ARG002
        """Read an orchestrator's state, or ``None`` when the session has none of this id."""
        key = self.layout.multi_agent(session_id, multi_agent_id)
        record = self._own(session_id, key)
        if record is None:
            return None
        return state_in(checked_multi_agent(record, multi_agent_id))

    def update_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace an orchestrator's state.

        Raises:
            SessionConflictError: It has changed since it was read.
            SessionNotFoundError: There is none of this id.
        """
        key = self.layout.multi_agent(session_id, multi_agent.id)
        self._created_at(session_id, key, f"MultiAgent state {multi_agent.id} in session {session_id}")
        self.records.update(session_id, key, state_of(multi_agent))

    # --------------------------------------------------------------------------------------------------

    def _find(self, session_id: str) -> None:
        """Learn which life of the session is meant, once."""
        if self.records.incarnation(session_id) is None and self.life.find(session_id) is None:
            raise SessionNotFoundError(
                f"Session {session_id} does not exist", session_id=session_id, key=self.layout.session(session_id)
            )

    def _own(self, session_id: str, key: str) -> Record | None:
        if self.records.incarnation(session_id) is None and self.life.find(session_id) is None:
            return None
        return self.records.own(session_id, key)

    def _created_at(self, session_id: str, key: str, what: str) -> str | None:
        """When the record was created that an update is to replace: the version read last, or the one stored now."""
        self._find(session_id)
        if self.records.known(key) is None and self.records.own(session_id, key) is None:
            raise SessionNotFoundError(f"{what} does not exist", session_id=session_id, key=key)
        known = self.records.known(key)
        return known.created_at if known else None
