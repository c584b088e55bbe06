"""The lives of a session: how one begins, how it is found again, and how it ends without a trace.

A life ends when it is erased, or when the session has expired. In both cases the session's record is marked first, and
everything below it is deleted before another life begins in its place. A caller that finds the mark finishes the
deletion.
"""
# Over 300 lines: the verbs of a life; what they decide is in standing, what they count in last_use.

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from agent_sessions._life.look_alikes import is_anothers
from agent_sessions._life.object_ages import ObjectAges
from agent_sessions._life.recent_markers import with_recent
from agent_sessions._life.session_age import SessionAge, record_used, used_until, with_ages
from agent_sessions._life.standing import HasEnded, HasLostItsRecord, Lives, Standing, by_record, by_remains, goes_on
from agent_sessions._records.layout import is_head
from agent_sessions._records.own_names import cannot_be_told_apart
from agent_sessions._records.record_format import (
    Record,
    corrupt,
    decode,
    encode,
    incarnation_in,
    incarnation_of,
    is_erased,
    life_of,
)
from agent_sessions._records.shapes import session_problem
from agent_sessions.exceptions import SessionConflictError, SessionCorruptError, SessionExistsError
from agent_sessions.expiry import checked_ttl, is_expired
from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, StoredObject, Unchanged
from agent_sessions.types import Session, SessionType, is_of_life

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import ListedObject

logger = logging.getLogger(__name__)


class SessionLife:
    """Begins, finds and ends the lives of sessions.

    Args:
        records: Where the records are.
        layout: How they are named.
        ttl_days: Days after its last use at which a session expires; ``0`` or ``None`` for never.
    """

    clock: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds, for work that is bounded in time."""

    keeps_recent = False
    """Whether sessions that begin here are kept in the list of those used last: see ``recent_markers``."""

    def __init__(self, records: Records, layout: Layout, *, ttl_days: float | None = None) -> None:
        self._records = records
        self._layout = layout
        self._ages: dict[str, SessionAge] = {}
        self._found: dict[str, Record] = {}
        self.ttl_days = records.ttl_days = checked_ttl(ttl_days)

    def age(self, session_id: str) -> SessionAge:
        """What is known of the age of a session that was begun or found. It waits for one that is still being found."""
        self._records.wait_for_condition(session_id)
        return self._ages[session_id]

    def record(self, session_id: str) -> Record | None:
        """The record of a session that was begun or found, as it was read or written last. It waits as :meth:`age`."""
        self._records.wait_for_condition(session_id)
        return self._found.get(session_id)

    def reread(self, session_id: str) -> Record | None:
        """The record of a session that was begun or found, as it is now; ``None`` if that life has ended."""
        self._records.wait_for_condition(session_id)
        record = self._records.get(self._layout.session(session_id))
        if record is None or is_erased(record) or not self.is_current(session_id, record):
            return None
        self._found[session_id] = record
        return record

    def change_record(
        self, session_id: str, change: Callable[[dict[str, Any]], dict[str, Any]], *, is_use: bool
    ) -> Record | None:
        """Change what stands under ``kit`` of the record of a session that was begun or found.

        See :func:`~agent_sessions._life.record_changes.change_record`.
        """
        from agent_sessions._life.record_changes import change_record

        self._records.wait_for_condition(session_id)
        changed = change_record(self._records, self._found[session_id], change, is_use=is_use)
        if changed is not None:
            self._found[session_id] = changed
        return changed

    # --- beginning and finding --------------------------------------------------------------------------

    def create(self, session: Session) -> Session:
        """Begin a life where there is none, or where one has ended.

        Raises:
            SessionExistsError: The session lives.
        """
        try:
            return self.begin(session)
        except SessionExistsError:
            record = self._records.get(self._layout.session(session.session_id))
            if record is not None and self._is_anothers(session.session_id, record):
                raise cannot_be_told_apart("session", session.session_id, record.key) from None
            if record is None or isinstance(self._classify_record(session.session_id, record), Lives):
                raise
            try:
                return self._begin_anew(session, record.stored)
            except PreconditionFailedError as error:
                raise SessionExistsError(
                    f"Session {session.session_id} already exists", session_id=session.session_id, key=record.key
                ) from error

    def begin(self, session: Session, *, expect: Expectation | None = None) -> Session:
        """Begin a life with one conditional write.

        Args:
            session: The session's record.
            expect: What the write replaces; nothing by default.

        Raises:
            SessionExistsError: The session lives.
        """
        session_id = session.session_id
        key = self._layout.session(session_id)
        incarnation = str((session.kit or {}).get("incarnation") or uuid.uuid4().hex)
        folder = self._layout.session_folder(session_id)
        for name in ("agents", "multi_agents"):
            self._records.objects.make_folder(f"{folder}{name}/")
        if self.keeps_recent:
            session.kit = with_recent(session.kit or {})
        body, _ = encode(key, session.to_dict(), incarnation)
        try:
            written = self._records.put(key, body, expect or Absent())
        except PreconditionFailedError as error:
            raise SessionExistsError(f"Session {session_id} already exists", session_id=session_id, key=key) from error
        self._records.live_in(session_id, incarnation)
        stored = StoredObject(body, written.etag, written.at, written.at)
        self._found[session_id] = Record(key, decode(key, stored), stored)
        self._ages[session_id] = SessionAge(oldest=written.at, last_used=written.at, seen_at=written.at)
        return session

    def find(self, session_id: str) -> Session | None:
        """The session; ``None`` when there is none, it has expired or it is being erased."""
        record = self._records.get(self._layout.session(session_id))
        if record is None or self._is_anothers(session_id, record):
            return None
        standing = self._classify_record(session_id, record)
        return self._use(session_id, standing) if isinstance(standing, Lives) else None

    def find_life(self, session_id: str, seen: StoredObject) -> Session:
        """The session, in the life that is read and written already: something of it was seen before.

        It takes one read, and no thread of the store's: all of them may be waiting for this one.

        Args:
            session_id: The session.
            seen: An object of that life, which the last turn has written.

        Raises:
            SessionConflictError: That life has ended, or more has to be read to know that it has not.
        """
        key = self._layout.session(session_id)
        record = self._records.get(key)
        if record is not None and self.is_current(session_id, record) and not self._is_anothers(session_id, record):
            used, until = max(record_used(record), seen.last_modified), used_until(record)
            standing = by_record(record, last_used=min(used, until or used), ttl_days=self.ttl_days)
            if isinstance(standing, Lives):
                session = self._use(session_id, standing)
                self._ages[session_id].last_used = used
                return session
        raise SessionConflictError(
            f"session_id={session_id}, key={key} | the session is not as it was while its lease was being taken; "
            "reload it",
            session_id=session_id,
            key=key,
        )

    def find_or_begin(
        self,
        session_id: str,
        *,
        look_too: Callable[[], None] | None = None,
        likely: Callable[[], StoredObject | None] | None = None,
    ) -> tuple[Session, bool]:
        """The session, or a new life of it.

        Args:
            session_id: The session.
            look_too: Called at each look at the session's record, to ask for what else the caller wants to know: an
                earlier answer may be of another life.
            likely: Gets an object that the last turn has probably written, and that is read anyway.

        Returns:
            The session, and whether it is new.

        Raises:
            SessionBusyError: What was stored under this id before is still being erased.
        """
        while True:
            if look_too is not None:
                look_too()
            standing = self._classify(session_id, likely)
            if isinstance(standing, Lives):
                return self._use(session_id, standing), False
            try:
                if standing is not None:
                    return self._begin_where(standing, session_id), not isinstance(standing, HasLostItsRecord)
            except (SessionExistsError, PreconditionFailedError):
                pass  # another caller was faster: the session is also ours

    def _classify(self, session_id: str, likely: Callable[[], StoredObject | None] | None) -> Standing | None:
        """The session's standing; ``None`` when its record has appeared while we looked for its remains."""
        key, folder = self._layout.session(session_id), self._layout.session_folder(session_id)
        record = self._records.get(key)
        if record is not None and self._is_anothers(session_id, record):
            raise cannot_be_told_apart("session", session_id, key)
        if record is not None:
            return self._classify_record(session_id, record, likely)
        listed = self._records.objects.list(folder)
        remains = [entry for entry in listed if entry.key != self._layout.lease(session_id)]
        if any(entry.key == key for entry in remains):
            return None
        if remains and not self._records.objects.is_named_exactly(folder):
            raise cannot_be_told_apart("session", session_id, key)
        return by_remains(remains, self._find_survivor(session_id, remains))

    def _begin_where(self, standing: Standing, session_id: str) -> Session:
        """Begin a session, or write the lost record of one that goes on.

        Raises:
            SessionExistsError: Another caller has taken the place.
            PreconditionFailedError: Likewise.
        """
        session = Session(session_id=session_id, session_type=SessionType.AGENT)
        match standing:
            case HasEnded():
                return self._begin_anew(session, standing.found)
            case HasLostItsRecord():
                logger.warning("session_id=<%s> | session.json is missing, the session goes on without it", session_id)
                # The objects there are older than the new record, which must say so.
                ages = ObjectAges.all_since(standing.oldest)
                session.kit = {"incarnation": standing.incarnation, **with_ages({}, ages)}
                begun = self.begin(session)
                self._ages[session_id].oldest = standing.oldest
                return begun
            case _:
                return self.begin(session)

    def _use(self, session_id: str, standing: Lives) -> Session:
        """Go on with a life that was found. Its age is known from here on."""
        record = standing.record
        problem = session_problem(record.content)
        if problem is not None:
            raise corrupt(record.key, f"not a session: {problem}")
        session = Session.from_dict(record.content)
        if session.session_id != session_id:
            raise corrupt(record.key, f"not of session {session_id!r}: it says that it is of {session.session_id!r}")
        self._records.live_in(session_id, life_of(record.content))
        self._ages[session_id] = SessionAge.of(record, standing.last_used)
        self._found[session_id] = record
        return session

    def _is_anothers(self, session_id: str, record: Record) -> bool:
        return is_anothers(self._records.objects, self._layout, session_id, record)

    # --- used last ----------------------------------------------------------------------------------------

    def _classify_record(
        self, session_id: str, record: Record, likely: Callable[[], StoredObject | None] | None = None
    ) -> Lives | HasEnded:
        used = record.stored.last_modified if is_erased(record) else self._read_last_use(session_id, record, likely)
        standing = by_record(record, last_used=used, ttl_days=self.ttl_days)
        if isinstance(standing, HasEnded) and not is_erased(record):
            logger.info("session_id=<%s>, last_used_at=<%s> | expired", session_id, used.isoformat())
        return standing

    def _read_last_use(
        self, session_id: str, record: Record, likely: Callable[[], StoredObject | None] | None
    ) -> datetime:
        """When the session was used last, or an earlier time within the ttl.

        A turn wrote the record, when it began the session or renewed it. If that is too long ago, an object of the last
        turn that is read anyway may be younger. Only if it is not, all objects are looked at.
        """
        now, used = record.stored.read_at, record_used(record)
        if likely is not None and is_expired(used, now, self.ttl_days):
            found = likely()
            if found is not None and is_of_life(incarnation_in(found), incarnation_of(record.content)):
                used = max(used, found.last_modified)
        if is_expired(used, now, self.ttl_days):
            used = max(used, self._last_written(session_id, now) or used)
        return self._counted(session_id, record, used)

    def find_later_use(self, session_id: str, now: datetime, *, but: str | None = None) -> bool:
        """Look whether a session that was found has been used since, if it would have expired otherwise.

        Args:
            session_id: A session that was begun or found.
            now: The storage's time.
            but: A key that does not count as use: the caller has just written it, not knowing that it was too late.

        Returns:
            Whether the life goes on.
        """
        if not is_expired(self.age(session_id).last_used, now, self.ttl_days):
            return True
        record = self._records.get(self._layout.session(session_id))
        if record is not None and (is_erased(record) or not self.is_current(session_id, record)):
            return False
        used = [self._last_written(session_id, now, but=but), record_used(record) if record else None]
        last_used = max((at for at in used if at is not None), default=None)
        if last_used is not None and record is not None:
            last_used = self._counted(session_id, record, last_used)
        if last_used is None or is_expired(last_used, now, self.ttl_days):
            return False
        self._ages[session_id].last_used = last_used  # another agent of the session, in another process
        return True

    def lives_on(self, session_id: str) -> bool:
        """Look whether the life that was begun or found has not ended, with one read."""
        record = self._records.get(self._layout.session(session_id))
        return record is not None and not is_erased(record) and self.is_current(session_id, record)

    def is_current(self, session_id: str, record: Record) -> bool:
        """Whether a session's record is of the life that was found."""
        return life_of(record.content) == self._records.incarnation(session_id)

    def _last_written(self, session_id: str, now: datetime, *, but: str | None = None) -> datetime | None:
        """When a turn wrote last, or any earlier time at which the session has not expired."""
        from agent_sessions._life.last_use import find_last_use

        return find_last_use(
            self._records.objects,
            self._layout,
            session_id,
            is_enough=lambda at: not is_expired(at, now, self.ttl_days),
            but=but,
        )

    def _counted(self, session_id: str, record: Record, used: datetime) -> datetime:
        from agent_sessions._life.last_use import counted_use

        return counted_use(self._records.objects, self._layout, session_id, record, used, self.ttl_days)

    # --- ending -----------------------------------------------------------------------------------------

    def _begin_anew(self, session: Session, found: StoredObject | None) -> Session:
        """Begin a new life in the place of one that ends: erase what is left behind a mark, then replace the mark.

        Args:
            session: The new life's record.
            found: The record of the life that ends; ``None`` when there is none.

        Raises:
            SessionExistsError: Another caller has taken the place.
            PreconditionFailedError: Likewise.
            SessionBusyError: There is more to erase than a turn has time for; the next caller goes on.
        """
        from agent_sessions._life.erasure import sweep_for_next_life

        mark = sweep_for_next_life(self._records, self._layout, session.session_id, found, clock=self.clock)
        return self.begin(session, expect=Unchanged(mark))

    def _find_survivor(self, session_id: str, remains: list[ListedObject]) -> Record | None:
        """A record that shows that the session still lives, although ``session.json`` is gone."""
        from agent_sessions._life.last_use import last_use

        keys = [entry.key for entry in remains]
        folder = self._layout.session_folder(session_id)
        heads = [key for key in keys if is_head(key.removeprefix(folder))]
        used = last_use(folder, remains)
        if used is None:
            return None
        for key in heads or keys:
            try:
                record = self._records.get(key)
            except SessionCorruptError:
                continue  # a record that cannot be read belongs to no life
            if record is not None and goes_on(record, is_head=bool(heads), used=used, ttl_days=self.ttl_days):
                return record
        return None
