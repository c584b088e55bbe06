"""The ``history.json`` of one agent: written beside a turn, believed when the agent's record names it, then removed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_sessions._objects.copies import Base, Entry, FoundBase, read_base, write_base
from agent_sessions._records.background import submit
from agent_sessions._records.records import new_nonce
from agent_sessions.exceptions import SessionException, named
from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, StoredObject, Unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records

logger = logging.getLogger(__name__)


class HistoryObject:
    """Reads, writes and removes an agent's base. It is derived: whatever happens to it, nothing is lost.

    What it must not do is to hold a message that has been redacted. So nobody leaves one behind that no record names.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        agent_id: The agent.

    Attributes:
        base: The base that goes with the tail, if there is one.
    """

    def __init__(self, records: Records, layout: Layout, session_id: str, agent_id: str) -> None:
        self._records = records
        self._session_id = session_id
        self._agent_id = agent_id
        self.key = layout.history(session_id, agent_id)
        self.base: Base | None = None
        self._asked: Future[StoredObject | None] | None = None  # until somebody wants to know
        self._etag: str | None = None  # of what is stored, believed or not
        self._unsure = False  # whether something may be stored that nobody has seen
        self._unnamed: str | None = None  # the ETag of a base of ours that no record names yet
        self._new: Future[Base] | None = None
        self._sweeping: Future[bool] | None = None

    # --- restoring --------------------------------------------------------------------------------------

    def take(self, asked: Future[StoredObject | None]) -> None:
        """Take over what was asked for. Nobody waits for it before it is needed."""
        self._asked = asked

    def read(self) -> FoundBase | None:
        """The base that is stored, whoever wrote it, if it is of this agent and this life of the session.

        Can be read once. Where the storage cannot, the messages are listed instead.
        """
        found = self._see()
        if found is None:
            return None
        return read_base(
            found.body,
            session_id=self._session_id,
            agent_id=self._agent_id,
            incarnation=self._records.incarnation(self._session_id) or "",
        )

    def _see(self) -> StoredObject | None:
        """What was asked for, when it has not been seen yet."""
        asked, self._asked = self._asked, None
        if asked is None:
            return None
        try:
            found = asked.result()
        except SessionException as error:
            logger.warning("key=<%s> | the derived copy cannot be read: %s", self.key, named(error))
            self._unsure = True
            return None
        self._etag = found.etag if found else None
        return found

    # --- writing ----------------------------------------------------------------------------------------

    def begin(self, tail: Sequence[Entry], *, first_id: int) -> None:
        """Begin to write a new base, of the old one and the tail; :meth:`take_over` waits for it."""
        self._see()
        base = self.base
        self._new = submit(self._records.objects, lambda: self._write(base, tail, first_id))

    def _write(self, base: Base | None, tail: Sequence[Entry], first_id: int) -> Base:
        new = write_base(
            [*(base.entries() if base else []), *tail],
            first_id=first_id,
            nonce=new_nonce(),
            session_id=self._session_id,
            agent_id=self._agent_id,
            incarnation=self._records.incarnation(self._session_id) or "",
        )
        expect: Expectation = Unchanged(self._etag) if self._etag else Absent()
        try:
            written = self._records.objects.put(self.key, new.body, expect)
        except PreconditionFailedError as error:
            if self._etag is not None or error.found is None:
                raise  # removed or replaced by a writer who knows more than this one
            # Left by a writer that died before any record named it; nobody believes it.
            written = self._records.objects.put(self.key, new.body, Unchanged(error.found.etag))
        self._etag = self._unnamed = written.etag
        return new

    def take_over(self) -> Base | None:
        """Wait for a new base that is being written, and return it; ``None`` when there is none."""
        if self._new is None:
            return None
        future, self._new = self._new, None
        try:
            self.base = future.result()
        except (SessionException, PreconditionFailedError) as error:
            self._unsure = isinstance(error, SessionException)
            # Without it the next restore is slower, and as right.
            logger.warning("session_id=<%s>, key=<%s> | not written: %s", self._session_id, self.key, named(error))
            return None
        return self.base

    def is_named(self) -> None:
        """The agent's record has been written: it names the base."""
        self._unnamed = None

    # --- removing ---------------------------------------------------------------------------------------

    def withdraw(self) -> None:
        """Remove the base that was written for a record which was refused: who refused it may have redacted.

        Nothing more is written after that.
        """
        self.take_over()
        unnamed, self._unnamed = self._unnamed, None
        if unnamed is None:
            return
        try:
            self._records.objects.delete_version(self.key, unnamed)
        except SessionException as error:
            logger.warning("session_id=<%s>, key=<%s> | not removed: %s", self._session_id, self.key, named(error))

    def sweep(self) -> None:
        """Begin to remove what is stored and goes with no record: left by a writer that died."""
        if self.base is None and (self._etag is not None or self._asked is not None):
            self._sweeping = submit(self._records.objects, self._sweep)

    def _sweep(self) -> bool:
        self._see()  # here, for the model is not to wait for it
        etag, self._etag = self._etag, None
        return etag is not None and self._records.objects.delete_version(self.key, etag)

    def settle(self) -> None:
        """Return when nothing is being removed any more."""
        sweeping, self._sweeping = self._sweeping, None
        try:
            if sweeping is not None:
                sweeping.result()
        except SessionException as error:
            logger.warning("session_id=<%s>, key=<%s> | not removed: %s", self._session_id, self.key, named(error))

    def remove(self, message_id: int) -> list[Entry]:
        """Remove the base when it holds a message that is about to change, or may hold it.

        Returns:
            What was in it.
        """
        self.settle()
        self._see()
        entries: list[Entry] = []
        if self.base is not None and (message_id <= self.base.last_id or self._unsure):
            entries, self.base = self.base.entries(), None
        if self.base is None and (self._etag is not None or self._unsure):
            self._records.objects.delete([self.key])
            self._etag, self._unsure, self._unnamed = None, False, None
        return entries

    def remove_others(self) -> list[Entry]:
        """Remove what another writer has put there meanwhile: it was restored before the message changed.

        Returns:
            What was in the base that stood there before.
        """
        self.settle()
        self._see()
        found = self._records.objects.get(self.key)
        if found is None or found.etag == self._etag:
            return []
        self._records.objects.delete_version(self.key, found.etag)
        entries = self.base.entries() if self.base is not None else []
        self.base = self._etag = None
        return entries
