"""``agent-sessions doctor``: whether a store is fit for sessions, and whether its sessions are whole."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import click

from agent_sessions.exceptions import InvalidIdentifierError
from agent_sessions.findings import Finding, Kind, Severity
from agent_sessions.identifiers import check_identifier
from agent_sessions.inspection import inspect_session
from agent_sessions.lease import SessionLease
from agent_sessions.mending import mend
from agent_sessions.store_url import BucketAddress, FolderAddress, parse_store_url
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import Printer, print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.progress import Work
from agent_sessions_cli.store_checks import Verdict, check_bucket, check_folder, check_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_sessions.session_store import SessionStore
    from agent_sessions_cli.store_checks import Check

_STYLES: dict[str, str] = {
    Verdict.BAD: "bold red",
    Severity.BROKEN: "bold red",
    Severity.LOST: "red",
    Verdict.NOTICE: "yellow",
    Verdict.GOOD: "green",
}


@click.command()
@click.argument("session_ids", metavar="[ID]...", nargs=-1)
@click.option("--sessions", "all_sessions", is_flag=True, help="Look every session over, too. Not given: those named.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing a word, after showing it.")
@click.option("--yes", is_flag=True, help="Mend without asking, as a script does.")
@works_in_place
def doctor(place: Place, session_ids: tuple[str, ...], *, all_sessions: bool, fix: bool, yes: bool) -> None:
    """Check a store, and look its sessions over.

    Of the store: whether it keeps the conditions that sessions rest on, what these credentials may do, how far its
    clock is off; of a bucket its lifecycle rule against --ttl-days, encryption, public access, TLS, versioning; of a
    folder who else may read it. One object of nobody's is written for that, and deleted.

    Of a session: records that cannot be read, missing ones, gaps, records of an earlier life, a base that does not
    match, a lease that nobody renews. "broken" keeps callers from using it, "lost" says that something is not stored
    any more, "notice" needs nothing. Each line says what --fix does about it, or why nothing.

    --fix takes a session's lease, so that no turn is under way. The bytes of whatever it takes away are put aside in
    the session, under quarantine/; only a base of which every message is stored is removed. The exit code is 6 when
    something is bad, broken or lost.
    """
    if fix and place.as_json and not yes:
        raise click.UsageError("--json with --fix needs --yes beside it: a script cannot be asked.")
    if yes and not fix:
        raise click.UsageError("--yes goes with --fix.")
    printer = Printer()
    bad = 0
    for check in _checks(place):
        bad += check.verdict is Verdict.BAD
        _tell_check(printer, check, as_json=place.as_json)
    counts: Counter[str] = Counter()
    absent = {check_identifier("session", session_id) for session_id in session_ids}
    if all_sessions or session_ids:
        for owner, store in place.open_each(place.ttl_days):
            ids = _those_there(store, session_ids, absent) if session_ids else _ids_in(store)
            with Work("looking", partial(_count, store, session_ids)) as work:
                for session_id in ids:
                    _look_over(printer, place, owner, store, session_id, counts, fix=fix, yes=yes)
                    work.advance()
        if not place.as_json:
            told = ", ".join(f"{counts[severity]} {severity}" for severity in Severity)
            printer.line(f"{counts['sessions']} sessions: {told}; {counts['mended']} mended", "bold")
    _judge(bad + counts[Severity.BROKEN] + counts[Severity.LOST], absent)


def _judge(wrong: int, absent: set[str]) -> None:
    """End the command with an error if something is wrong or was not found."""
    named = f"Not there: {', '.join(sorted(absent))}." if absent else ""
    if wrong:
        raise TerminalError(f"{wrong} things are wrong: the lines say what to do about each. {named}", ExitCode.DAMAGED)
    if absent:
        raise TerminalError(f"{named} `agent-sessions ls` lists the sessions of a store.", ExitCode.NOT_FOUND)


def _checks(place: Place) -> Iterator[Check]:
    store = place.whole()
    address = parse_store_url(place.store_url)
    if isinstance(address, FolderAddress):
        yield from check_folder(address.folder)
    yield from check_objects(store)
    if isinstance(address, BucketAddress):
        yield from check_bucket(place.s3_client(), address.bucket, store.layout.root, place.ttl_days)


def _ids_in(store: SessionStore) -> Iterator[str]:
    """The names of all session folders: a session that has lost its record is in no list."""
    for name in store.objects.list_folders(store.layout.root, named="session_"):
        yield name.removeprefix("session_")


def _those_there(store: SessionStore, session_ids: tuple[str, ...], absent: set[str]) -> Iterator[str]:
    """Those of which anything is stored; they are taken out of the absent ones."""
    for session_id in session_ids:
        if next(iter(store.objects.list(store.layout.session_folder(session_id))), None) is not None:
            absent.discard(session_id)
            yield session_id


def _count(store: SessionStore, session_ids: tuple[str, ...]) -> int:
    return len(session_ids) or sum(1 for _ in _ids_in(store))


def _look_over(
    printer: Printer,
    place: Place,
    owner: str | None,
    store: SessionStore,
    session_id: str,
    counts: Counter[str],
    *,
    fix: bool,
    yes: bool,
) -> None:
    try:
        check_identifier("session", session_id)
    except InvalidIdentifierError as error:
        _tell_foreign(printer, place, owner, store, session_id, error)
        counts[Severity.NOTICE] += 1
        return
    found = inspect_session(store, session_id)
    counts["sessions"] += 1
    for finding in found:
        _tell_finding(printer, owner, finding, as_json=place.as_json)
    mendable = [finding for finding in found if finding.is_mendable]
    if fix and mendable and (yes or click.confirm(f"Mend these {len(mendable)} of session {session_id}?")):
        mended = _mend(store, session_id)
        counts["mended"] += mended
        found = inspect_session(store, session_id)
        if place.as_json:
            print_json({"owner": owner, "session_id": session_id, "mended": mended})
        else:
            printer.line(f"session {session_id}: {mended} mended", "green")
    counts.update(finding.severity for finding in found)


def _tell_foreign(
    printer: Printer, place: Place, owner: str | None, store: SessionStore, name: str, error: InvalidIdentifierError
) -> None:
    """Tell of a folder that is named as a session's, and can be none's."""
    why = str(error).partition(" | ")[2]
    what = f"no session can have this name: {why}"
    key = f"{store.layout.root}session_{name}/"
    foreign = Finding(name, Kind.FOREIGN, Severity.NOTICE, key, what, "It is ignored.")
    _tell_finding(printer, owner, foreign, as_json=place.as_json)


def _mend(store: SessionStore, session_id: str) -> int:
    """Mend a session, until nothing is found that can be: mending one thing may show another."""
    mended = 0
    with SessionLease(store, session_id, holder="agent-sessions doctor"):
        while True:
            done = [
                finding
                for finding in inspect_session(store, session_id)
                if finding.is_mendable and mend(store, finding)
            ]
            mended += len(done)
            if not done:
                return mended


def _tell_check(printer: Printer, check: Check, *, as_json: bool) -> None:
    if as_json:
        print_json(check._asdict())
    else:
        printer.line(f"{check.verdict:8} {check.name}: {check.what}", _STYLES.get(check.verdict, ""))


def _tell_finding(printer: Printer, owner: str | None, finding: Finding, *, as_json: bool) -> None:
    if as_json:
        print_json({"owner": owner, **finding._asdict()})
        return
    printer.line(f"{finding.severity:8} {finding.kind}: {finding.key}", _STYLES.get(finding.severity, ""))
    mends = "--fix: " if finding.is_mendable else ""
    printer.line(f"         {finding.what}. {mends}{finding.remedy}")
