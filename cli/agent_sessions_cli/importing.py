"""``agent-sessions import``: a session from a file that ``export`` wrote."""

from __future__ import annotations

from pathlib import Path

import click

from agent_sessions.incoming_session import IncomingSession
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.records_file import records_in, verify

_RECORD = "session.json"


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@works_in_place
def import_(place: Place, file: Path) -> None:
    """Bring a session in from a file that `export` wrote.

    The checksum is verified before anything is written. A session that is there already is not touched. Nobody finds
    the new session before it is whole: an import that was stopped, or whose process died, leaves nothing that opens,
    and can be run again. Importing counts as a use, from which a session's lifetime runs; only a session that was
    exported while its older objects were being renewed keeps the last use that its record states.
    """
    store = place.open()
    with file.open("rb") as opened:
        session_id, checksum = verify(opened)
        session_record = next((body for name, body in records_in(opened, checksum.records) if name == _RECORD), None)
        if session_record is None:
            raise TerminalError(f"{file} holds no {_RECORD}. Export the session again.", ExitCode.DAMAGED)
        incoming = IncomingSession(store, session_id)
        incoming.begin()
        try:
            for name, body in records_in(opened, checksum.records):
                if name != _RECORD:
                    incoming.write(name, body)
            incoming.finish(session_record)
        except BaseException:
            incoming.abandon()
            raise
    if place.as_json:
        print_json({"session_id": session_id, **checksum._asdict()})
    else:
        click.echo(f"session {session_id}: {checksum.records} records")
