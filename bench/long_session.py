"""``python -m bench.long_session``: a long session that Strands' manager wrote, taken over and used from then on.

Says what each turn costs, the first one beside Strands' own manager, at the latencies of S3; what it costs when it has
grown by more turns; and what reading its last messages and forking it cost. A short session goes the same way before.
"""

from __future__ import annotations

import argparse
import json
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


class Step(NamedTuple):
    """A turn: who takes it, and how many days after the one before."""

    who: str
    after_days: float


WORKLOAD = (Step("kit-turn", 0), Step("kit-turn", 5), Step("kit-turn", 1), Step("kit-turn", 1), Step("kit-turn", 29.5))


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table for each length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="messages in the long session, a multiple of four")
    parser.add_argument("--short", type=int, default=100, help="messages in the short one")
    parser.add_argument("--window", type=int, default=40, help="messages the agent keeps; 0 keeps all")
    parser.add_argument("--steps", type=int, default=len(WORKLOAD), help="how many turns of the kit's")
    parser.add_argument("--grow", type=int, default=50, help="turns that the session then grows by")
    options = parser.parse_args(arguments)
    window = options.window or None
    with StandIn() as stand_in:
        client = stand_in.client()
        for size in (options.short, options.size):
            lines = _table(stand_in, client, size, window, WORKLOAD[: options.steps], options.grow)
            say(sys.stdout, f"{size:,} messages, window {window or 'none'}\n\n{HEAD}\n" + "\n".join(lines) + "\n")


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
        lines.append(_row(stand_in, client, Step("kit-turn", 0), used, size, window, label=f"after {grow} more turns"))
        store = S3SessionStore(client, used, ttl_days=TTL_DAYS)
        page = f"the last {PAGE} messages"
        lines.append(_beside(stand_in, page, lambda: store.messages(SESSION_ID, cursor=str(size - PAGE), limit=PAGE)))
        before = min(size - TURN_MESSAGES, MOST_MESSAGES)
        fork = f"a fork before message {before:,}"
        lines.append(_beside(stand_in, fork, lambda: store.fork(SESSION_ID, before_message=before)))
    return lines


HEAD = "| who | days later | restore, ms | turn, ms | GET | PUT | LIST | other |\n|---|---|---|---|---|---|---|---|"


def _row(
    stand_in: StandIn, client: S3Client, step: Step, bucket: str, size: int, window: int | None, label: str = ""
) -> str:
    stand_in.advance_clock(step.after_days * DAY)
    stand_in.set_latency(S3_LATENCY)
    stand_in.take_log()
    start = time.monotonic()
    agent = build_agent(_open(step.who, client, bucket), InstantModel(), window=window)
    restored = time.monotonic()
    agent(question(size // TURN_MESSAGES))
    end = time.monotonic()
    stand_in.set_latency({})
    name = f"{step.who}{f', {label}' if label else ''} | {step.after_days:g}"
    return f"| {name} | {_ms(restored - start)} | {_ms(end - restored)} | {_requests(stand_in)} |"


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
