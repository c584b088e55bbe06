"""``agent-sessions export``: a session as a file, for another store or for a reader."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_sessions.exceptions import SessionConflictError
from agent_sessions.session_export import stored_records, stored_versions, write_records
from agent_sessions_cli.markdown import conversation_lines
from agent_sessions_cli.output import print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.showing import agent_ids, orchestrators, read_agent, records
from agent_sessions_cli.snapshots import encoded, path_of, snapshot_of_agent, snapshot_of_orchestrator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_sessions.session_store import SessionStore


@click.command("export")
@click.argument("session_id", metavar="ID")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "markdown", "snapshot"]),
    default="jsonl",
    show_default=True,
    help="jsonl: every record as it is stored, for `import`. markdown: the conversations, for reading. snapshot: a "
    "folder that Strands' SnapshotSessionManager reads.",
)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where to; it must not be there yet. Not given: the standard output, or for snapshots nothing.",
)
@works_in_place
def export(place: Place, session_id: str, form: str, output: Path | None) -> None:
    """Write a session to a file.

    The JSON lines hold every record byte for byte, and end with a checksum. Markdown is for reading, and cannot be
    imported. A session that is used meanwhile is not exported: the command says so, and can be run again. A file
    appears when it is whole, or not at all.

    Snapshots go into a folder, the base of a LocalFileStorage of Strands. They hold what each agent remembers: what its
    conversation manager has let go is in the other formats alone.
    """
    store = place.open()
    store.describe(session_id)  # tells a session that is not there before a file is begun
    if form == "snapshot":
        _export_snapshots(place, store, session_id, output)
        return
    with _destination(output) as write:
        if form == "markdown":
            for line in _markdown(store, session_id):
                write(line.encode(errors="backslashreplace"))
            told: dict[str, Any] = {}
        else:
            told = write_records(write, session_id, stored_records(store, session_id))._asdict()
    if output is not None:
        facts = {"session_id": session_id, "file": str(output), **told}
        if place.as_json:
            print_json(facts)
        else:
            count = f", {told['records']} records" if told else ""
            click.echo(f"{output}: session {session_id}{count}")


def _export_snapshots(place: Place, store: SessionStore, session_id: str, output: Path | None) -> None:
    """Write the snapshots of a session into a new folder, which appears when it is whole."""
    if output is None:
        raise click.UsageError("--format snapshot writes a folder. Name it with --output.")
    _require_free(output)
    before = list(stored_versions(store, session_id))
    summary = store.describe(session_id)
    found = [
        ("agent", name, snapshot_of_agent(read_agent(store, session_id, name), records(store, session_id, name)))
        for name in agent_ids(store, session_id)
    ]
    at = summary.last_used_at or summary.created_at
    found += [
        ("multiAgent", name, snapshot_of_orchestrator(name, state, at))
        for name, state in orchestrators(store, session_id)
    ]
    if list(stored_versions(store, session_id)) != before:
        raise SessionConflictError(f"Session {session_id} was used while it was exported", session_id=session_id)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
        folder = Path(work, "whole")
        told = {}
        for scope, name, snapshot in found:
            path, body = folder / path_of(session_id, scope, name), encoded(snapshot)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            told[str(path.relative_to(folder))] = hashlib.sha256(body).hexdigest()
        folder.rename(output)
    if place.as_json:
        print_json({"session_id": session_id, "folder": str(output), "sha256": told})
        return
    for name, digest in told.items():
        click.echo(f"{digest}  {name}")
    click.echo(f"{output}: session {session_id}, {len(told)} snapshots")


def _require_free(output: Path) -> None:
    if output.exists():
        raise click.UsageError(f"--output {output} is there already. Name another one.")
    if not output.parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no folder {output.parent}. Make it first.")


def _markdown(store: SessionStore, session_id: str) -> Iterator[str]:
    yield f"# Session {session_id}\n"
    for agent_id in agent_ids(store, session_id):
        yield f"\n## Agent {agent_id}\n"
        yield from conversation_lines(records(store, session_id, agent_id))


@contextmanager
def _destination(output: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Where bytes go: the standard output, or a file that gets its name when everything is written."""
    if output is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    _require_free(output)
    # Only its owner may read a conversation.
    descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, output)  # unlike a rename, this overwrites nothing
        except FileExistsError:
            raise click.UsageError(f"--output {output} is there already. Name another file.") from None
        except OSError:
            Path(name).rename(output)  # a file system without links
            return
    finally:
        Path(name).unlink(missing_ok=True)
