"""What the kit wants to reach, judged against the peers of the same run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.prices import usd_per_million

RESTORE_LIMIT = 1.2
TURN_LIMIT = 1.0
THINKING_TURN_LIMIT = 1.5
EFFECTS_TURN_LIMIT = 1.15
FOOTPRINT_LIMIT = 1.2
ENDPOINT_LIMITS = {
    "endpoint": {10: 1.9, 100: 1.8, 500: 1.4},
    "endpoint-stream": {10: 1.6, 100: 1.5, 500: 1.2},
}
"""By the session's length. The peer has no lease, no fence, no owner and no expiry."""

Rows = list[dict[str, Any]]
Measure = Callable[[dict[str, Any]], float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target at one session length; ``size`` is ``None`` where it is about all of them."""

    target: str
    size: int | None
    measured: str
    limit: str
    is_met: bool


def verdicts(results: dict[str, Any]) -> list[Verdict]:
    """Judge a run; a target whose contenders were not part of it is left out."""
    samples: Rows = [sample for sample in results["samples"] if sample["window"] is None]
    thinking = max((sample["think_seconds"] for sample in samples), default=0.0)
    at_once = [sample for sample in samples if sample["think_seconds"] == 0]
    slow = [sample for sample in samples if sample["think_seconds"] == thinking and thinking > 0]
    found: list[Verdict] = []
    for name in ("kit-message", "kit-turn"):
        restore = f"restore, {name} / snapshot-turn"
        found += _ratios(restore, samples, name, "snapshot-turn", _restore, RESTORE_LIMIT)
    turn = "turn, model at once, kit-message / snapshot-message"
    found += _ratios(turn, at_once, "kit-message", "snapshot-message", _added, TURN_LIMIT)
    for name, limit in (("kit-turn", THINKING_TURN_LIMIT), ("kit-effects", EFFECTS_TURN_LIMIT)):
        added = f"time added, model thinks, {name} / snapshot-turn"
        found += _ratios(added, slow, name, "snapshot-turn", _added, limit)
    for name, limits in ENDPOINT_LIMITS.items():
        added = f"time added, model thinks, {name} / snapshot-turn"
        for size, limit in limits.items():
            found += _ratios(added, [row for row in slow if row["size"] == size], name, "snapshot-turn", _added, limit)
    for what, label in (("cpu_seconds", "CPU"), ("peak_bytes", "peak memory")):
        target = f"{label} of restoring, kit-message / snapshot-turn"
        measure: Measure = lambda row, what=what: float(row[what])  # type: ignore[misc]  # noqa: E731  # bound now
        found += _ratios(target, results["footprints"], "kit-message", "snapshot-turn", measure, FOOTPRINT_LIMIT)
    for name in ("kit-message", "kit-turn"):
        found += _flat(samples, name)
    return found


def _restore(row: dict[str, Any]) -> float:
    return float(row["restore_seconds"])


def _added(row: dict[str, Any]) -> float:
    return float(row["turn_seconds"] - row["model_seconds"])


def _ratios(target: str, rows: Rows, ours: str, peer: str, measure: Measure, limit: float) -> list[Verdict]:
    found: list[Verdict] = []
    for size in sorted({row["size"] for row in rows}):
        medians = [
            median(measure(row) for row in rows if (row["contender"], row["size"]) == (name, size))
            for name in (ours, peer)
            if any((row["contender"], row["size"]) == (name, size) for row in rows)
        ]
        if len(medians) == 2:  # noqa: PLR2004  # both took part
            ratio = medians[0] / medians[1]
            found.append(Verdict(target, size, f"{ratio:.2f}", f"≤ {limit:g}", ratio <= limit))
    return found


def _flat(samples: Rows, name: str) -> list[Verdict]:
    """Judge what must not grow with the session: reads, LISTs, the price of a turn, its bytes."""
    own = [row for row in samples if row["contender"] == name]
    sizes = sorted({row["size"] for row in own})
    if len(sizes) < 2:  # noqa: PLR2004  # nothing to compare
        return []
    by_size = {size: [row for row in own if row["size"] == size] for size in sizes}
    short, long = (by_size[size] for size in (sizes[0], sizes[-1]))

    def middle(rows: Rows, measure: Measure) -> float:
        return median(measure(row) for row in rows)

    def reads(row: dict[str, Any]) -> float:
        # Of the whole turn: what a restore asks for without waiting for it may be answered before or after its end.
        return float(sum(row["requests"].get(verb, 0) for verb in ("GET", "LIST")))

    lists = sum(row["requests"].get("LIST", 0) for row in own)
    first, last = middle(short, reads), middle(long, reads)
    cheap, dear = (middle(rows, lambda row: usd_per_million(row["requests"])) for rows in (short, long))
    few, many = (middle(rows, lambda row: row["bytes_written"]) for rows in (short, long))
    growth = many / few / (sizes[-1] / sizes[0])
    return [
        Verdict(
            f"reads of a turn, its restore included, as many at {sizes[-1]:,} as at {sizes[0]:,}, {name}",
            None,
            f"{last:.0f}",
            f"≤ {first:.0f}",
            last <= first,
        ),
        Verdict(f"no LIST, {name}", None, f"{lists}", "0", lists == 0),
        Verdict(f"USD per million turns flat, {name}", None, f"{dear:.2f}", f"≤ {cheap:.2f}", dear <= cheap),
        Verdict(f"bytes written grow slower than the session, {name}", None, f"{growth:.2f}", "< 1", growth < 1),
    ]
