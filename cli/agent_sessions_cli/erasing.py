"""``agent-sessions rm``: erase a session, or all of an owner's, after saying what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent_sessions.exceptions import SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.session_pages import ErasureStage
from agent_sessions_cli.erasing_all import erase_all_of
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.listing import ListedSession, look_at
from agent_sessions_cli.output import Printer, minute, print_json
from agent_sessions_cli.place import Place, works_in_place

if TYPE_CHECKING:
    from agent_sessions.session_pages import ErasureReport
    from agent_sessions.session_store import SessionStore


@click.command()
@click.argument("session_id", metavar="[ID]", required=False)
@click.option(
    "--all-of",
    metavar="OWNER",
    help="Erase every session of this owner instead, as --owner names it: with --issuer the subject, else the prefix.",
)
@click.option("--with-people", is_flag=True, help="With --all-of: those that the owner speaks for, too.")
@click.option("--yes", is_flag=True, help="Erase without asking, as a script does.")
@works_in_place
def rm(place: Place, session_id: str | None, all_of: str | None, *, with_people: bool, yes: bool) -> None:
    """Erase a session with everything in it: messages, state, copies, older versions.

    Says first what the session is, and asks. A session that somebody uses is not erased: the command says who holds
    its lease. The session is closed before anything is deleted: from then on nobody reads it, even if the command is
    stopped. If something could not be deleted, the line names it; the same command goes on from there. What an import
    that died has left, and what is left of an expired session, is erased likewise.

    With --all-of, every session of an owner is erased, and the receipt says how many sessions, objects, versions and
    bytes that were. A session in which a turn runs is closed all the same: the turn is refused, and the command says
    what to erase when it has ended. What cannot be deleted is named, and everything else goes.
    """
    if (session_id is None) == (all_of is None):
        raise click.UsageError("Name either one session or, with --all-of, the owner whose sessions go.")
    if with_people and all_of is None:
        raise click.UsageError("--with-people goes with --all-of.")
    if all_of is not None and place.owner is not None:
        raise click.UsageError("--all-of names the owner. Leave --owner out.")
    if place.as_json and not yes:
        raise click.UsageError("--json needs --yes beside it: a script cannot be asked.")
    if all_of is not None:
        erase_all_of(place, all_of, with_people=with_people, yes=yes)
    elif session_id is not None:
        _erase_one(place, session_id, yes=yes)


def _erase_one(place: Place, session_id: str, *, yes: bool) -> None:
    store = place.open()
    if not yes:
        Printer().line(_told(session_id, look_at(store, session_id)))
        click.confirm("Erase it? This cannot be undone.", abort=True)
    # A turn under way would be refused at its end, after its model and its tools have worked.
    with SessionLease(store, session_id, holder="agent-sessions rm"):
        report = _erase(store, session_id)
    if place.as_json:
        print_json({"session_id": session_id, "erased": report.erased})
    else:
        Printer().line(f"session {session_id} is erased: {report.erased} objects and versions")


def _told(session_id: str, session: ListedSession | None) -> str:
    if session is None:
        return f"session {session_id}: nothing opens under this id; something may be left of an earlier session"
    if session.problem is not None:
        return f"session {session_id}: it is damaged ({session.problem})"
    more = "at least " if session.has_more_agents else ""
    messages = sum(agent.message_count for agent in session.agents)
    facts = f"{more}{messages} messages of {more}{len(session.agents)} agents, created {minute(session.created_at)}"
    held = f", held by {session.lease_holder or 'somebody'}" if session.is_leased else ""
    return f"session {session_id}: {facts}, used {minute(session.last_used_at)} (UTC){held}"


def _erase(store: SessionStore, session_id: str) -> ErasureReport:
    erasure = store.erasure(session_id)
    try:
        return erasure.run()
    except (SessionStorageError, KeyboardInterrupt) as error:
        if erasure.stage is ErasureStage.OPEN:
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        why = "the command was stopped" if interrupted else str(error)
        if erasure.stage is ErasureStage.CLOSING:
            code = ExitCode.STORAGE
            what = "Nothing is deleted; `agent-sessions show` tells whether the session is closed"
        else:
            code = ExitCode.NOT_WHOLE
            what = f"{erasure.erased} objects and versions are deleted, and nobody reads what is left"
        raise TerminalError(
            f"Session {session_id} is not erased as a whole: {why}. {what}. Run the same command again to go on.",
            ExitCode.INTERRUPTED if interrupted else code,
        ) from error
