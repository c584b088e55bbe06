"""``python -m bench.long_session``: long sessions, one that Strands' manager wrote and one that the kit has grown.

The first is taken over and used from then on: what each turn costs, the first one beside Strands' own manager, at the
latencies of S3, and what it costs when the session has grown by more turns. The second has had every turn of the kit's,
taken without latency, by agents that stay for a hundred turns. Of both: what reading the last messages and forking
cost. A short session goes the same way before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions.forking import MOST_MESSAGES
from agent_sessions.s3_session_manager import S3SessionManager
from agent_sessions.session_store import S3SessionStore
from bench.contenders import SESSION_ID, contenders
from bench.conversation import AGENT_ID, TURN_MESSAGES, InstantModel, build_agent, history, question
from bench.publish import say
from bench.stand_in import StandIn
from tests.doubles.s3_server import S3_LATENCY

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from strands.session.session_manager import SessionManager

TTL_DAYS = 30
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400
SEEDED = "seeded"
PAGE = 100
AGENT_TURNS = 100
"""Turns that an agent stays for, while a session is grown."""
MEASURED = 9
"""Turns of a grown session that are measured; shown is the median."""
THINK_SECONDS = 0.5
"""What a model thinks for before each of a turn's two answers, where it thinks: it is taken off the turn."""


class Step(NamedTuple):
    """A turn: who takes it, and how many days after the one before."""

    who: str
    after_days: float


class Taken(NamedTuple):
    """A turn that was taken: seconds, and requests as they are shown."""

    restore: float
    turn: float
    requests: str


WORKLOAD = (Step("kit-turn", 0), Step("kit-turn", 5), Step("kit-turn", 1), Step("kit-turn", 1), Step("kit-turn", 29.5))


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table for each length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="messages in the long session, a multiple of four")
    parser.add_argument("--short", type=int, default=100, help="messages in the short one")
    parser.add_argument("--window", type=int, default=40, help="messages the agent keeps; 0 keeps all")
    parser.add_argument("--steps", type=int, default=len(WORKLOAD), help="how many turns of the kit's")
    parser.add_argument("--grow", type=int, default=50, help="turns that the session then grows by")
    parser.add_argument("--grown", type=int, help="messages in the session that the kit grows; as --size, 0 for none")
    options = parser.parse_args(arguments)
    window = options.window or None
    with StandIn() as stand_in:
        client = stand_in.client()
        for size in (options.short, options.size):
            lines = _table(stand_in, client, size, window, WORKLOAD[: options.steps], options.grow)
            _say_table(f"{size:,} messages", window, lines)
        long = options.size if options.grown is None else options.grown
        _grown_tables(stand_in, client, (options.short, long) if long else (), window)


def _say_table(title: str, window: int | None, lines: list[str]) -> None:
    say(sys.stdout, f"{title}, window {window or 'none'}\n\n{HEAD}\n" + "\n".join(lines) + "\n")


def _table(
    stand_in: StandIn, client: S3Client, size: int, window: int | None, steps: tuple[Step, ...], grow: int
) -> list[str]:
    seeded, used = f"{SEEDED}-{size}", f"used-{size}"
    stand_in.set_clock(BEGIN)
    seed(client, seeded, size, window)
    lines = [_row(stand_in, client, Step("strands-s3", 0), seeded, size, window)]
    client.create_bucket(Bucket=used)
    stand_in.copy(seeded, used)
    for step in steps:
        lines.append(_row(stand_in, client, step, used, size, window))
        say(sys.stderr, lines[-1])
    if steps:
        for _ in range(grow):
            build_agent(_open("kit-turn", client, used), InstantModel(), window=window)(question(0))
        taken = [_take(stand_in, client, "kit-turn", used, size, window) for _ in range(MEASURED)]
        lines.append(_median_row(f"kit-turn, after {grow} more turns", taken))
        taken = [_take(stand_in, client, "kit-turn", used, size, window, THINK_SECONDS) for _ in range(MEASURED)]
        lines.append(_median_row(f"the same, less the {2 * THINK_SECONDS:g} s that the model thinks", taken))
        lines += _read_and_fork(stand_in, client, used, size)
    return lines


def _grown_tables(stand_in: StandIn, client: S3Client, sizes: tuple[int, ...], window: int | None) -> None:
    """Grow sessions, have them take turns about, and print a table of each."""
    for size in sizes:
        _grow(stand_in, client, _grown(size), size // TURN_MESSAGES, window)
    taken: dict[int, list[Taken]] = {size: [] for size in sizes}
    for _ in range(MEASURED):
        for size in sizes:
            taken[size].append(_take(stand_in, client, "kit-turn", _grown(size), size, window))
    for size in sizes:
        lines = [_median_row("kit-turn", taken[size]), *_read_and_fork(stand_in, client, _grown(size), size)]
        _say_table(f"{size:,} messages, grown by the kit", window, lines)


def _grown(size: int) -> str:
    return f"grown-{size}"


def _grow(stand_in: StandIn, client: S3Client, bucket: str, turns: int, window: int | None) -> None:
    """Take turns without latency."""
    stand_in.set_clock(BEGIN)
    client.create_bucket(Bucket=bucket)
    start = time.monotonic()
    for first in range(0, turns, AGENT_TURNS):
        agent = build_agent(_open("kit-turn", client, bucket), InstantModel(), window=window)
        for number in range(first, min(first + AGENT_TURNS, turns)):
            agent(question(number))
        stand_in.take_log()
    say(sys.stderr, f"{turns:,} turns in {time.monotonic() - start:,.0f} s, without latency")


def _median_row(label: str, taken: list[Taken]) -> str:
    """Of turns that cost the same: the median of each time, and the requests of most of them."""
    restore, turn = (statistics.median(seconds) for seconds in zip(*(one[:2] for one in taken), strict=True))
    ((requests, _),) = Counter(one.requests for one in taken).most_common(1)
    line = f"| {label}, median of {len(taken)} | 0 | {_ms(restore)} | {_ms(turn)} | {requests} |"
    say(sys.stderr, line)
    return line


def _read_and_fork(stand_in: StandIn, client: S3Client, bucket: str, size: int) -> list[str]:
    store = S3SessionStore(client, bucket, ttl_days=TTL_DAYS)
    first, before = str(size - PAGE), min(size - TURN_MESSAGES, MOST_MESSAGES)
    return [
        _beside(stand_in, f"the last {PAGE} messages", lambda: store.messages(SESSION_ID, cursor=first, limit=PAGE)),
        _beside(
            stand_in,
            f"a fork before message {before:,}",
            lambda: store.fork(SESSION_ID, before_message=before),
        ),
    ]


HEAD = "| who | days later | restore, ms | turn, ms | GET | PUT | LIST | other |\n|---|---|---|---|---|---|---|---|"


def _row(stand_in: StandIn, client: S3Client, step: Step, bucket: str, size: int, window: int | None) -> str:
    stand_in.advance_clock(step.after_days * DAY)
    taken = _take(stand_in, client, step.who, bucket, size, window)
    name = f"{step.who} | {step.after_days:g}"
    return f"| {name} | {_ms(taken.restore)} | {_ms(taken.turn)} | {taken.requests} |"


def _take(
    stand_in: StandIn, client: S3Client, who: str, bucket: str, size: int, window: int | None, think: float = 0.0
) -> Taken:
    """Take a turn at the latencies of S3."""
    model = InstantModel(think)
    stand_in.set_latency(S3_LATENCY)
    stand_in.take_log()
    start = time.monotonic()
    agent = build_agent(_open(who, client, bucket), model, window=window)
    restored = time.monotonic()
    agent(question(size // TURN_MESSAGES))
    end = time.monotonic()
    stand_in.set_latency({})
    thought = model.seconds if think else 0.0
    return Taken(restored - start, end - restored - thought, _requests(stand_in))


def _beside(stand_in: StandIn, label: str, work: Callable[[], object]) -> str:
    """Measure something else than a turn."""
    stand_in.set_latency(S3_LATENCY)
    stand_in.take_log()
    start = time.monotonic()
    work()
    seconds = time.monotonic() - start
    stand_in.set_latency({})
    line = f"| {label} | 0 | \N{EN DASH} | {_ms(seconds)} | {_requests(stand_in)} |"
    say(sys.stderr, line)
    return line


def _requests(stand_in: StandIn) -> str:
    verbs = Counter(entry.verb for entry in stand_in.take_log())
    other = sum(count for verb, count in verbs.items() if verb not in {"GET", "PUT", "LIST"})
    return f"{verbs['GET']} | {verbs['PUT']} | {verbs['LIST']} | {other}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f}"


def _open(who: str, client: S3Client, bucket: str) -> SessionManager | Any:
    if who == "kit-turn":
        return S3SessionManager(SESSION_ID, bucket, client=client, durability="turn", ttl_days=TTL_DAYS)
    return next(one for one in contenders() if one.name == who).open(client, bucket)


def seed(client: S3Client, bucket: str, size: int, window: int | None) -> None:
    """Store a session as Strands' manager writes it, its conversation manager's window at the end."""
    client.create_bucket(Bucket=bucket)
    at = datetime.fromtimestamp(BEGIN, UTC).isoformat()
    stamps = {"created_at": at, "updated_at": at}
    folder = f"session_{SESSION_ID}/"
    agent = f"{folder}agents/agent_{AGENT_ID}/"
    removed = max(0, size - window) if window else 0
    name = "SlidingWindowConversationManager" if window else "NullConversationManager"
    manager: dict[str, Any] = {"__name__": name, "removed_message_count": removed}
    if window:
        manager["model_call_count"] = 0
    records: dict[str, Any] = {
        f"{folder}session.json": {"session_id": SESSION_ID, "session_type": "AGENT", **stamps},
        f"{agent}agent.json": {
            "agent_id": AGENT_ID,
            "state": {},
            "conversation_manager_state": manager,
            "_internal_state": {"interrupt_state": {"interrupts": {}, "context": {}, "activated": False}},
            **stamps,
        },
    }
    for number, message in enumerate(history(size)):
        records[f"{agent}messages/message_{number}.json"] = {
            "message": message,
            "message_id": number,
            "redact_message": None,
            **stamps,
        }

    def put(item: tuple[str, Any]) -> None:
        body = json.dumps(item[1], indent=2, ensure_ascii=False).encode()
        client.put_object(Bucket=bucket, Key=item[0], Body=body, ContentType="application/json")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, records.items()))


if __name__ == "__main__":
    main()
