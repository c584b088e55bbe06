"""``agent-sessions cp``: sessions from one store into another."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Self

import click

from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import Printer, print_json
from agent_sessions_cli.place import Place, works_between_places
from agent_sessions_cli.progress import Work
from agent_sessions_cli.session_copy import Became, CopiedSession, SessionCopy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_sessions.session_store import SessionStore

_RECORDS_AT_ONCE = 16
_TAKING_BACK_SECONDS = 0.8
"""So long Ctrl-C waits for the copies under way to take back what they have written. What is left then stays closed."""
_CODES = {Became.OTHER: ExitCode.EXISTS, Became.USED: ExitCode.BUSY}


@click.command()
@click.argument("source_url", metavar="SRC")
@click.argument("target_url", metavar="DST")
@click.argument("session_ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--to-owner",
    metavar="NAME",
    help="Whose they become; as --owner, which is the source's. Not given: the same owner.",
)
@click.option("--to-issuer", metavar="NAME", help="Who vouches for --to-owner.")
@click.option("--to-profile", metavar="NAME", help="The profile of AWS credentials for DST. Not given: --profile.")
@click.option("--to-endpoint-url", metavar="URL", help="Another S3 for DST. Not given: --endpoint-url.")
@click.option(
    "--parallel",
    metavar="NUMBER",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Sessions that are copied at the same time.",
)
@works_between_places
def cp(
    place: Place,
    source_url: str,
    target_url: str,
    session_ids: tuple[str, ...],
    *,
    to_owner: str | None,
    to_issuer: str | None,
    to_profile: str | None,
    to_endpoint_url: str | None,
    parallel: int,
) -> None:
    """Copy sessions from one store into another: all of them, or those that are named.

    SRC and DST are URLs as of --store. Of a session every record is copied byte for byte, and what was written is
    compared with what was read. Between two buckets of one S3 the storage itself copies. Nothing is overwritten: a
    session that is there already with the same content is passed, another one is reported. So a copy that was stopped
    is gone on with by the same command.

    A session that somebody uses, or that changes while it is copied, is not copied but reported: copy it again later.
    Nobody finds a session in DST before it is whole, whenever the command is stopped or killed. Copying counts as a
    use, as importing does. With --owner '*' every owner's sessions are copied, each to the same owner.
    """
    source = replace(place, store_url=source_url)
    target = _target_of(place, target_url, to_owner, to_issuer, to_profile, to_endpoint_url)
    counts: Counter[Became] = Counter()
    printer = Printer()
    copied_bytes = 0
    with _Copying(parallel) as copying:
        for owner, here in source.open_each(place.ttl_days):
            there = _store_for(target, owner, place)
            copy = SessionCopy(here, there, owner, threads=copying.records, stop=copying.stop)
            ids = iter(session_ids) if session_ids else _ids_of(here)
            with Work("copying", partial(_count, here, session_ids)) as work:
                for became in copying.each(copy, ids):
                    work.advance()
                    counts[became.became] += 1
                    copied_bytes += became.bytes
                    _tell(printer, became, as_json=place.as_json)
    if place.as_json:
        print_json({"copied": counts[Became.COPIED], "same": counts[Became.SAME], "bytes": copied_bytes})
    else:
        told = f"{counts[Became.COPIED]} sessions copied, {copied_bytes:,} bytes"
        printer.line(f"{told}; {counts[Became.SAME]} were there already", "bold")
    left = counts[Became.OTHER] + counts[Became.USED] + (counts[Became.GONE] if session_ids else 0)
    if left:
        code = next((code for became, code in _CODES.items() if counts[became]), ExitCode.NOT_FOUND)
        raise TerminalError(f"{left} sessions were not copied: the lines say why.", code)


def _target_of(
    place: Place,
    url: str,
    owner: str | None,
    issuer: str | None,
    profile: str | None,
    endpoint_url: str | None,
) -> Place:
    if owner is None and issuer is not None:
        raise click.UsageError("--to-issuer goes with --to-owner. Name the owner, too.")
    if place.is_of_every_owner and owner is not None:
        raise click.UsageError("With --owner '*' each session keeps its owner. Leave --to-owner out.")
    if owner == place.ANY:
        raise click.UsageError("--to-owner names one owner.")
    if owner is not None:
        place = replace(place, owner=owner, issuer=issuer)
    if not url.lower().startswith("s3:"):
        if profile or endpoint_url:
            raise click.UsageError("--to-profile and --to-endpoint-url belong to a DST on S3. Leave them out.")
        return replace(place, store_url=url, profile=None, endpoint_url=None)
    profile, endpoint_url = profile or place.profile, endpoint_url or place.endpoint_url
    return replace(place, store_url=url, profile=profile, endpoint_url=endpoint_url)


def _store_for(target: Place, owner: str | None, place: Place) -> SessionStore:
    """Where the sessions of an owner of the source go."""
    if not place.is_of_every_owner:
        return target.open()
    whole = replace(target, owner=None).open()
    return whole if owner is None else whole.for_owner(owner)


class _Copying:
    """Threads for sessions and for their records. Whoever leaves waits until what is under way has been taken back.

    After Ctrl-C it waits a moment at most: see ``stopping``.

    Args:
        parallel: How many sessions are copied at the same time.

    Attributes:
        records: Copy records.
        stop: Set when no more is to be copied.
    """

    def __init__(self, parallel: int) -> None:
        self.records = ThreadPoolExecutor(_RECORDS_AT_ONCE)
        self.stop = threading.Event()
        self._sessions = ThreadPoolExecutor(parallel)
        self._at_once = 2 * parallel
        self._under_way: set[Future[CopiedSession]] = set()

    def each(self, copy: Callable[[str], CopiedSession], ids: Iterator[str]) -> Iterator[CopiedSession]:
        """Copy each session; at most so many are asked for at a time."""
        self._begin(copy, islice(ids, self._at_once))
        while self._under_way:
            done, self._under_way = wait(self._under_way, return_when=FIRST_COMPLETED)
            self._begin(copy, islice(ids, len(done)))
            for future in done:
                if future.exception() is not None:
                    self.stop.set()  # so that the others end before the error is told
                yield future.result()

    def _begin(self, copy: Callable[[str], CopiedSession], ids: Iterator[str]) -> None:
        for session_id in ids:
            self._under_way.add(self._sessions.submit(copy, session_id))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is not None:
            self.stop.set()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            running = [copied for copied in self._under_way if not copied.cancel()]
            wait(running, timeout=_TAKING_BACK_SECONDS)
        else:
            self._sessions.shutdown(cancel_futures=kind is not None)
            self.records.shutdown(cancel_futures=kind is not None)


def _ids_of(store: SessionStore) -> Iterator[str]:
    cursor = None
    while True:
        page = store.sessions(limit=1_000, cursor=cursor)
        yield from page.session_ids
        cursor = page.next_cursor
        if cursor is None:
            return


def _count(store: SessionStore, session_ids: tuple[str, ...]) -> int:
    return len(session_ids) or sum(1 for _ in store.objects.list_folders(store.layout.root, named="session_"))


def _tell(printer: Printer, copied: CopiedSession, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(copied))
    elif copied.became not in {Became.COPIED, Became.SAME}:
        printer.line(f"session {copied.session_id}: {copied.became}", "yellow")
