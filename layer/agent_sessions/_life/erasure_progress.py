"""How far the erasure of an owner's sessions has come, as it is stored beside them: numbers and times, no words.

    written, with what is to go next ──▶ deleted ──▶ written, with what went, and what is to go next ──▶ …

Whoever dies between two writes leaves a note of what was about to go. The next request looks which of it is there
still, and counts the rest. What is there still may go a moment later, when a deletion that was sent before lands: it
stays noted until it is deleted again, or a whole pass no longer lists it. So the totals are right wherever an erasure
was cut off. The note holds digests and sizes, and the key behind which its step began; the record of an erasure that
has ended holds neither.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions.exceptions import SessionBusyError
from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agent_sessions.object_store import ObjectStore
    from agent_sessions.sweeps import ListedVersion

logger = logging.getLogger(__name__)

FORMAT = 1
BUSY_SECONDS = 2.0

MOST_LATE = 5_000
"""So much is noted of steps that were cut off, the newest: what was sent before five such steps has landed by now."""


class Kind(StrEnum):
    """As what something that goes is counted."""

    OBJECT = "o"
    VERSION = "v"
    MARKER = "m"
    SESSION = "s"
    """The mark in the place of a session's record: the session's end, and one object."""
    END = "e"
    """A mark beside the record that it followed, or where there was none: the session's end alone."""


class Doomed(NamedTuple):
    """What is about to go.

    Attributes:
        entry: As it was listed.
        kind: As what it is counted.
        size: As how many bytes.
    """

    entry: ListedVersion
    kind: Kind
    size: int


@dataclass(frozen=True)
class Totals:
    """What has gone. See ``ErasureReceipt`` for the fields."""

    sessions: int = 0
    objects: int = 0
    versions: int = 0
    markers: int = 0
    bytes: int = 0

    def and_also(self, kind: Kind, size: int) -> Totals:
        """The totals when something more has gone."""
        return Totals(
            self.sessions + (kind in {Kind.SESSION, Kind.END}),
            self.objects + (kind in {Kind.OBJECT, Kind.SESSION}),
            self.versions + (kind is Kind.VERSION),
            self.markers + (kind is Kind.MARKER),
            self.bytes + size,
        )


@dataclass(frozen=True)
class Pending:
    """What a step was about to delete.

    Attributes:
        behind: The key behind which the step began.
        through: The last key of what it would delete.
        going: Kind and size of each, by digest.
    """

    behind: str
    through: str
    going: dict[str, tuple[Kind, int]]


@dataclass(frozen=True)
class Progress:
    """The content of the record.

    Attributes:
        began_at: When the erasure began; ``None`` before its first write.
        ended_at: When it had come to its end; ``None`` before.
        totals: What has gone.
        pending: What was about to go; ``None`` when nothing was.
        late: Kind and size, by digest, of what earlier steps were about to delete and what was there afterwards.
    """

    began_at: str | None = None
    ended_at: str | None = None
    totals: Totals = field(default_factory=Totals)
    pending: Pending | None = None
    late: dict[str, tuple[Kind, int]] = field(default_factory=dict)

    def body(self) -> bytes:
        """The record's bytes. Each are unique, so that a writer recognises its own."""
        pending = None
        if self.pending is not None:
            going = _listed(self.pending.going)
            pending = {"behind": self.pending.behind, "through": self.pending.through, "going": going}
        return json.dumps(
            {
                "format": FORMAT,
                "began_at": self.began_at,
                "ended_at": self.ended_at,
                "totals": vars(self.totals),
                "pending": pending,
                "late": _listed(self.late),
                "nonce": uuid.uuid4().hex,
            }
        ).encode()


def read_progress(body: bytes) -> Progress | None:
    """The progress that a record states; ``None`` when it cannot be understood."""
    try:
        stated: dict[str, Any] = json.loads(body)
        if stated["format"] != FORMAT:
            return None
        noted = stated["pending"]
        pending = None
        if noted is not None:
            pending = Pending(str(noted["behind"]), str(noted["through"]), _by_digest(noted["going"]))
        totals = Totals(**{name: int(number) for name, number in stated["totals"].items()})
        late = _by_digest(stated.get("late", []))
        return Progress(stated["began_at"], stated["ended_at"], totals, pending, late)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _listed(noted: dict[str, tuple[Kind, int]]) -> list[list[Any]]:
    return [[digest, kind.value, size] for digest, (kind, size) in noted.items()]


def _by_digest(listed: list[list[Any]]) -> dict[str, tuple[Kind, int]]:
    return {str(digest): (Kind(kind), int(size)) for digest, kind, size in listed}


def digest_of(entry: ListedVersion) -> str:
    """A short name of a version, from which nobody learns its key."""
    # A version without an id of its own is told by its content, whether a listing calls it "null" or nothing.
    version = entry.etag if entry.version_id in {None, "null"} else entry.version_id
    text = f"{entry.key}\0{version}"
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def pending_of(behind: str, doomed: Sequence[Doomed]) -> Pending | None:
    """The note of what a step is about to delete."""
    if not doomed:
        return None
    going = {digest_of(entry): (kind, size) for entry, kind, size in doomed}
    return Pending(behind, max(entry.key for entry, _, _ in doomed), going)


class ProgressRecord:
    """The record: read once, then written under the condition that nobody else has written it.

    Args:
        objects: The store.
        key: Where the record lies.
    """

    def __init__(self, objects: ObjectStore, key: str) -> None:
        self._objects = objects
        self._key = key
        self._etag: str | None = None

    def read(self) -> Progress | None:
        """The progress that is stored; ``None`` when there is none that can be understood."""
        found = self._objects.get(self._key)
        if found is None:
            return None
        self._etag = found.etag
        progress = read_progress(found.body)
        if progress is None:
            logger.warning("key=<%s> | the record of an erasure cannot be understood; its numbers are lost", self._key)
        elif progress.began_at is None:
            return replace(progress, began_at=found.last_modified.isoformat())
        return progress

    def now(self) -> str:
        """The storage's time; ISO 8601, UTC.

        Raises:
            SessionBusyError: Another erasure of this owner is at work.
        """
        found = self._objects.get(self._key)
        if found is None or found.etag != self._etag:
            raise self._busy()
        return found.read_at.isoformat()

    def write(self, progress: Progress) -> datetime:
        """Store the progress.

        Returns:
            When it was written, by the storage's clock.

        Raises:
            SessionBusyError: Another erasure of this owner is at work.
        """
        expect = Absent() if self._etag is None else Unchanged(self._etag)
        try:
            written = self._objects.put(self._key, progress.body(), expect)
        except PreconditionFailedError:
            raise self._busy() from None
        self._etag = written.etag
        return written.at

    def drop_older_versions(self) -> None:
        """Erase what a bucket that keeps versions has kept of the record: its notes name keys."""
        self._objects.erase(self._key, keep=[self._key])

    def remove(self) -> None:
        """Delete the record."""
        if self._etag is not None:
            self._objects.delete_version(self._key, self._etag)
            self._objects.erase(self._key)

    def _busy(self) -> SessionBusyError:
        return SessionBusyError(
            f"key={self._key} | another erasure of this owner's sessions is at work",
            retry_after_seconds=BUSY_SECONDS,
            holder="another erasure",
            key=self._key,
        )
