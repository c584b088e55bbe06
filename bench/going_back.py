"""``make bench-fork``: what going back costs, and the list of the sessions used last, beside what they may cost.

The first page of 10,000 sessions; a fork of 1,000 messages; and the turns of an agent with what a fork goes back to
(``kit.before``) beside the same turns without it. S3 is the stand-in at the latencies of S3, in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config

from agent_sessions._objects.agent_objects import AgentObjects
from agent_sessions._objects.before_turn import MOST_BYTES
from agent_sessions.s3_session_manager import S3SessionManager
from agent_sessions.session_store import S3SessionStore
from bench.conversation import AGENT_ID, InstantModel, build_agent, question
from bench.publish import publish, say
from bench.report import spread
from bench.run import head
from bench.stand_in import StandIn
from tests.bounds.stored import DAY, marker_object, session_objects
from tests.doubles.s3.request_log import LogEntry, rounds
from tests.doubles.s3_server import S3_LATENCY, S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

BEGIN, END = "<!-- going back: written by make bench-fork -->", "<!-- end of going back -->"
PUT_AT_ONCE = 2_000
THINK_SECONDS = 0.3
LIST_PAGE = 40
"""Sessions of a page of the chat page's list."""

_SLOW = {"LIST": 1.0, "GET": 3.0, "HEAD": 3.0}
"""Latencies at which requests that go at once are seen to, however busy the machine is."""


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        sessions: In the list.
        messages: Of the session that is forked.
        turns: With ``kit.before``, and as many without.
        repeat: How often the rest is measured.
    """

    sessions: int = 10_000
    messages: int = 1_000
    turns: int = 15
    repeat: int = 5


QUICK = Size(sessions=200, messages=40, turns=2, repeat=1)
"""Whether everything runs; no number of it means anything."""


@dataclass(frozen=True)
class Row:
    """What was measured.

    Attributes:
        what: What was done.
        requests: To S3.
        seconds: How long each took.
        note: What else was seen.
        limit: What the issue that asked for it allows.
        is_met: Whether that was kept.
    """

    what: str
    requests: str
    seconds: list[float]
    note: str
    limit: str
    is_met: bool


def verbs(entries: list[LogEntry]) -> str:
    """The requests by verb; a copy is a PUT that sends no bytes."""
    counts = Counter("COPY" if entry.verb == "PUT" and not entry.bytes_in else entry.verb for entry in entries)
    return ", ".join(f"{count:,} {verb}" for verb, count in sorted(counts.items()))


# --- the list -----------------------------------------------------------------------------------------------


def list_rows(stand_in: StandIn, size: Size) -> Iterator[Row]:
    """The first page of many sessions, of one day and of a hundred."""
    now = time.time()
    for days in (1, 100):
        bucket = f"list-{days}"
        client = stand_in.client()
        client.create_bucket(Bucket=bucket)
        for day in range(days):
            at = now - day * DAY
            stand_in.set_clock(at)
            names = [f"s{number:05}" for number in range(day, size.sessions, days)]
            written = chain.from_iterable(
                (*session_objects(name, messages=0), marker_object(name, at)) for name in names
            )
            while some := dict(islice(written, PUT_AT_ONCE)):
                stand_in.put_objects(bucket, some)
        stand_in.set_clock(now)
        yield _list_row(stand_in, client, bucket, size, days)
        stand_in.set_clock(None)


def _list_row(stand_in: StandIn, client: S3Client, bucket: str, size: Size, days: int) -> Row:
    store = S3SessionStore(client, bucket)
    store.list_recent(limit=1)  # the connections are warm
    seconds, entries = [], []
    stand_in.set_latency(S3_LATENCY)
    for _ in range(size.repeat):
        stand_in.take_log()
        start = time.monotonic()
        page = store.list_recent(limit=LIST_PAGE)
        seconds.append(time.monotonic() - start)
        entries = stand_in.take_log()
        if len(page.sessions) != LIST_PAGE:
            raise RuntimeError(f"the page has {len(page.sessions)} sessions")
    stand_in.set_latency(_SLOW)
    many = S3Server.connect(stand_in.url, config=Config(max_pool_connections=512, retries={"total_max_attempts": 1}))
    S3SessionStore(many, bucket).list_recent(limit=LIST_PAGE)
    seen = rounds(stand_in.take_log())
    stand_in.set_latency({})
    what = f"the first {LIST_PAGE} of {size.sessions:,} sessions, used on {days} day{'s' if days > 1 else ''}"
    return Row(what, verbs(entries), seconds, f"{seen} round trips", "2 round trips", seen <= 2)  # noqa: PLR2004 - the limit


# --- the fork -----------------------------------------------------------------------------------------------


def fork_row(stand_in: StandIn, size: Size) -> Row:
    """A fork of many messages."""
    client, bucket = stand_in.client(), "fork"
    client.create_bucket(Bucket=bucket)
    stand_in.put_objects(bucket, dict(session_objects("long", messages=size.messages + 2, text=" words" * 40)))
    store = S3SessionStore(client, bucket)
    seconds, entries = [], []
    stand_in.set_latency(S3_LATENCY)
    for _ in range(size.repeat):
        stand_in.take_log()
        start = time.monotonic()
        fork = store.fork("long", before_message=size.messages)
        seconds.append(time.monotonic() - start)
        entries = stand_in.take_log()
        if fork.message_count != size.messages:
            raise RuntimeError(f"the fork has {fork.message_count} messages")
    stand_in.set_latency({})
    bodies = sum("/messages/" in entry.key and entry.verb == "PUT" and entry.bytes_in > 0 for entry in entries)
    what = f"a fork of {size.messages:,} messages"
    is_met = not bodies and median(seconds) <= 5  # noqa: PLR2004 - the limit
    return Row(what, verbs(entries), seconds, f"{bodies} messages sent", "COPY alone, 5 s", is_met)


# --- the turns ----------------------------------------------------------------------------------------------


@contextmanager
def without_before() -> Iterator[None]:
    """Turns that keep nothing to go back to."""
    opening, record_opening = AgentObjects.opening, AgentObjects.record_opening
    patched = cast("Any", AgentObjects)
    patched.opening = lambda _self, content: content
    patched.record_opening = AgentObjects.record_message
    try:
        yield
    finally:
        patched.opening, patched.record_opening = opening, record_opening


@dataclass
class Turns:
    """Turns of one kind: their seconds, seconds of the processor, requests and bytes that were written."""

    seconds: list[float]
    cpu: list[float]
    requests: Counter[str]
    bytes_written: int = 0


def turn_rows(stand_in: StandIn, size: Size) -> Iterator[Row]:
    """Turns that change the agent's state, and turns that do not, with ``kit.before`` and without."""
    client = stand_in.client()
    states = (("changes 15 kB of state", True), ("changes no state", False))
    for label, changes in states:
        found = {kept: Turns([], [], Counter()) for kept in (True, False)}
        for kept in found:
            client.create_bucket(Bucket=_bucket(kept=kept, changes=changes))
        for number in range(-2, size.turns):  # the first two are not counted
            for kept in (True, False) if number % 2 else (False, True):
                _take_turn(stand_in, client, number, found[kept], kept=kept, changes=changes)
        with_it, without = found[True], found[False]
        added = (with_it.bytes_written - without.bytes_written) / size.turns
        more = Counter(with_it.requests)
        more.subtract(without.requests)
        cpu = median(with_it.cpu) - median(without.cpu)
        share = cpu / median(without.seconds)
        # What is written tells the same of every turn; reads of a conversation's end may come behind it.
        writes = more["PUT"]
        for kept, name in ((True, "with"), (False, "without")):
            turns = found[kept]
            each = ", ".join(
                f"{round(count / size.turns, 1):g} {verb}" for verb, count in sorted(turns.requests.items())
            )
            note = f"{1000 * median(turns.cpu):.1f} ms of processor"
            is_met = not writes and added <= MOST_BYTES and share < 0.02  # noqa: PLR2004 - the limit
            if kept:
                note += f", {1000 * cpu:+.1f} ms or {100 * share:+.1f} %; {added:+,.0f} bytes"
            limit = "no request, 16 KiB, 2 %" if kept else ""
            yield Row(f"a turn that {label}, {name} `kit.before`", each, turns.seconds, note, limit, is_met or not kept)


def _bucket(*, kept: bool, changes: bool) -> str:
    return f"turns-{'kept' if kept else 'plain'}-{'changes' if changes else 'stays'}"


def _take_turn(stand_in: StandIn, client: S3Client, number: int, found: Turns, *, kept: bool, changes: bool) -> None:
    model = InstantModel(THINK_SECONDS)
    stand_in.set_latency(S3_LATENCY)
    stand_in.take_log()
    start, cpu = time.monotonic(), time.process_time()
    with nullcontext() if kept else without_before():
        manager = S3SessionManager("chat", _bucket(kept=kept, changes=changes), client=client, durability="turn")
        agent = build_agent(cast("Any", manager), model, window=None)
        if changes:
            agent.state.set("notes", f"{number:05}" * 3_000)
        agent(question(number + 2))
    seconds, processor = time.monotonic() - start, time.process_time() - cpu
    time.sleep(0.1)  # what was asked for beside the turn is answered
    entries = stand_in.take_log()
    stand_in.set_latency({})
    if number < 0:
        return
    found.seconds.append(seconds)
    found.cpu.append(processor)
    found.requests.update(entry.verb for entry in entries)
    found.bytes_written += sum(entry.bytes_in for entry in entries if f"/agent_{AGENT_ID}/messages/" in entry.key)


# --- the report ---------------------------------------------------------------------------------------------


def measure(size: Size, tell: Callable[[str], None]) -> list[Row]:
    """Measure everything in one run."""
    rows = []
    with StandIn() as stand_in:
        for some in (list_rows(stand_in, size), iter((fork_row(stand_in, size),)), turn_rows(stand_in, size)):
            for row in some:
                tell(f"{row.what}: {spread(row.seconds)} ms")
                rows.append(row)
    return rows


def markdown(rows: list[Row]) -> str:
    """The report."""
    about = head()
    machine, changes = about["machine"], ", with uncommitted changes" * about["uncommitted_changes"]
    lines = [
        f"* {about['date']}, commit `{about['commit'] or 'unknown'}`{changes}",
        f"* {machine['cpu']}, {machine['cores']} cores, load {machine['load_average']}; a model that thinks 2 x 300 ms",
        "",
        "| what | requests to S3 | ms | seen | at most; (!) is over it |",
        "|---|---|---:|---|---|",
    ]
    for row in rows:
        cells = (row.what, row.requests, spread(row.seconds), row.note, row.limit + " (!)" * (not row.is_met))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and say it; with ``--publish`` in docs/BENCHMARKS.md too."""
    parser = argparse.ArgumentParser(prog="python -m bench.going_back", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that everything runs; the numbers mean nothing")
    parser.add_argument("--publish", action="store_true", help="also update docs/BENCHMARKS.md")
    options = parser.parse_args(arguments)
    rows = measure(QUICK if options.quick else Size(), lambda text: say(sys.stderr, text))
    report = markdown(rows)
    say(sys.stdout, report)
    if options.publish:
        publish(report, BEGIN, END)


if __name__ == "__main__":
    main()
