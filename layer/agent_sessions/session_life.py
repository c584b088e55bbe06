"""The lives of a session: how one begins, how it is found again, and how it ends without a trace."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from agent_sessions.exceptions import SessionCorruptError, SessionExistsError, SessionNotFoundError
from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, StoredObject, Unchanged
from agent_sessions.records import Record, Records, corrupt, encode, incarnation_in, incarnation_of
from agent_sessions.types import Session, SessionType

if TYPE_CHECKING:
    from agent_sessions.layout import Layout
    from agent_sessions.object_store import ListedObject

logger = logging.getLogger(__name__)


class SessionLife:
    """Begins, finds and ends the lives of sessions.

    Args:
        records: Where the records are.
        layout: How they are named.
    """

    def __init__(self, records: Records, layout: Layout) -> None:
        self._records = records
        self._layout = layout

    def begin(self, session: Session, *, expect: Expectation | None = None) -> Session:
        """Begin a life with one conditional write.

        Args:
            session: The session's record.
            expect: What is to be replaced; nothing when not given.

        Raises:
            SessionExistsError: The session lives.
        """
        session_id = session.session_id
        key = self._layout.session(session_id)
        incarnation = str((session.kit or {}).get("incarnation") or uuid.uuid4().hex)
        folder = self._layout.session_folder(session_id)
        for name in ("agents", "multi_agents"):
            self._records.objects.make_folder(f"{folder}{name}/")
        body, _ = encode(key, session.to_dict(), incarnation)
        try:
            self._records.objects.put(key, body, expect or Absent())
        except PreconditionFailedError as error:
            raise SessionExistsError(f"Session {session_id} already exists", session_id=session_id, key=key) from error
        self._records.live_in(session_id, incarnation)
        return session

    def find(self, session_id: str) -> Session | None:
        """The session, or ``None`` when there is none or it is being erased."""
        record = self._records.get(self._layout.session(session_id))
        return None if record is None or _is_erased(record) else self._found(session_id, record)

    def find_or_begin(self, session_id: str) -> tuple[Session, bool]:
        """The session, or a new life of it.

        Returns:
            The session, and whether it is new.
        """
        key = self._layout.session(session_id)
        while True:
            record = self._records.get(key)
            if record is not None and not _is_erased(record):
                return self._found(session_id, record), False
            try:
                if record is not None:
                    # Somebody died while erasing it.
                    return self._begin_anew(session_id, record.stored), True
                listed = self._records.objects.list(self._layout.session_folder(session_id))
                # Whoever begins a session may hold its lease already.
                leftovers = [entry for entry in listed if entry.key != self._layout.lease(session_id)]
                if any(entry.key == key for entry in leftovers):
                    continue
                session = Session(session_id=session_id, session_type=SessionType.AGENT)
                survived = self._what_survived(session_id, leftovers)
                if survived is not None:
                    session.kit = {"incarnation": survived}
                self.begin(session)
            except (SessionExistsError, PreconditionFailedError):
                continue  # another caller was faster: the session is that caller's as well as ours
            if survived is None:
                # Not before the new life has begun: then nobody can mistake its first objects for leftovers.
                self._sweep(session_id, leftovers)
            return session, survived is None

    def _begin_anew(self, session_id: str, found: StoredObject) -> Session:
        """Begin a new life in the place of one that ends: erase what is left, without ever letting go of the key.

        Raises:
            PreconditionFailedError: Another caller has taken the place.
        """
        mark = self._mark_erased(session_id, found)
        keep = [self._layout.session(session_id), self._layout.lease(session_id)]
        self._records.objects.erase(self._layout.session_folder(session_id), keep=keep)
        self._records.forget(session_id, self._layout.session_folder(session_id))
        return self.begin(Session(session_id=session_id, session_type=SessionType.AGENT), expect=Unchanged(mark))

    def _what_survived(self, session_id: str, leftovers: list[ListedObject]) -> str | None:
        """Look at what lies below a session without a record of its own.

        An agent's record says that a lifecycle rule, or somebody, has deleted the session's record alone: the rest is
        still the session. Messages alone were landed late by a writer of an erased life, unless Strands wrote them.

        Returns:
            The life that goes on, or ``None`` when nothing does.
        """
        keys = [entry.key for entry in leftovers]
        heads = [key for key in keys if key.endswith(("/agent.json", "/multi_agent.json"))]
        for key in heads or keys:
            try:
                record = self._records.get(key)
            except SessionCorruptError:
                continue  # what cannot be read belongs to no life
            if record is not None and (heads or incarnation_of(record.content) is None):
                logger.warning("session_id=<%s> | session.json is missing, the session goes on without it", session_id)
                return incarnation_of(record.content) or uuid.uuid4().hex
        return None

    def _sweep(self, session_id: str, leftovers: list[ListedObject]) -> None:
        """Delete what an earlier life has left, as it was listed, and nothing written since."""
        for entry in leftovers:
            found = self._records.objects.get(entry.key)
            if found is not None and incarnation_in(found) != self._records.incarnation(session_id):
                self._records.objects.delete_version(entry.key, found.etag)
                logger.warning(
                    "session_id=<%s>, key=<%s> | left over from an earlier life, deleted", session_id, entry.key
                )

    def end(self, session_id: str) -> None:
        """Erase everything of a session.

        Raises:
            SessionNotFoundError: There is nothing of it.
            SessionStorageError: Something could not be deleted; the error names what is left.
        """
        key = self._layout.session(session_id)
        folder = self._layout.session_folder(session_id)
        found = self._records.objects.get(key)
        try:
            # From here on the session is gone to every reader, however long the rest takes. Without the mark, what
            # a crash leaves behind would look like a session that a lifecycle rule has damaged, and be restored.
            mark = self._mark_erased(session_id, found) if found is not None else None
        except PreconditionFailedError:
            found, mark = None, None  # somebody else has just erased it
        erased = self._records.objects.erase(folder, keep=[key])
        if found is None and not erased:
            raise SessionNotFoundError(f"Session {session_id} does not exist", session_id=session_id)
        self._records.objects.erase(folder, keep=[key])  # what was on its way when the first pass looked
        if mark is not None:
            self._records.objects.delete_version(key, mark)
            self._records.objects.erase(folder, keep=[key])  # the empty folders
        self._records.forget(session_id, folder)

    def _mark_erased(self, session_id: str, found: StoredObject) -> str:
        """Say in the session's record that the session is being erased, and return the mark's ETag.

        Raises:
            PreconditionFailedError: The record is gone.
        """
        key = self._layout.session(session_id)
        mark = Session(session_id=session_id, session_type=SessionType.AGENT, kit={"erased": True})
        while True:
            body, _ = encode(key, mark.to_dict(), uuid.uuid4().hex)
            try:
                return self._records.objects.put(key, body, Unchanged(found.etag)).etag
            except PreconditionFailedError as error:
                if error.found is None:
                    raise
                found = error.found

    def _found(self, session_id: str, record: Record) -> Session:
        try:
            session = Session.from_dict(record.content)
        except (TypeError, ValueError) as error:
            raise corrupt(record.key, f"not a session: {error}") from error
        # A session that Strands created has no name for its life. When it was created tells its lives apart, too.
        self._records.live_in(session_id, incarnation_of(record.content) or f"created:{session.created_at}")
        return session


def _is_erased(record: Record) -> bool:
    return bool(record.kit.get("erased"))
