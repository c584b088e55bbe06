"""``agent-sessions import``: a session from a file that ``export`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_sessions.incoming_session import IncomingSession
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.records_file import NamedRecord, records_in, verify
from agent_sessions_cli.snapshots import records_of, sessions_in, snapshots_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_sessions.session_store import SessionStore

_RECORD = "session.json"


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True))
@click.option("--session", "session_id", metavar="ID", help="Which session of a folder of snapshots that has several.")
@works_in_place
def import_(place: Place, file: Path, session_id: str | None) -> None:
    """Bring a session in from a file that `export` wrote, or from a folder of Strands' snapshots.

    The checksum is verified before anything is written. A session that is there already is not touched. Nobody finds
    the new session before it is whole: an import that was stopped, or whose process died, leaves nothing that opens,
    and can be run again. Importing counts as a use, from which a session's lifetime runs; only a session that was
    exported while its older objects were being renewed keeps the last use that its record states.

    A folder is one that `export --format snapshot` wrote, or the base of a LocalFileStorage in which Strands'
    SnapshotSessionManager keeps sessions. Of each agent and orchestrator the latest snapshot is read.
    """
    store = place.open()
    if file.is_dir():
        session_id = session_id or _only_session(file)
        records = records_of(session_id, snapshots_in(file, session_id))
        named = [NamedRecord(name, body) for name, body in records.items() if name != _RECORD]
        _bring_in(store, session_id, named, records[_RECORD])
        facts: dict[str, Any] = {"session_id": session_id, "records": len(records)}
    else:
        if session_id is not None:
            raise click.UsageError("--session goes with a folder of snapshots. A file holds one session.")
        facts = _import_file(store, file)
    if place.as_json:
        print_json(facts)
    else:
        click.echo(f"session {facts['session_id']}: {facts['records']} records")


def _import_file(store: SessionStore, file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        session_id, checksum = verify(opened)
        session_record = next((body for name, body in records_in(opened, checksum.records) if name == _RECORD), None)
        if session_record is None:
            raise TerminalError(f"{file} holds no {_RECORD}. Export the session again.", ExitCode.DAMAGED)
        others = (record for record in records_in(opened, checksum.records) if record.name != _RECORD)
        _bring_in(store, session_id, others, session_record)
    return {"session_id": session_id, **checksum._asdict()}


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
