"""Copying one session into another store: a clean cut of it, verified, found by nobody before it is whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent_sessions.exceptions import (
    SessionBusyError,
    SessionCorruptError,
    SessionExistsError,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions.incoming_session import IncomingSession, carry_out
from agent_sessions.lease import SessionLease
from agent_sessions.session_export import listed_records

if TYPE_CHECKING:
    import threading
    from concurrent.futures import Executor

    from agent_sessions.object_store import ListedObject, ObjectStore
    from agent_sessions.session_store import SessionStore

RECORD = "session.json"
_SWEEPS = 100
"""So often what a copy that was stopped has left is swept, for some seconds each time, before the copy gives up."""


class Became(StrEnum):
    """What became of a session that was to be copied."""

    COPIED = "copied"
    SAME = "was there already"
    OTHER = "not copied: another session is there"
    USED = "not copied: it is being used"
    GONE = "not copied: it is not there, has expired, or is being erased"


@dataclass(frozen=True)
class CopiedSession:
    """The outcome.

    Attributes:
        session_id: The session.
        owner: The prefix of its owner in the source; ``None`` when it lies directly below the store.
        became: What became of it.
        records: How many records were copied.
        bytes: How many bytes these have.
        by_storage: How many of them the storage itself copied.
    """

    session_id: str
    owner: str | None
    became: Became
    records: int = 0
    bytes: int = 0
    by_storage: int = 0


class CopyStoppedError(Exception):
    """Somebody has stopped the command."""


class SessionCopy:
    """Copies sessions from one store into another.

    Args:
        source: Where they are. Nothing is written there.
        target: Where they go.
        owner: The owner's prefix in the source, for what is told.
        threads: Copy records.
        stop: Set when no more is to be copied.
    """

    def __init__(
        self,
        source: SessionStore,
        target: SessionStore,
        owner: str | None,
        *,
        threads: Executor,
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._target = target
        self._owner = owner
        self._threads = threads
        self._stop = stop

    def __call__(self, session_id: str) -> CopiedSession:
        """Copy a session.

        Raises:
            CopyStoppedError: The command was stopped; nothing of the session opens in the target.
            SessionStorageError: A storage failed, or does not return what was written to it.
        """
        self._require_going_on()
        entries = self._listed(session_id)
        if f"{self._folder(session_id)}{RECORD}" not in entries:
            return self._told(session_id, Became.GONE)
        if not _is_alive(self._source, session_id):
            return self._told(session_id, Became.GONE)
        if SessionLease(self._source, session_id, holder="agent-sessions cp").is_taken():
            return self._told(session_id, Became.USED)
        incoming = IncomingSession(self._target, session_id)
        try:
            self._begin(incoming)
        except SessionExistsError:
            return self._told(session_id, Became.SAME if self._is_same(session_id, entries) else Became.OTHER)
        try:
            return self._copy(session_id, entries, incoming)
        except (SessionExistsError, SessionBusyError) as error:
            incoming.abandon()
            return self._told(session_id, Became.OTHER if isinstance(error, SessionExistsError) else Became.USED)
        except BaseException:
            incoming.abandon()
            raise

    def _copy(self, session_id: str, entries: dict[str, ListedObject], incoming: IncomingSession) -> CopiedSession:
        folder = self._folder(session_id)
        names = [key.removeprefix(folder) for key in entries if key != f"{folder}{RECORD}"]

        def copy(name: str) -> bool | None:
            return self._copy_record(incoming, name, entries[f"{folder}{name}"])

        found = carry_out(self._threads, copy, names)
        record = self._source.objects.get(f"{folder}{RECORD}")
        # Listed again: whatever was written meanwhile has another version there, whenever it was written.
        if record is None or None in found or self._listed(session_id) != entries:
            incoming.abandon()
            return self._told(session_id, Became.USED)
        self._require_going_on()
        incoming.finish(record.body)
        self._require_same(
            self._target.objects, f"{self._target.layout.session_folder(session_id)}{RECORD}", record.body
        )
        size = sum(entry.size for entry in entries.values())
        return CopiedSession(session_id, self._owner, Became.COPIED, len(entries), size, sum(map(bool, found)))

    def _copy_record(self, incoming: IncomingSession, name: str, entry: ListedObject) -> bool | None:
        """Copy a record; returns whether the storage itself did, or ``None`` when the record is gone."""
        self._require_going_on()
        source, target = self._source.objects, self._target.objects
        key = f"{self._target.layout.session_folder(incoming.session_id)}{name}"
        written = incoming.copy(name, source, entry)
        if written is not None and written.etag == entry.etag:
            return True  # the ETag is of the bytes, or S3 would have given another
        found = source.get(entry.key)
        if found is None:
            return None
        if written is None:
            put = incoming.write(name, found.body)
            if put.etag.strip('"') == hashlib.md5(found.body, usedforsecurity=False).hexdigest():
                return False  # S3 has named the checksum of what it has stored
        self._require_same(target, key, found.body)
        return written is not None

    def _require_same(self, objects: ObjectStore, key: str, body: bytes) -> None:
        stored = objects.get(key)
        if stored is None or stored.body != body:
            raise SessionStorageError(f"key={key} | what was written reads otherwise", key=key)

    def _begin(self, incoming: IncomingSession) -> None:
        for left in reversed(range(_SWEEPS)):
            self._require_going_on()
            try:
                return incoming.begin()
            except SessionBusyError:
                if not left:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _is_same(self, session_id: str, entries: dict[str, ListedObject]) -> bool:
        folder, theirs = self._folder(session_id), self._target.layout.session_folder(session_id)
        there = {entry.key.removeprefix(theirs): entry for entry in listed_records(self._target, session_id)}
        if there.keys() != {key.removeprefix(folder) for key in entries}:
            return False
        unsure = [
            (entry, there[key.removeprefix(folder)])
            for key, entry in entries.items()
            if there[key.removeprefix(folder)].etag != entry.etag
        ]
        if any(entry.size != other.size for entry, other in unsure):
            return False
        return all(self._threads.map(self._reads_alike, unsure))

    def _reads_alike(self, pair: tuple[ListedObject, ListedObject]) -> bool:
        self._require_going_on()
        ours, theirs = self._source.objects.get(pair[0].key), self._target.objects.get(pair[1].key)
        return ours is not None and theirs is not None and ours.body == theirs.body

    def _listed(self, session_id: str) -> dict[str, ListedObject]:
        return {entry.key: entry for entry in listed_records(self._source, session_id)}

    def _folder(self, session_id: str) -> str:
        return self._source.layout.session_folder(session_id)

    def _told(self, session_id: str, became: Became) -> CopiedSession:
        return CopiedSession(session_id, self._owner, became)

    def _require_going_on(self) -> None:
        if self._stop.is_set():
            raise CopyStoppedError


def _is_alive(store: SessionStore, session_id: str) -> bool:
    """Whether a session is there, has not expired, and is not being erased. One that is damaged is."""
    try:
        store.describe(session_id)
    except SessionNotFoundError:
        return False
    except SessionCorruptError:
        return True  # it is copied as it is
    return True
