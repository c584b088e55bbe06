"""Reads sessions from a file of JSON lines, as ``agent_sessions.session_export`` writes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from agent_sessions.session_export import FORMAT, FORMAT_OF_SEVERAL, VERSION, Checksum, NamedRecord
from agent_sessions_cli.failures import ExitCode, TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterator


class StoredSession(NamedTuple):
    """A session in a file.

    Attributes:
        session_id: Its id.
        at: Where its first record begins, in bytes.
        checksum: Its last line.
    """

    session_id: str
    at: int
    checksum: Checksum


class VerifiedFile(NamedTuple):
    """A file that is an export.

    Attributes:
        sessions: Those in it.
        missing: Why these are not all of what was exported; ``None`` when they are.
        left_out: Sessions that the endpoint has left out: used all the while, or too long to read.
    """

    sessions: list[StoredSession]
    missing: str | None
    left_out: list[str]


def verify(file: BinaryIO) -> VerifiedFile:
    """Read a whole file, of one session or of one page of several after the other, and compare its checksums.

    Raises:
        TerminalError: The file is no export, is of a later version, or a session in it was cut off or changed.
    """
    found: list[StoredSession] = []
    left_out: list[str] = []
    last: dict[str, Any] | None = None
    since_last = 0
    while line := file.readline():
        end = _last_line_in(line)
        if end is not None:
            last, since_last = end, 0
            left_out += [str(each) for each in end.get("left_out") or []]
        else:
            found.append(_session_behind(line, file))
            since_last += 1
    if not found and last is None:
        raise _refused("it is no export of a session")
    there = {session.session_id for session in found}
    left_out = [each for each in left_out if each not in there]
    # `export` writes one session without a last line.
    if since_last > 1 or (since_last and last is not None):
        return VerifiedFile(found, "it ends without the last line of an export of several sessions", left_out)
    if last is not None and last.get("next_cursor") is not None:
        why = f"its last page is not the last one: get the next with cursor={last['next_cursor']}"
        return VerifiedFile(found, why, left_out)
    return VerifiedFile(found, None, left_out)


def _session_behind(head: bytes, file: BinaryIO) -> StoredSession:
    session_id = _session_id_in(head)
    at = file.tell()
    digest, count = hashlib.sha256(head), 0
    while line := file.readline():
        checksum = _checksum_in(line)
        if checksum is None:
            digest.update(line)
            count += 1
        elif checksum == Checksum(count, digest.hexdigest()):
            return StoredSession(session_id, at, checksum)
        else:
            raise _refused("its checksum does not fit: it has been changed or damaged")
    raise _refused("it ends before its checksum: the export was cut off")


def records_in(file: BinaryIO, session: StoredSession) -> Iterator[NamedRecord]:
    """The records of a session in a file that was verified, one at a time.

    Raises:
        TerminalError: A line is no record.
    """
    file.seek(session.at)
    for _ in range(session.checksum.records):
        line = file.readline()
        try:
            stated = json.loads(line)
            name = stated["name"]
            body = stated["text"].encode() if "text" in stated else base64.b64decode(stated["base64"], validate=True)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
            raise _refused("a line of it is no record") from None
        if not isinstance(name, str):
            raise _refused("a line of it is no record")
        yield NamedRecord(name, body)


def _checksum_in(line: bytes) -> Checksum | None:
    """The checksum that a line states; ``None`` when it is another line."""
    if not line.startswith(b'{"records": '):
        return None
    try:
        stated = json.loads(line)
        return Checksum(stated["records"], stated["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _last_line_in(line: bytes) -> dict[str, Any] | None:
    """What the line that ends a page of several sessions states; ``None`` when it is another line."""
    try:
        stated = json.loads(line)
        return dict(stated) if stated["format"] == FORMAT_OF_SEVERAL else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _session_id_in(line: bytes) -> str:
    try:
        head = json.loads(line)
        found, version, session_id = head["format"], head["version"], head["session_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused("it is no export of a session") from None
    if found != FORMAT or not isinstance(session_id, str):
        raise _refused("it is no export of a session")
    if version != VERSION:
        raise _refused(f"it is of version {version}, and this release reads version {VERSION}")
    return session_id


def _refused(why: str) -> TerminalError:
    return TerminalError(f"Nothing was imported from this file: {why}. Export the session again.", ExitCode.DAMAGED)
