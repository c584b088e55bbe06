"""The ``history.json`` of one agent: written beside a turn, believed when the agent's record names it, then removed.

What is known of it is a :class:`BaseState`; here is what has to be read, written and waited for.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_sessions._objects.base_state import BaseState, Phase
from agent_sessions._objects.tail_and_base import Base, Entry, FoundBase, read_base, write_base
from agent_sessions._records.background import submit
from agent_sessions._records.record_format import new_nonce
from agent_sessions.exceptions import SessionException, named
from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, StoredObject, Unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records

logger = logging.getLogger(__name__)


class BaseObject:
    """Reads, writes and removes an agent's base.

    Only the caller's thread changes what is known; what runs beside it returns what it came to.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        agent_id: The agent.
    """

    def __init__(self, records: Records, layout: Layout, session_id: str, agent_id: str) -> None:
        self._records = records
        self._session_id = session_id
        self._agent_id = agent_id
        self.key = layout.history(session_id, agent_id)
        self._state = BaseState()
        self._asked: Future[StoredObject | None] | None = None  # until somebody wants to know
        self._writing: Future[tuple[Base, str]] | None = None
        self._sweeping: Future[None] | None = None

    @property
    def base(self) -> Base | None:
        """The base that goes with the tail, if there is one."""
        return self._state.base

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self._state.base.body) if self._state.base else 0

    # --- restoring --------------------------------------------------------------------------------------

    def expect(self, asked: Future[StoredObject | None]) -> None:
        """Take over what was asked for. Nobody waits for it before it is needed."""
        self._asked = asked

    def read(self) -> FoundBase | None:
        """The base that is stored, whoever wrote it, if it is of this agent and this life of the session.

        Can be read once. Where the storage cannot, the messages are read instead.
        """
        found = self._look()
        if found is None:
            return None
        return read_base(
            found.body,
            session_id=self._session_id,
            agent_id=self._agent_id,
            incarnation=self._records.incarnation(self._session_id) or "",
        )

    def _look(self) -> StoredObject | None:
        """What was asked for, when nobody has looked at it yet."""
        asked, self._asked = self._asked, None
        if asked is None:
            return None
        try:
            found = asked.result()
        except SessionException as error:
            logger.warning("key=<%s> | the derived copy cannot be read: %s", self.key, named(error))
            self._state = self._state.read_failed()
            return None
        self._state = self._state.seen(found.etag if found else None)
        return found

    def believe(self, base: Base) -> None:
        """What was read goes with the agent's record."""
        self._state = self._state.believed(base)

    # --- writing ----------------------------------------------------------------------------------------

    def begin(self, entries: Sequence[Entry], *, first_id: int) -> None:
        """Begin to write a new base of these entries, in the order of their ids; :meth:`take_over` waits for it."""
        self._look()
        if not entries:
            return
        etag = self._state.etag
        self._writing = submit(self._records.objects, lambda: self._write(entries, first_id, etag))

    def _write(self, entries: Sequence[Entry], first_id: int, etag: str | None) -> tuple[Base, str]:
        new = write_base(
            entries,
            first_id=first_id,
            nonce=new_nonce(),
            session_id=self._session_id,
            agent_id=self._agent_id,
            incarnation=self._records.incarnation(self._session_id) or "",
        )
        expect: Expectation = Unchanged(etag) if etag else Absent()
        try:
            written = self._records.put(self.key, new.body, expect)
        except PreconditionFailedError as error:
            if etag is not None or error.found is None:
                raise  # removed or replaced by a writer who knows more than this one
            # Left by a writer that died before any record named it; nobody believes it.
            written = self._records.put(self.key, new.body, Unchanged(error.found.etag))
        return new, written.etag

    def take_over(self) -> Base | None:
        """Wait for a new base that is being written, and return it; ``None`` when there is none."""
        if self._writing is None:
            return None
        writing, self._writing = self._writing, None
        try:
            base, etag = writing.result()
        except (SessionException, PreconditionFailedError) as error:
            if isinstance(error, SessionException):
                self._state = self._state.write_failed()
            # Without it the next restore is slower, and as right.
            logger.warning("session_id=<%s>, key=<%s> | not written: %s", self._session_id, self.key, named(error))
            return None
        self._state = self._state.written(base, etag)
        return base

    def record_written(self) -> None:
        """The agent's record has been written: it names the base."""
        self._state = self._state.named()

    def let_go(self) -> None:
        """Nobody wants its messages any more: the next record does not name it."""
        self._state = self._state.let_go()

    # --- removing ---------------------------------------------------------------------------------------

    def withdraw(self) -> None:
        """Remove our new base when our record lost: the winner may have redacted what it holds.

        Nothing more is written after that.
        """
        self.take_over()
        etag = self._state.to_withdraw
        if etag is None:
            return
        self._state = self._state.removed()
        try:
            self._records.objects.delete_version(self.key, etag)
        except SessionException as error:
            logger.warning("session_id=<%s>, key=<%s> | not removed: %s", self._session_id, self.key, named(error))

    def sweep(self) -> None:
        """Begin to remove what is stored and goes with no record: left by a writer that died."""
        is_waited_for = self._state.phase is Phase.UNSEEN and self._asked is None
        if self._state.may_be_swept and not is_waited_for:
            asked, etag = self._asked, self._state.etag
            self._asked = None
            self._sweeping = submit(self._records.objects, lambda: self._sweep(asked, etag))

    def _sweep(self, asked: Future[StoredObject | None] | None, etag: str | None) -> None:
        if asked is not None:
            found = asked.result()  # here, for the model is not to wait for it
            etag = found.etag if found else None
        if etag is not None:
            self._records.objects.delete_version(self.key, etag)

    def settle(self) -> None:
        """Return when nothing is being removed any more."""
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is None:
            return
        try:
            sweeping.result()
        except SessionException as error:
            logger.warning("session_id=<%s>, key=<%s> | not removed: %s", self._session_id, self.key, named(error))
            self._state = self._state.read_failed()
        else:
            self._state = self._state.removed()

    def remove(self, message_id: int) -> list[Entry]:
        """Remove the base when it holds a message that is about to change, or may hold it.

        Returns:
            What was in it.
        """
        self.settle()
        self._look()
        if self._state.phase is Phase.UNSEEN or not self._state.has_to_go_before(message_id):
            return []
        entries = self._state.base.entries() if self._state.base is not None else []
        self._records.objects.delete([self.key])
        self._state = self._state.removed()
        return entries

    def remove_others(self) -> list[Entry]:
        """Remove what another writer has put there meanwhile: it was restored before the message changed.

        Returns:
            What was in the base that stood there before.
        """
        self.settle()
        self._look()
        found = self._records.objects.get(self.key)
        if found is None or found.etag == self._state.etag:
            return []
        self._records.objects.delete_version(self.key, found.etag)
        entries = self._state.base.entries() if self._state.base is not None else []
        self._state = self._state.removed()
        return entries
