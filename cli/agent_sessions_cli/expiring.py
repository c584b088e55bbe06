"""``agent-sessions expire --dry-run``: which sessions have expired, or would have with another lifetime."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from agent_sessions.exceptions import SessionCorruptError, SessionNotFoundError
from agent_sessions.expiry import expires_at
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.listing import look_at_each
from agent_sessions_cli.output import Printer, minute, print_json
from agent_sessions_cli.place import Place, works_in_place

if TYPE_CHECKING:
    from agent_sessions.session_store import SessionStore


@dataclass(frozen=True)
class JudgedSession:
    """A session, and whether it has expired.

    Attributes:
        session_id: The session.
        last_used_at: When a turn wrote to it last; ISO 8601, UTC. ``None`` if it is damaged.
        expired_at: When its life ended; ``None`` if it has not.
        problem: What is wrong with the session, if it cannot be read.
    """

    session_id: str
    last_used_at: str | None = None
    expired_at: str | None = None
    problem: str | None = None


@click.command()
@click.option("--dry-run", is_flag=True, required=True, help="Say it, and delete nothing: there is no other way.")
@works_in_place
def expire(place: Place, *, dry_run: bool) -> None:
    """Say which sessions have expired under --ttl-days, or would have if that were their lifetime.

    Nothing is deleted. An expired session is gone for every reader that knows the lifetime; the bucket's lifecycle
    rule removes its objects, or the next turn under its id does, or `rm`.
    """
    if not dry_run or not place.ttl_days:
        raise click.UsageError("expire needs --dry-run, and --ttl-days with the lifetime in days, above 0.")
    everything, living = place.open_with(None), place.open()
    printer = Printer()
    expired, damaged, count = 0, 0, 0
    for page in look_at_each(everything, partial(_judge, everything, living), limit=None):
        for session in page:
            count += 1
            damaged += session.problem is not None
            if session.expired_at is None:
                continue
            expired += 1
            if place.as_json:
                print_json(asdict(session))
            else:
                used, ended = minute(session.last_used_at), minute(session.expired_at)
                printer.line(f"{session.session_id}  used {used}, expired {ended} (UTC)")
    if not place.as_json:
        printer.line(f"{expired} of {count} sessions have expired with a lifetime of {place.ttl_days:g} days", "bold")
    if damaged:
        raise TerminalError(f"{damaged} sessions cannot be read. `agent-sessions ls` names them.", ExitCode.DAMAGED)


def _judge(everything: SessionStore, living: SessionStore, session_id: str) -> JudgedSession | None:
    """Ask the library itself; ``None`` when the session has ended meanwhile."""
    try:
        used = everything.describe(session_id).last_used_at
        try:
            living.describe(session_id)
        except SessionNotFoundError:
            ended = None if used is None else expires_at(datetime.fromisoformat(used), living.ttl_days)
            return JudgedSession(session_id, used, expired_at=None if ended is None else ended.isoformat())
        return JudgedSession(session_id, used)
    except SessionNotFoundError:
        return None
    except SessionCorruptError as error:
        return JudgedSession(session_id, problem=str(error))
