"""``agent-sessions rm --all-of``: erase every session of an owner, and print the receipt."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from agent_sessions_cli.failures import ExitCode, TerminalError
from agent_sessions_cli.output import Printer, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_sessions.session_pages import ErasureReceipt
    from agent_sessions.session_store import SessionStore
    from agent_sessions_cli.place import Place

_COUNTED = 1_000


def erase_all_of(place: Place, owner: str, *, with_people: bool, yes: bool) -> None:
    """Say what an owner has, ask, erase it, print the receipt.

    Raises:
        TerminalError: Something is left.
    """
    store = replace(place, owner=owner).open()
    # One level: a space that an owner speaks for has none below it.
    names = list(store.objects.list_folders(store.layout.root, named="o_"))
    if not yes:
        Printer().line(_told(store, len(names), with_people=with_people))
        click.confirm("Erase all of it? This cannot be undone.", abort=True)
    stores = [(owner, store), *((f"{owner}/{name}", store.for_owner(name)) for name in names if with_people)]
    left: list[tuple[str, ErasureReceipt]] = []
    for name, one in stores:
        erasure = one.owner_erasure()
        receipt = _erase(erasure.run)
        if place.as_json:
            print_json({"owner": name, **_as_json(receipt)})
        else:
            Printer().line(_line(name, receipt))
        sys.stdout.flush()
        if receipt.is_whole:
            erasure.forget_receipt()  # printed: nobody needs it any more
        else:
            left.append((name, receipt))
    if left:
        raise _not_whole(left)


def _told(store: SessionStore, people: int, *, with_people: bool) -> str:
    page = store.sessions(limit=_COUNTED)
    count = f"more than {len(page.session_ids)}" if page.next_cursor is not None else str(len(page.session_ids))
    some = ", ".join(islice(page.session_ids, 5))
    sessions = f"{count} sessions" + (f" ({some}{', …' if len(page.session_ids) > 5 else ''})" if some else "")  # noqa: PLR2004 - as above
    if not people:
        return sessions
    fate = "which are erased, too" if with_people else "which stay; --with-people erases them, too"
    return f"{sessions}, and {people} people that this owner speaks for, {fate}"


def _erase(run: Callable[[], ErasureReceipt]) -> ErasureReceipt:
    try:
        return run()
    except KeyboardInterrupt:
        raise TerminalError(
            "Not everything is erased: the command was stopped. What it had come to is closed to everybody. Run the "
            "same command again to go on; its receipt counts both.",
            ExitCode.INTERRUPTED,
        ) from None


def _as_json(receipt: ErasureReceipt) -> dict[str, Any]:
    told = asdict(receipt)
    told["left"] = [{"name": undeleted.name, "code": undeleted.code} for undeleted in receipt.left]
    return {**told, "complete": receipt.is_whole}


def _line(name: str, receipt: ErasureReceipt) -> str:
    kept = f", {receipt.versions} older versions, {receipt.markers} delete markers"
    older = kept if receipt.versions or receipt.markers else ""
    when = f", from {receipt.began_at} to {receipt.ended_at}" if receipt.ended_at is not None else ""
    return f"{name}: erased {receipt.sessions} sessions, {receipt.objects} objects{older}, {receipt.bytes} bytes{when}"


def _not_whole(left: Sequence[tuple[str, ErasureReceipt]]) -> TerminalError:
    named = "; ".join(
        f"{undeleted.name} ({undeleted.code})" for _, receipt in left for undeleted in islice(receipt.left, 5)
    )
    count = sum(receipt.left_count for _, receipt in left)
    return TerminalError(
        f"{count} objects are left: {named or 'somebody begins new sessions all the time'}. Nobody reads them. InUse "
        "means that a turn runs. Run the same command again to go on; its receipt counts both.",
        ExitCode.NOT_WHOLE,
    )
