"""``python -m bench.renewal``: what the dearest turn of a long session renews, as the table in ``docs/EXPIRY.md``.

The sessions live for months under a clock that is set, in memory; the renewal is the real one. Seconds are counted from
the requests at the latencies of S3 (GET 15, PUT 25, LIST 30 milliseconds), eight at once. A function whose processor is
slower than that needs longer.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bench.publish import say
from bench.run import ROOT
from tests.expiry.long_session import Cost, LongSession

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DOCUMENT = ROOT / "docs" / "EXPIRY.md"
BEGIN, END = "<!-- long sessions: written by python -m bench.renewal --publish -->", "<!-- end of long sessions -->"
TTL_DAYS = 30
SIZES = (10, 100, 1_000, 10_000, 20_000, 100_000)
HEAD = """| messages | before: everything in one turn | once a day | once an hour | after 29 days of silence |
|---|---|---|---|---|"""


def main(arguments: list[str] | None = None) -> None:
    """Let sessions live, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, action="append", help="messages in the session; may be repeated")
    parser.add_argument("--publish", action="store_true", help="write the table into docs/EXPIRY.md")
    options = parser.parse_args(arguments)
    table = "\n".join([HEAD, *(row(size) for size in options.size or SIZES)])
    say(sys.stdout, table)
    if options.publish:
        publish(table, DOCUMENT)


def row(size: int) -> str:
    """What the dearest turn costs a session of that many messages, by how it is used."""
    at_once = Cost(gets=size + 2, puts=size + 2, lists=size // 1_000 + 1)
    daily = LongSession(size, TTL_DAYS)
    used_daily = _dearest(daily, [1.0] * 60)
    after_silence = _back_after(daily, 29)
    hourly = _dearest(LongSession(size, TTL_DAYS), [1 / 24] * 24 * 6)
    cells = (_told(at_once), _told(used_daily), _told(hourly), after_silence)
    return f"| {size:,} | {' | '.join(cells)} |"


def _dearest(session: LongSession, silences: Iterable[float]) -> Cost:
    turns = [session.use(silence) for silence in silences]
    if any(turn.failed for turn in turns) or session.run_rule():
        raise RuntimeError(f"messages={session.messages} | a turn has failed, or the rule has reached an object")
    return max((turn.cost for turn in turns), key=lambda cost: cost.seconds)


def _back_after(session: LongSession, days: float) -> str:
    """What the turns after a silence cost, sent again as long as the time does not suffice."""
    refused = 0
    turn = session.use(days)
    while turn.failed:
        refused += 1
        turn = session.use()
    if session.run_rule():
        raise RuntimeError(f"messages={session.messages} | the rule has reached an object")
    return f"{refused} refused, then {_told(turn.cost)}" if refused else _told(turn.cost)


def _told(cost: Cost) -> str:
    return f"{cost.gets + cost.puts + cost.lists:,} requests, {cost.seconds:.1f} s"


def publish(table: str, document: Path) -> None:
    """Put the table into a document, between its marks."""
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
