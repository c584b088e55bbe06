"""``agent-sessions bench``: how fast a store is from here."""

from __future__ import annotations

import math
import time
import uuid
from typing import TYPE_CHECKING

import click

from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent, Unchanged
from agent_sessions.session_store import ObjectSessionStore
from agent_sessions_cli.output import Printer, print_json
from agent_sessions_cli.place import Place, works_in_place
from agent_sessions_cli.progress import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.object_store import ObjectStore

_FOLDER = ".agent-sessions-bench-"
_MEANINGS = {
    "put": "PUT of a new object (If-None-Match)",
    "replace": "PUT over a version (If-Match)",
    "get": "GET of an object",
    "list": "LIST of a folder",
    "delete": "DELETE of an object",
    "turn": "what a turn adds, if nothing of it overlaps with the model",
}


@click.command()
@click.option(
    "--rounds",
    metavar="NUMBER",
    type=click.IntRange(3, 10_000),
    default=30,
    show_default=True,
    help="How often each is measured.",
)
@click.option(
    "--bytes",
    "size",
    metavar="NUMBER",
    type=click.IntRange(32, 5_000_000),
    default=2_000,
    show_default=True,
    help="The size of an object.",
)
@works_in_place
def bench(place: Place, rounds: int, size: int) -> None:
    """Measure how fast a store is from here: each kind of request, and what a turn would add.

    Prints the median and the 95th percentile in milliseconds, of requests that are sent one after the other. A turn is
    a lease taken and given back, a restore, the prompt, and the agent's record together with the answer, as a turn of
    two messages sends them; most of it overlaps with the model in an endpoint. Everything is written below a folder of
    its own beside the sessions, which no listing of sessions shows, and which is erased, also after Ctrl-C.
    """
    store = place.open()
    prefix = f"{store.layout.root}{_FOLDER}{uuid.uuid4().hex}"
    apart = ObjectSessionStore(store.objects, prefix)
    took: dict[str, list[float]] = {name: [] for name in _MEANINGS}
    store.objects.check()
    try:
        with Work("measuring", lambda: rounds) as work:
            for number in range(rounds):
                _measure_requests(store.objects, f"{prefix}/{number}.json", size, took)
                took["turn"].append(_timed(lambda number=number: _take_turn(apart, number, size)))  # type: ignore[misc] # a number
                work.advance()
    finally:
        store.objects.erase(f"{prefix}/")
    printer = Printer()
    for name, seconds in took.items():
        median, high = (1_000 * percentile(seconds, share) for share in (0.5, 0.95))
        if place.as_json:
            print_json({"name": name, "rounds": rounds, "bytes": size, "p50_ms": median, "p95_ms": high})
        else:
            printer.line(f"{name:8} p50 {median:8.1f} ms   p95 {high:8.1f} ms   {_MEANINGS[name]}")


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so large a share of the values is not above."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _measure_requests(objects: ObjectStore, key: str, size: int, took: dict[str, list[float]]) -> None:
    etags = []
    took["put"].append(_timed(lambda: etags.append(objects.put(key, _body(size), Absent()).etag)))
    took["replace"].append(_timed(lambda: objects.put(key, _body(size), Unchanged(etags[0]))))
    took["get"].append(_timed(lambda: objects.get(key)))
    took["list"].append(_timed(lambda: list(objects.list(key))))
    took["delete"].append(_timed(lambda: objects.delete([key])))


def _take_turn(store: ObjectSessionStore, number: int, size: int) -> None:
    """The requests of a turn in a session of two messages, in their order."""
    objects, layout, session_id = store.objects, store.layout, f"bench-{number}"
    with SessionLease(store, session_id, holder="agent-sessions bench", renew_seconds=None):
        objects.get_many([layout.session(session_id), layout.agent(session_id, "a"), layout.history(session_id, "a")])
        objects.put(layout.message(session_id, "a", 0), _body(size), Absent())
        last = [layout.agent(session_id, "a"), layout.message(session_id, "a", 1)]
        executor = objects.executor

        def write(key: str) -> None:
            objects.put(key, _body(size), Absent())

        list(map(write, last) if executor is None else executor.map(write, last))


def _body(size: int) -> bytes:
    """A body of this size that no other has: a store may take equal bytes for its own write."""
    return uuid.uuid4().hex.encode().ljust(size, b"x")
