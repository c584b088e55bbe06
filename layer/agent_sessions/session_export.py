"""Sessions as JSON lines: each a head, every record byte for byte, and a checksum over all of it.

    {"format": "agent-session", "version": 1, "session_id": "ada"}
    {"name": "agents/agent_default/agent.json", "text": "{…}"}
    …
    {"records": 4, "sha256": "…"}

A record that is no UTF-8 stands under ``base64`` instead of ``text``. The checksum is the SHA-256 of all bytes before
its line, from the head on. An export of several sessions is one such block after the other, and a last line:

    {"format": "agent-sessions", "version": 1, "sessions": 2, "left_out": [], "next_cursor": null}
"""
# Over 300 lines: one format, as it is written and as a page of it is read.

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from enum import Enum
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from agent_sessions._life.living import list_living
from agent_sessions._records.cursors import CursorKind, write_cursor
from agent_sessions._records.record_format import kit_of
from agent_sessions.exceptions import SessionConflictError
from agent_sessions.values import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent_sessions._records.layout import Layout
    from agent_sessions.lease import LeasePlace
    from agent_sessions.object_store import ListedObject, ObjectStore

FORMAT = "agent-session"
FORMAT_OF_SEVERAL = "agent-sessions"
VERSION = 1
OF_CALLERS = ("lease.json", "/cancel.json")
"""What callers keep beside a session while they use it: no part of what it is."""

_AT_ONCE = 16
_TRIES = 3
_IN_MEMORY = 8_000_000
_PIECE = 256 * 1024
_SESSIONS_A_PAGE = 100


class NamedRecord(NamedTuple):
    """A record.

    Attributes:
        name: Its key below the session's folder.
        body: Its bytes.
    """

    name: str
    body: bytes


class Checksum(NamedTuple):
    """The last line of a session.

    Attributes:
        records: How many records there are.
        sha256: The digest of all bytes before the line, in hexadecimal digits.
    """

    records: int
    sha256: str


class SessionTooLargeError(Exception):
    """The first session of a page is larger than a page may be.

    Attributes:
        session_id: The session.
        next_cursor: Gets the sessions behind it.
    """

    def __init__(self, session_id: str, next_cursor: str) -> None:
        super().__init__(f"session_id={session_id} | is larger than a page of an export may be")
        self.session_id = session_id
        self.next_cursor = next_cursor


def write_records(write: Callable[[bytes], object], session_id: str, records: Iterable[NamedRecord]) -> Checksum:
    """Write a session's records. If they end with an error, there is no checksum, and nobody takes them for whole."""
    digest, count = hashlib.sha256(), 0

    def line(value: dict[str, Any]) -> None:
        text = json.dumps(value).encode() + b"\n"
        digest.update(text)
        write(text)

    line({"format": FORMAT, "version": VERSION, "session_id": session_id})
    for record in records:
        line({"name": record.name, **_as_json(record.body)})
        count += 1
    checksum = Checksum(count, digest.hexdigest())
    line(checksum._asdict())
    return checksum


def stored_records(
    place: LeasePlace, session_id: str, *, going_on: Callable[[], object] = lambda: None
) -> Iterator[NamedRecord]:
    """Every record of a session.

    Args:
        place: Where the session is.
        session_id: The session.
        going_on: Called before each record, and as often again while what was read is compared; it may raise.

    Raises:
        SessionConflictError: Somebody has written to the session meanwhile.
    """
    folder = place.layout.session_folder(session_id)
    before, after = hashlib.sha256(), hashlib.sha256()
    listed = listed_records(place, session_id)
    while chunk := list(islice(listed, _AT_ONCE)):
        for entry, found in zip(chunk, place.objects.get_many([entry.key for entry in chunk]), strict=True):
            if found is None:
                raise _used_meanwhile(session_id)
            going_on()
            before.update(_version(entry))
            yield NamedRecord(entry.key.removeprefix(folder), found.body)
    # A listing tells another version of an object, whenever that was written between the two.
    for version in stored_versions(place, session_id):
        going_on()
        after.update(version)
    if after.digest() != before.digest():
        raise _used_meanwhile(session_id)


def listed_records(place: LeasePlace, session_id: str) -> Iterator[ListedObject]:
    """A session's records as a listing shows them. If two listings are alike, nobody has written in between."""
    listed = place.objects.list(place.layout.session_folder(session_id))
    return (entry for entry in listed if not entry.key.endswith(OF_CALLERS))


def stored_versions(place: LeasePlace, session_id: str) -> Iterator[bytes]:
    """The name of each record of a session with its version: if they are the same later, nobody has written."""
    return (_version(entry) for entry in listed_records(place, session_id))


class SessionsExport(NamedTuple):
    """A page of an export of all sessions of a place, ordered by id. Every session in it is whole.

    Attributes:
        objects: Where the objects live.
        layout: How they are named.
        ttl_days: Days after its last use at which a session expires; an expired one is not exported.
        max_bytes: The page ends before the session that would make it larger.
        goes_on: Asked before each session and each of its records; when it says no, the page ends. A session that takes
            longer than a whole page may is left out.
        cursor: ``next_cursor`` of the page before.
    """

    objects: ObjectStore
    layout: Layout
    ttl_days: float
    max_bytes: int
    goes_on: Callable[[], bool]
    cursor: str | None = None

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the page. A session is read as a whole before its first byte is given.

        A session that is used each time it is read is left out, and named in the last line. So is the first one, when
        the time is over before it is read. No more of a session is read than has room in the page.

        Raises:
            ValueError: The cursor is none of ours.
            SessionTooLargeError: The first session does not fit into the page.
        """
        count, size, cursor = 0, 0, self.cursor
        left_out: list[str] = []
        has_time = self.goes_on()
        while True:
            page = list_living(self.objects, self.layout, ttl_days=self.ttl_days, limit=_SESSIONS_A_PAGE, cursor=cursor)
            for session_id in page.session_ids:
                if (count or left_out) and not self.goes_on():
                    yield _last_line(count, left_out, cursor)
                    return
                with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
                    own_cursor = write_cursor(CursorKind.SESSIONS, session_id)
                    is_first = not count and not left_out
                    # A page that begins without time has one session nevertheless: else none would ever come.
                    became = self._read(session_id, file, self.max_bytes - size, asks=has_time or not is_first)
                    if became is _Read.TOO_LARGE and is_first:
                        raise SessionTooLargeError(session_id, own_cursor)
                    if became is _Read.TOO_LONG and is_first:
                        yield _last_line(0, [session_id], own_cursor)
                        return
                    if became in {_Read.TOO_LARGE, _Read.TOO_LONG}:
                        yield _last_line(count, left_out, cursor)
                        return
                    if became is not _Read.WHOLE:
                        left_out += [session_id] * (became is _Read.USED)
                        cursor = own_cursor
                        continue
                    bytes_of_it = file.tell()
                    file.seek(0)
                    while piece := file.read(_PIECE):
                        yield piece
                count, size, cursor = count + 1, size + bytes_of_it, own_cursor
            cursor = page.next_cursor
            if cursor is None or not self.goes_on():
                yield _last_line(count, left_out, cursor)
                return

    def _read(self, session_id: str, file: IO[bytes], room: int, *, asks: bool) -> _Read:
        """Write a session to a file, of at most so many bytes.

        Args:
            session_id: The session.
            file: The file.
            room: Bytes.
            asks: Whether it ends when ``goes_on`` says no.
        """

        def ask() -> None:
            if asks and not self.goes_on():
                raise _EndedError(_Read.TOO_LONG)

        def write(line: bytes) -> None:
            if file.tell() + len(line) > room:
                raise _EndedError(_Read.TOO_LARGE)
            file.write(line)

        for _ in range(_TRIES):
            file.seek(0)
            file.truncate()
            lives = False

            def noticed(records: Iterator[NamedRecord]) -> Iterator[NamedRecord]:
                nonlocal lives
                for record in records:
                    lives = lives or (record.name == "session.json" and not _is_mark(record.body))
                    yield record

            try:
                write_records(write, session_id, noticed(stored_records(self, session_id, going_on=ask)))
            except SessionConflictError:
                continue
            except _EndedError as ended:
                return ended.became
            return _Read.WHOLE if lives else _Read.GONE
        return _Read.USED


class _Read(Enum):
    """What became of a session that was to be read as a whole."""

    WHOLE = "whole"
    USED = "used each time"
    GONE = "erased meanwhile"
    TOO_LARGE = "larger than the room that is left"
    TOO_LONG = "not read when the time was over"


class _EndedError(Exception):
    """A session is not read to its end."""

    def __init__(self, became: _Read) -> None:
        super().__init__(became.value)
        self.became = became


def _is_mark(body: bytes) -> bool:
    """Whether a session's record says that the session is being erased. A damaged record is exported as it is."""
    content, problem = read_text(body)
    return problem is None and isinstance(content, dict) and bool(kit_of(content).get("erased"))


def _last_line(count: int, left_out: list[str], cursor: str | None) -> bytes:
    line = {
        "format": FORMAT_OF_SEVERAL,
        "version": VERSION,
        "sessions": count,
        "left_out": left_out,
        "next_cursor": cursor,
    }
    return json.dumps(line).encode() + b"\n"


def _version(entry: ListedObject) -> bytes:
    return f"{entry.key}\0{entry.etag}\0".encode(errors="backslashreplace")


def _used_meanwhile(session_id: str) -> SessionConflictError:
    return SessionConflictError(f"Session {session_id} was used while it was exported", session_id=session_id)


def _as_json(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}
