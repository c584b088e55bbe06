"""A session in a file of JSON lines: a head, every record byte for byte, and a checksum over all of it.

    {"format": "agent-session", "version": 1, "session_id": "ada"}
    {"name": "agents/agent_default/agent.json", "text": "{…}"}
    …
    {"records": 4, "sha256": "…"}

A record that is no UTF-8 stands under ``base64`` instead of ``text``. The checksum is the SHA-256 of all bytes before
its line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from agent_sessions_cli.failures import ExitCode, TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FORMAT = "agent-session"
VERSION = 1


class NamedRecord(NamedTuple):
    """A record.

    Attributes:
        name: Its key below the session's folder.
        body: Its bytes.
    """

    name: str
    body: bytes


class Checksum(NamedTuple):
    """The last line of a file.

    Attributes:
        records: How many records the file holds.
        sha256: The digest of all bytes before the line, in hexadecimal digits.
    """

    records: int
    sha256: str


def write_records(write: Callable[[bytes], object], session_id: str, records: Iterable[NamedRecord]) -> Checksum:
    """Write a session's records. If they end with an error, the file has no checksum, and nobody takes it for whole."""
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


def verify(file: BinaryIO) -> tuple[str, Checksum]:
    """Read a whole file and compare its checksum.

    Returns:
        The session's id, and the checksum.

    Raises:
        TerminalError: The file is no export, is of a later version, was cut off or changed.
    """
    head = file.readline()
    session_id = _session_id_in(head)
    digest, count, last = hashlib.sha256(head), 0, b""
    for line in file:
        if last:
            digest.update(last)
            count += 1
        last = line
    try:
        stated = json.loads(last)
        checksum = Checksum(stated["records"], stated["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused("it ends before its checksum: the export was cut off") from None
    if checksum != Checksum(count, digest.hexdigest()):
        raise _refused("its checksum does not fit: it has been changed or damaged")
    return session_id, checksum


def records_in(file: BinaryIO, count: int) -> Iterator[NamedRecord]:
    """The records of a file that was verified, one at a time.

    Raises:
        TerminalError: A line is no record.
    """
    file.seek(0)
    file.readline()
    for _ in range(count):
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


def _as_json(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}


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
