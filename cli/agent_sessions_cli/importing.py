"""``agent-sessions import``: a session from a file that ``export`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_sessions.exceptions import SessionExistsError
from agent_sessions.incoming_session import IncomingSession
from agent_sessions.session_export import NamedRecord
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.records_file import records_in, verify
from agent_sessions_cli.snapshots import records_of, sessions_in, snapshots_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from agent_sessions.session_store import SessionStore
    from agent_sessions_cli.records_file import StoredSession

_RECORD = "session.json"


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True))
@click.option("--session", "session_id", metavar="ID", help="Which session of a folder of snapshots that has several.")
@works_in_place
def import_(place: Place, file: Path, session_id: str | None) -> None:
    """Bring sessions in from a file that `export`, or `GET /export` of the endpoint, wrote, or from Strands' snapshots.

    Every checksum is verified before anything is written. A session that is there already is not touched; the others of
    the file are imported. Nobody finds a new session before it is whole: an import that was stopped, or whose process
    died, leaves nothing half that opens, and can be run again. Importing counts as a use, from which a session's
    lifetime runs; only a session that was exported while its older objects were being renewed keeps the last use that
    its record states.

    Of an export of several sessions the pages may stand in one file, one after the other. When the last line of the
    last page is missing, states a next_cursor, or names sessions that were left out, the sessions in the file are
    imported, and the exit code is 8: that is not everything.

    A folder is one that `export --format snapshot` wrote, or the base of a LocalFileStorage in which Strands'
    SnapshotSessionManager keeps sessions. Of each agent and orchestrator the latest snapshot is read.
    """
    store = place.open()
    if file.is_dir():
        session_id = session_id or _only_session(file)
        records = records_of(session_id, snapshots_in(file, session_id))
        named = [NamedRecord(name, body) for name, body in records.items() if name != _RECORD]
        _bring_in(store, session_id, named, records[_RECORD])
        _tell(place, {"session_id": session_id, "records": len(records)})
    else:
        if session_id is not None:
            raise click.UsageError("--session goes with a folder of snapshots. Of a file all sessions are imported.")
        _import_file(place, store, file)


def _tell(place: Place, facts: dict[str, Any]) -> None:
    if place.as_json:
        print_json(facts)
    else:
        click.echo(f"session {facts['session_id']}: {facts['records']} records")


def _import_file(place: Place, store: SessionStore, file: Path) -> None:
    with file.open("rb") as opened:
        verified = verify(opened)
        sessions = [(session, _record_of(opened, session, file)) for session in verified.sessions]
        there: list[SessionExistsError] = []
        for session, record in sessions:
            others = (other for other in records_in(opened, session) if other.name != _RECORD)
            try:
                _bring_in(store, session.session_id, others, record)
            except SessionExistsError as error:
                there.append(error)
            else:
                _tell(place, {"session_id": session.session_id, **session.checksum._asdict()})
    if verified.missing is not None:
        raise TerminalError(
            f"This is not everything: {verified.missing}. The {len(sessions)} sessions in {file} are whole and "
            f"{'there' if there else 'imported'}. Append what is missing to the file, and import it again.",
            ExitCode.NOT_WHOLE,
        )
    if verified.left_out:
        raise TerminalError(
            f"This is not everything: the export left out {len(verified.left_out)} sessions, used all the "
            f"while or too long to read: {', '.join(verified.left_out[:20])}. The others are imported. Export them.",
            ExitCode.NOT_WHOLE,
        )
    if there and len(sessions) == 1:
        raise there[0]
    if there:
        named = ", ".join(error.session_id or "?" for error in there[:20])
        raise TerminalError(
            f"{len(there)} of {len(sessions)} sessions already exist and are as they were: {named}. The others are "
            "imported. Look at one with `agent-sessions show`.",
            ExitCode.EXISTS,
        )


def _record_of(file: BinaryIO, session: StoredSession, path: Path) -> bytes:
    record = next((body for name, body in records_in(file, session) if name == _RECORD), None)
    if record is None:
        raise TerminalError(f"{path} holds no {_RECORD}. Export the session again.", ExitCode.DAMAGED)
    return record


def _bring_in(store: SessionStore, session_id: str, records: Iterable[NamedRecord], session_record: bytes) -> None:
    incoming = IncomingSession(store, session_id)
    incoming.begin()
    try:
        for name, body in records:
            incoming.write(name, body)
        incoming.finish(session_record)
    except BaseException:
        incoming.abandon()
        raise


def _only_session(folder: Path) -> str:
    found = sessions_in(folder)
    if not found:
        raise TerminalError(f"{folder} holds no snapshots: no folder session/<id>/scopes is in it.", ExitCode.NOT_FOUND)
    if len(found) > 1:
        raise click.UsageError(
            f"{folder} holds {len(found)} sessions. Name one with --session: {', '.join(found[:5])}."
        )
    return found[0]
