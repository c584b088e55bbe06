"""``agent-sessions ls``: the sessions of a store, a page at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import click

from agent_sessions.claims import holder_in, read_claim
from agent_sessions.exceptions import SessionCorruptError, SessionNotFoundError
from agent_sessions.expiry import expires_at
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import ObjectSessionStore
from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import Printer, clean, minute, print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.stopping import threads_that_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_sessions.session_pages import AgentSummary
    from agent_sessions.session_store import SessionStore

_Found = TypeVar("_Found")

AT_ONCE = 8
"""Sessions that are looked at at the same time."""

PAGE = 64
"""Sessions that are shown at once."""

_IDS_AT_ONCE = 1_000
"""Ids that are asked for at once. A folder is listed as a whole each time."""

_HEAD = ("ID", "AGENTS", "MESSAGES", "LAST USE (UTC)", "EXPIRES (UTC)", "LEASE", "TITLE")
_TITLE_WIDTH = 40


@dataclass(frozen=True)
class ListedSession:
    """A session as the list shows it.

    Attributes:
        session_id: The session.
        title: The title it was given, or the first words of its first prompt.
        created_at: ISO 8601, UTC; this and the next two are ``None`` if the session is damaged.
        last_used_at: Likewise.
        expires_at: Likewise; ``None`` also when sessions do not expire.
        agents: Its agents, of a long session with very many agents some of them.
        has_more_agents: Whether there are others.
        is_leased: Whether somebody holds the session's lease.
        lease_holder: Who, in the holder's own words, if the lease says so.
        problem: What is wrong with the session, if it cannot be read.
        owner: The prefix of its owner; ``None`` when it lies directly below the store.
        stored_bytes: How many bytes its objects have; ``None`` unless they were asked for.
    """

    session_id: str
    title: str | None = None
    created_at: str | None = None
    last_used_at: str | None = None
    expires_at: str | None = None
    agents: tuple[AgentSummary, ...] = ()
    has_more_agents: bool = False
    is_leased: bool = False
    lease_holder: str | None = None
    problem: str | None = None
    owner: str | None = None
    stored_bytes: int | None = None


@click.command()
@click.option(
    "--limit", metavar="NUMBER", type=click.IntRange(min=1), help="At most so many sessions. Not given: all of them."
)
@click.option(
    "--expired", is_flag=True, help="Those instead that have expired with --ttl-days, and of which something is stored."
)
@click.option(
    "--recent",
    is_flag=True,
    help="Those used last first: the sessions of an endpoint, and of managers with recent=True.",
)
@click.option(
    "--size", "with_size", is_flag=True, help="How many bytes each has stored, too: a listing of its objects."
)
@works_in_place
def ls(place: Place, limit: int | None, *, expired: bool, recent: bool, with_size: bool) -> None:
    """List sessions, ordered by id, or with --recent those used last first.

    Shows of each its agents, how many messages they have, when it was used last, when it expires (with --ttl-days),
    who holds its lease, and its title. "+" says that a long session has more agents than were counted. Listing is no
    use: it extends nothing. However many sessions there are, a page of them is held in memory.

    With --owner '*' the sessions directly below the store come first, then each owner's, with its prefix.
    """
    if expired and not place.ttl_days:
        raise click.UsageError("--expired needs --ttl-days with the lifetime in days, above 0.")
    if expired and recent:
        raise click.UsageError("--expired and --recent exclude each other: what has expired is in no list of them.")
    printer = Printer()
    head = (*(["OWNER"] if place.is_of_every_owner else []), *_HEAD, *(["BYTES"] if with_size else []))
    damaged, count = 0, 0
    for owner, store in place.open_each(None if expired else place.ttl_days):
        look = _Look(store, owner, place.ttl_days if expired else None, with_size=with_size)
        left = None if limit is None else limit - count
        if left == 0:
            break
        for rows in look_at_each(store, look, limit=left, finds_few=expired, recent=recent):
            damaged += sum(session.problem is not None for session in rows)
            if place.as_json:
                for session in rows:
                    print_json(asdict(session))
            else:
                _print_table(printer, rows, head, with_head=count == 0)
            count += len(rows)
    if damaged:
        raise TerminalError(
            f"{damaged} of these sessions cannot be read. `agent-sessions show` says more of each.", ExitCode.DAMAGED
        )


@dataclass(frozen=True)
class _Look:
    """How a session is looked at.

    Attributes:
        store: Where it is.
        owner: Its owner's prefix.
        ttl_days: With a lifetime only what has expired is wanted. The store itself then knows none.
        with_size: Whether its bytes are counted.
    """

    store: SessionStore
    owner: str | None
    ttl_days: float | None
    with_size: bool

    def __call__(self, session_id: str) -> ListedSession | None:
        found = look_at(self.store, session_id)
        if found is None or (self.ttl_days and found.problem is None and not self._has_expired(found)):
            return None
        expires = found.expires_at
        if self.ttl_days and found.last_used_at is not None:
            ended = expires_at(datetime.fromisoformat(found.last_used_at), self.ttl_days)
            expires = None if ended is None else ended.isoformat()
        size = stored_bytes(self.store, session_id) if self.with_size else None
        return replace(found, owner=self.owner, stored_bytes=size, expires_at=expires)

    def _has_expired(self, session: ListedSession) -> bool:
        # Asked of the library itself, by the storage's clock.
        living = ObjectSessionStore(self.store.objects, self.store.layout.prefix, ttl_days=self.ttl_days)
        try:
            living.describe(session.session_id)
        except SessionNotFoundError:
            return True
        return False


def stored_bytes(store: SessionStore, session_id: str) -> int:
    """How many bytes the objects of a session have."""
    return sum(entry.size for entry in store.objects.list(store.layout.session_folder(session_id)))


def look_at_each(
    store: SessionStore,
    look: Callable[[str], _Found | None],
    *,
    limit: int | None,
    finds_few: bool = False,
    recent: bool = False,
) -> Iterator[list[_Found]]:
    """Look at the sessions of a store, page by page, some at the same time.

    Args:
        store: Where the sessions are.
        look: Looks at one, by its id; ``None`` leaves it out, for it has ended meanwhile, or is not wanted.
        limit: At most so many sessions; ``None`` for all.
        finds_few: Whether most sessions are not wanted, so that more ids are asked for than the limit.
        recent: Whether those used last come first.
    """
    left, cursor = limit, None
    with threads_that_read(AT_ONCE) as threads:
        while left is None or left > 0:
            asked = _IDS_AT_ONCE if left is None or finds_few else min(_IDS_AT_ONCE, left)
            page = (store.list_recent if recent else store.sessions)(limit=asked, cursor=cursor)
            for begin in range(0, len(page.sessions), PAGE):
                ids = [session.session_id for session in page.sessions[begin : begin + PAGE]]
                found = [row for row in threads.map(look, ids) if row is not None][:left]
                yield found
                if left is not None:
                    left -= len(found)
                    if left == 0:
                        return
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
        title=summary.title,
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


def _print_table(printer: Printer, sessions: list[ListedSession], head: tuple[str, ...], *, with_head: bool) -> None:
    rows = [_row(session, head) for session in sessions]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    if with_head and rows:
        printer.line(_aligned(head, widths), "bold")
    for session, row in zip(sessions, rows, strict=True):
        printer.line(_aligned(row, widths), "red" if session.problem else "")


def _row(session: ListedSession, head: tuple[str, ...]) -> tuple[str, ...]:
    more = "+" if session.has_more_agents else ""
    messages = sum(agent.message_count for agent in session.agents)
    holder = clean(session.lease_holder or "held") if session.is_leased else "-"
    cells = {
        "OWNER": session.owner or "-",
        # A line for each session, whatever its id holds.
        "ID": clean(session.session_id),
        "AGENTS": f"{len(session.agents)}{more}",
        "MESSAGES": f"{messages}{more}",
        "LAST USE (UTC)": minute(session.last_used_at),
        "EXPIRES (UTC)": minute(session.expires_at),
        "LEASE": holder.replace("\n", " "),
        "TITLE": _short(clean(session.title or "-")),
        "BYTES": f"{session.stored_bytes or 0:,}",
    }
    if session.problem is not None:
        damage = f"damaged: {clean(session.problem)}".replace("\n", " ")
        cells |= {"AGENTS": "?", "MESSAGES": "?", "LEASE": damage}
    return tuple(cells[name] for name in head)


def _short(title: str) -> str:
    return title if len(title) <= _TITLE_WIDTH else f"{title[: _TITLE_WIDTH - 1]}…"


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
