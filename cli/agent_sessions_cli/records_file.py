"""Reads sessions from a file of JSON lines, as ``agent_sessions.session_export`` writes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

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


def verify(file: BinaryIO) -> list[StoredSession]:
    """Read a whole file, of one session or of several, and compare its checksums.

    Raises:
        TerminalError: The file is no export, is of a later version, was cut off or changed.
    """
    found: list[StoredSession] = []
    head = file.readline()
    while True:
        if _is_last_line(head):  # of a page; another one may follow
            head = file.readline()
            if not head:
                return found
        if found and not head:
            return found
        session_id = _session_id_in(head)
        at = file.tell()
        digest, count = hashlib.sha256(head), 0
        while True:
            line = file.readline()
            if not line:
                raise _refused("it ends before its checksum: the export was cut off")
            checksum = _checksum_in(line)
            if checksum is not None:
                break
            digest.update(line)
            count += 1
        if checksum != Checksum(count, digest.hexdigest()):
            raise _refused("its checksum does not fit: it has been changed or damaged")
        found.append(StoredSession(session_id, at, checksum))
        head = file.readline()


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


def _is_last_line(line: bytes) -> bool:
    """Whether a line ends an export of several sessions."""
    try:
        return bool(json.loads(line)["format"] == FORMAT_OF_SEVERAL)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


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
