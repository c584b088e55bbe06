"""A session that is brought in from elsewhere, record by record: nobody finds it before it is whole.

    nothing ──mark──▶ closed ──records, markers──▶ closed ──the session's record──▶ lives
                         └───────── abandoned, or the process died ─────────▶ nothing, or closed

The mark is the one an erasure writes: no reader finds the session, and whoever begins one in its place erases first
what was brought so far. The session's record replaces exactly this mark, so that a session that has begun meanwhile
stays. It says, too, that a session is coming: so whoever lists those used last leaves the markers alone, which stand
before the session lives.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import wait
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from agent_sessions._life.erasure import is_mark, kit_in, put_mark, sweep_for_next_life
from agent_sessions._life.living import has_ended
from agent_sessions._life.look_alikes import is_anothers
from agent_sessions._life.recent_markers import agents_in, day_in, put_marker, with_recent
from agent_sessions._records.record_format import INCOMING, Record, is_incoming, parse
from agent_sessions._records.records import Records
from agent_sessions.exceptions import (
    InvalidIdentifierError,
    SessionBusyError,
    SessionCorruptError,
    SessionException,
    SessionExistsError,
)
from agent_sessions.object_store import Absent, PreconditionFailedError, StoredObject, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor

    from agent_sessions.lease import LeasePlace
    from agent_sessions.object_store import Expectation, ListedObject, ObjectStore, Written

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")
_Written = TypeVar("_Written", "Written", "Written | None")

_RECORD = "session.json"
_LEASE = "lease.json"

BUSY_SECONDS = 1.0
"""When it makes sense to come back."""

LONGEST_SECONDS = 86_400
"""Whoever has not brought a session in by then has died."""


def is_coming(record: Record) -> bool:
    """Whether somebody is bringing the session in, as far as its record tells."""
    age = record.stored.read_at - record.stored.last_modified
    return is_incoming(record) and age.total_seconds() < LONGEST_SECONDS


class IncomingSession:
    """Brings in one session. :meth:`begin`, :meth:`write` each record but the session's own, then :meth:`finish`.

    Args:
        place: Where it is to live.
        session_id: Its id, as its record states it.
        ttl_days: Days after its last use at which a session that is there has expired, and makes room; ``0`` for never.
    """

    def __init__(self, place: LeasePlace, session_id: str, *, ttl_days: float = 0) -> None:
        self.session_id = session_id
        self._ttl_days = ttl_days
        self._objects = place.objects
        self._layout = place.layout
        self._folder = place.layout.session_folder(session_id)
        self._key = place.layout.session(session_id)
        self._records = Records(place.objects, place.layout)
        self._mark: str | None = None
        self._written: list[tuple[str, str]] = []

    def begin(self) -> None:
        """Close the place. What another import has left there is erased, and so is what has expired.

        Raises:
            SessionExistsError: Something else is stored there.
            SessionBusyError: There is more to erase than one call has time for; another call goes on. Or somebody else
                brings in a session, or erases one, at the same time.
        """
        found = self._objects.get(self._key)
        try:
            if found is not None and (is_mark(self._key, found) or self._has_expired(found)):
                swept = sweep_for_next_life(self._records, self._layout, self.session_id, found)
                self._mark = self._put_mark(Unchanged(swept))
                return
            listed = [entry.key for entry in islice(self._objects.list(self._folder), 2)]
            if found is not None or listed not in ([], [f"{self._folder}{_LEASE}"]):
                raise self._exists()
            self._mark = self._put_mark(Absent())
        except PreconditionFailedError:
            raise self._overtaken() from None

    def _has_expired(self, found: StoredObject) -> bool:
        with contextlib.suppress(SessionCorruptError):  # somebody has to look at it
            record = parse(self._key, found)
            if self._ttl_days and record is not None:
                is_others = is_anothers(self._objects, self._layout, self.session_id, record)
                return not is_others and has_ended(self._objects, self._layout, self.session_id, self._ttl_days)
        return False

    def _put_mark(self, expect: Expectation, noted: dict[str, Any] | None = None) -> str:
        return put_mark(self._records, self._layout, self.session_id, expect, **{INCOMING: True}, **(noted or {}))

    def write(self, name: str, body: bytes) -> Written:
        """Write a record. Several threads may write at once.

        Args:
            name: Its key below the session's folder, such as ``agents/agent_a/agent.json``.
            body: Its bytes; they are kept as they are.

        Raises:
            InvalidIdentifierError: The name is none of a record, or is the session's own record or its lease.
            SessionExistsError: Another session has begun in this place.
            SessionBusyError: Somebody else brings in a session here, or erases one.
        """
        key = self._key_of(name)
        return self._noted(key, lambda: self._objects.put(key, body, Absent()))

    def copy(self, name: str, source: ObjectStore, entry: ListedObject) -> Written | None:
        """Have the storage itself copy a record; as :meth:`write`, with its errors.

        Args:
            name: Its key below the session's folder.
            source: Where it is.
            entry: The record, as a listing of the source shows it.

        Returns:
            What was written; ``None`` if the storage cannot: see ``ObjectStore.copy_from``.
        """
        key = self._key_of(name)
        return self._noted(key, lambda: self._objects.copy_from(source, entry, key))

    def _key_of(self, name: str) -> str:
        if name in {_RECORD, _LEASE} or not _is_name(name):
            raise InvalidIdentifierError(f"name={name!r} | names no record of a session", session_id=self.session_id)
        return f"{self._folder}{name}"

    def _noted(self, key: str, write: Callable[[], _Written]) -> _Written:
        try:
            written = write()
        except PreconditionFailedError:
            raise self._overtaken() from None
        if written is not None:
            self._written.append((key, written.etag))
        return written

    def finish(self, record: bytes) -> None:
        """Write the session's own record. From then on the session is found.

        Raises:
            SessionExistsError: Another session has begun in this place; it stays.
            SessionBusyError: Somebody else brings in a session here, or has erased what was brought in.
            SessionStorageError: The storage failed. The session may live, if only the answer was lost.
        """
        if self._mark is None:
            raise RuntimeError(f"session_id={self.session_id} | begin first")
        try:
            self._put_markers(record)
            self._objects.put(self._key, record, Unchanged(self._mark))
        except PreconditionFailedError:
            raise self._overtaken() from None
        self._mark = None

    def _put_markers(self, record: bytes) -> None:
        """Write the markers that the agents' records note: see ``recent_markers``. The mark says so first."""
        now = datetime.now(UTC)
        agent_ids = agents_in(kit_in(self._key, StoredObject(record, "", now, now)))
        keys = [self._layout.agent(self.session_id, agent_id) for agent_id in agent_ids]
        found = zip(agent_ids, keys, self._objects.get_many(keys), strict=True)
        noted = {agent_id: day_in(kit_in(key, stored)) for agent_id, key, stored in found}
        days = {agent_id: day for agent_id, day in noted.items() if day is not None}
        if not days:
            return
        since = with_recent({}, day=min(days.values()))
        self._mark = self._put_mark(Unchanged(self._mark or ""), since)
        for agent_id, day in days.items():
            etag = put_marker(self._records, self._layout, day, self.session_id, agent_id)
            if etag is not None:
                self._written.append((self._layout.recent_marker(day, self.session_id, agent_id), etag))

    def abandon(self) -> None:
        """Take back what was written, as far as the storage works. What is left stays closed."""
        if self._mark is None:
            return
        with contextlib.suppress(SessionException):
            for key, etag in self._written:
                self._objects.delete_version(key, etag)
            # A write whose answer was lost is not in the list.
            keep = [self._key, f"{self._folder}{_LEASE}"]
            self._objects.erase(self._folder, keep=keep, still=self._is_closed)
            self._objects.delete_version(self._key, self._mark)
            self._objects.erase_some(self._folder, keep=keep, still=self._is_free)
            self._mark = None

    def _is_closed(self) -> bool:
        found = self._objects.get(self._key)
        return found is not None and found.etag == self._mark

    def _is_free(self) -> bool:
        """Whether nothing has begun here: what an erasure then finds are empty folders."""
        return self._objects.get(self._key) is None

    def _overtaken(self) -> SessionException:
        """Why the place is not this session's any more. While no session lives there, another attempt may succeed."""
        found = self._objects.get(self._key)
        if found is not None and not is_mark(self._key, found):
            return self._exists()
        return SessionBusyError(
            f"session_id={self.session_id} | somebody else brings in a session of this id, or erases it",
            session_id=self.session_id,
            retry_after_seconds=BUSY_SECONDS,
            holder="a request that begins or erases a session of the same id",
            key=self._key,
        )

    def _exists(self) -> SessionExistsError:
        return SessionExistsError(
            f"Session {self.session_id} already exists", session_id=self.session_id, key=self._key
        )


def _is_name(name: str) -> bool:
    """Whether a name leads to an object below the folder, and nowhere else."""
    parts = name.split("/")
    return all(part not in {"", ".", ".."} and part.isprintable() and "\\" not in part for part in parts)


def carry_out(executor: Executor | None, work: Callable[[_Item], _Outcome], items: Iterable[_Item]) -> list[_Outcome]:
    """The outcomes of some work on each item, at once where there are threads for it.

    If one fails, the others have ended, too: nothing is written behind a session that is then abandoned.
    """
    if executor is None:
        return [work(item) for item in items]
    begun = [executor.submit(work, item) for item in items]
    try:
        return [each.result() for each in begun]
    except BaseException:
        for each in begun:
            each.cancel()
        wait(begun)
        raise
