"""``agent-sessions ls``: the sessions of a store, a page at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click

from agent_sessions.claims import holder_in, read_claim
from agent_sessions.exceptions import SessionCorruptError, SessionNotFoundError
from agent_sessions.lease import SessionLease
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import Printer, clean, minute, print_json
from agent_sessions_cli.place import Place, works_in_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_sessions.session_pages import AgentSummary
    from agent_sessions.session_store import SessionStore

_Look = TypeVar("_Look")

AT_ONCE = 8
"""Sessions that are looked at at the same time."""

PAGE = 64
"""Sessions of a page: so many are held in memory."""

_HEAD = ("ID", "AGENTS", "MESSAGES", "LAST USE (UTC)", "EXPIRES (UTC)", "LEASE")


@dataclass(frozen=True)
class ListedSession:
    """A session as the list shows it.

    Attributes:
        session_id: The session.
        created_at: ISO 8601, UTC; this and the next two are ``None`` if the session is damaged.
        last_used_at: Likewise.
        expires_at: Likewise; ``None`` also when sessions do not expire.
        agents: Its agents, of a long session with very many agents some of them.
        has_more_agents: Whether there are others.
        is_leased: Whether somebody holds the session's lease.
        lease_holder: Who, in the holder's own words, if the lease says so.
        problem: What is wrong with the session, if it cannot be read.
    """

    session_id: str
    created_at: str | None = None
    last_used_at: str | None = None
    expires_at: str | None = None
    agents: tuple[AgentSummary, ...] = ()
    has_more_agents: bool = False
    is_leased: bool = False
    lease_holder: str | None = None
    problem: str | None = None


@click.command()
@click.option(
    "--limit", metavar="NUMBER", type=click.IntRange(min=1), help="At most so many sessions. Not given: all of them."
)
@works_in_place
def ls(place: Place, limit: int | None) -> None:
    """List sessions, ordered by id.

    Shows of each its agents, how many messages they have, when it was used last, when it expires (with --ttl-days),
    and who holds its lease. "+" says that a long session has more agents than were counted. Listing is no use: it
    extends nothing.
    """
    store = place.open()
    printer = Printer()
    damaged, count = 0, 0
    for rows in look_at_each(store, partial(look_at, store), limit=limit):
        damaged += sum(session.problem is not None for session in rows)
        if place.as_json:
            for session in rows:
                print_json(asdict(session))
        else:
            _print_table(printer, rows, with_head=count == 0)
        count += len(rows)
    if damaged:
        raise TerminalError(
            f"{damaged} of these sessions cannot be read. `agent-sessions show` says more of each.", ExitCode.DAMAGED
        )


def look_at_each(
    store: SessionStore, look: Callable[[str], _Look | None], *, limit: int | None
) -> Iterator[list[_Look]]:
    """Look at the sessions of a store, page by page, some at the same time.

    Args:
        store: Where the sessions are.
        look: Looks at one, by its id; ``None`` leaves it out, for it has ended meanwhile.
        limit: At most so many sessions; ``None`` for all.
    """
    left, cursor = limit, None
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while left is None or left > 0:
            page = store.sessions(limit=PAGE if left is None else min(PAGE, left), cursor=cursor)
            yield [found for found in threads.map(look, page.session_ids) if found is not None]
            left = None if left is None else left - len(page.session_ids)
            cursor = page.next_cursor
            if cursor is None:
                return


def look_at(store: SessionStore, session_id: str) -> ListedSession | None:
    """A session as the list shows it; ``None`` when there is none of this id any more."""
    try:
        summary = store.describe(session_id)
    except SessionNotFoundError:
        return None
    except SessionCorruptError as error:
        return ListedSession(session_id, problem=str(error))
    is_leased, holder = read_lease(store, session_id)
    return ListedSession(
        session_id=session_id,
        created_at=summary.created_at,
        last_used_at=summary.last_used_at,
        expires_at=summary.expires_at,
        agents=summary.agents,
        has_more_agents=summary.next_cursor is not None,
        is_leased=is_leased,
        lease_holder=holder,
    )


def read_lease(store: SessionStore, session_id: str) -> tuple[bool, str | None]:
    """Whether somebody holds a session's lease, and who, if the lease says so. It is not claimed."""
    if not SessionLease(store, session_id, holder="agent-sessions").is_taken():
        return False, None
    found = store.objects.get(store.layout.lease(session_id))
    return True, None if found is None else holder_in(read_claim(found.body))


def _print_table(printer: Printer, sessions: list[ListedSession], *, with_head: bool) -> None:
    rows = [_row(session) for session in sessions]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    if with_head and rows:
        printer.line(_aligned(_HEAD, widths), "bold")
    for session, row in zip(sessions, rows, strict=True):
        printer.line(_aligned(row, widths), "red" if session.problem else "")


def _row(session: ListedSession) -> tuple[str, ...]:
    # A line for each session, whatever its id holds.
    name = clean(session.session_id)
    if session.problem is not None:
        return name, "?", "?", "-", "-", f"damaged: {clean(session.problem)}".replace("\n", " ")
    more = "+" if session.has_more_agents else ""
    messages = sum(agent.message_count for agent in session.agents)
    holder = clean(session.lease_holder or "held") if session.is_leased else "-"
    return (
        name,
        f"{len(session.agents)}{more}",
        f"{messages}{more}",
        minute(session.last_used_at),
        minute(session.expires_at),
        holder.replace("\n", " "),
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
