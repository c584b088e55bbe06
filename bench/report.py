"""Results as Markdown: a pure function of the JSON that a run leaves."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench.prices import PRICES_AS_OF, PRICES_FOR, USD_PER_1000_REQUESTS, usd_per_million
from bench.targets import verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Results = dict[str, Any]
Row = dict[str, Any]
_MILLI = 1000.0
_NOTHING = "\N{EN DASH}"
_TO = "\N{EN DASH}"


def select(samples: Iterable[Row], **wanted: Any) -> list[Row]:
    """Return the samples that have all these values."""
    return [sample for sample in samples if all(sample[name] == value for name, value in wanted.items())]


def added_seconds(sample: Row) -> float:
    """Return what the session adds to a turn."""
    return float(sample["turn_seconds"] - sample["model_seconds"])


def spread(values: Sequence[float], scale: float = _MILLI, digits: int = 0) -> str:
    """Write a median with the least and the most, or the one value there is."""
    if not values:
        return _NOTHING
    middle = f"{median(values) * scale:,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values) * scale:,.{digits}f}{_TO}{max(values) * scale:,.{digits}f})"


def markdown(results: Results) -> str:
    """Write the report."""
    samples = results["samples"]
    thinking = sorted({sample["think_seconds"] for sample in samples})
    parts = [_head(results)]
    parts += [_table("Restore, ms", results, _per_size(results, lambda sample: sample["restore_seconds"]))]
    for think in thinking:
        title = "Turn of 4 messages, restore included, model answers at once, ms"
        if think:
            title = f"Time added to the same turn when the model thinks {think * _MILLI:.0f} ms a call, ms"
        parts.append(_table(title, results, _per_size(results, added_seconds, think_seconds=think)))
    parts += [
        _table("S3 requests of a turn, restore included", results, _requests(results)),
        _table(
            "Round trips one after the other: before the model's first call / after its last word",
            results,
            _rounds(results),
        ),
        _table("Bytes written per turn, kB", results, _per_size(results, lambda s: s["bytes_written"], 0.001, 1)),
        _table(f"USD per million turns, S3 requests only ({_price_note()})", results, _prices(results)),
        _footprints(results),
        _windows(results),
        _targets(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(results: Results) -> str:
    head = results["head"]
    machine, versions = head["machine"], head["versions"]
    commit = head["commit"] or "unknown"
    changed = ", with uncommitted changes" if head["uncommitted_changes"] else ""
    latency = results["latency_seconds"]
    first_byte = ", ".join(f"{verb} {latency[verb] * _MILLI:.0f} ms" for verb in ("GET", "PUT", "LIST"))
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    return "\n".join(
        [
            f"* {head['date']}, commit `{commit}`{changed}",
            f"* {machine['cpu']}, {machine['cores']} cores, {machine['system']}, load {machine['load_average']}",
            f"* {packages}",
            f"* simulated S3: {first_byte} to the first byte, no TLS",
            "* median (least to most); one number: measured once, or always the same",
        ]
    )


def _sizes(results: Results) -> list[int]:
    return sorted({sample["size"] for sample in select(results["samples"], window=None)})


def _table(title: str, results: Results, cells: Callable[[str, int], str]) -> str:
    sizes = _sizes(results)
    lines = [f"### {title}", "", "| messages in the session | " + " | ".join(f"{size:,}" for size in sizes) + " |"]
    lines.append("|---|" + "---:|" * len(sizes))
    for name, label in results["contenders"].items():
        found = [cells(name, size) for size in sizes]
        if set(found) != {_NOTHING}:
            lines.append(f"| {label} | " + " | ".join(found) + " |")
    return "\n".join(lines)


def _per_size(
    results: Results, value: Callable[[Row], float | None], scale: float = _MILLI, digits: int = 0, **wanted: Any
) -> Callable[[str, int], str]:
    def cell(name: str, size: int) -> str:
        rows = select(results["samples"], contender=name, size=size, window=None, **wanted)
        values = [found for found in map(value, rows) if found is not None]
        return spread(values if len(set(values)) > 1 else values[:1], scale, digits)

    return cell


def _distinct(results: Results, describe: Callable[[Row], str]) -> Callable[[str, int], str]:
    """Make cells of what has to be the same in every repetition; where it is not, all of it is shown."""

    def cell(name: str, size: int) -> str:
        rows = select(results["samples"], contender=name, size=size, window=None)
        return " or ".join(dict.fromkeys(describe(row) for row in rows)) or _NOTHING

    return cell


def _requests(results: Results) -> Callable[[str, int], str]:
    def describe(row: Row) -> str:
        return ", ".join(f"{count:,} {verb}" for verb, count in row["requests"].items())

    return _distinct(results, describe)


def _rounds(results: Results) -> Callable[[str, int], str]:
    return _distinct(results, lambda row: f"{row['rounds_before']} / {row['rounds_after']}")


def _prices(results: Results) -> Callable[[str, int], str]:
    return _per_size(results, lambda row: usd_per_million(row["requests"]), 1, 2)


def _price_note() -> str:
    put, get = USD_PER_1000_REQUESTS["PUT"], USD_PER_1000_REQUESTS["GET"]
    return f"{PRICES_FOR}, {PRICES_AS_OF}: PUT and LIST {put} per 1,000, GET {get}"


def _footprints(results: Results) -> str:
    rows = results["footprints"]
    if not rows:
        return ""
    lines = [f"### CPU and memory of restoring {rows[0]['size']:,} messages, in a process of its own", ""]
    lines += ["| | CPU, ms | peak of Python's memory, MB | growth of the process, MB |", "|---|---:|---:|---:|"]
    for name, label in results["contenders"].items():
        own = select(rows, contender=name)
        if not own:
            continue
        cells = [spread([row["cpu_seconds"] for row in own])]
        cells += [spread([row[what] for row in own], 1e-6, 1) for what in ("peak_bytes", "rss_bytes")]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _windows(results: Results) -> str:
    rows = [sample for sample in results["samples"] if sample["window"] is not None]
    if not rows:
        return ""
    size, window, least = rows[0]["size"], rows[0]["window"], min(row["think_seconds"] for row in rows)
    lines = [f"### {size:,} messages stored, a sliding window of {window}", ""]
    lines += ["| | restore, ms | turn, ms | requests | kB written | USD per million |", "|---|---:|---:|---|---:|---:|"]
    for name, label in results["contenders"].items():
        own = select(rows, contender=name, think_seconds=least)
        requests = dict.fromkeys(", ".join(f"{n:,} {verb}" for verb, n in row["requests"].items()) for row in own)
        cells = [
            spread([row["restore_seconds"] for row in own if row["restore_seconds"] is not None]),
            spread([added_seconds(row) for row in own]),
            " or ".join(requests),
            f"{median(row['bytes_written'] for row in own) / 1000:,.1f}",
            f"{median(usd_per_million(row['requests']) for row in own):,.2f}",
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _targets(results: Results) -> str:
    found = verdicts(results)
    if not found:
        return ""
    lines = ["### Targets", "", "| target | messages | measured | limit | |", "|---|---:|---:|---:|---|"]
    for one in found:
        size = f"{one.size:,}" if one.size else "all"
        lines.append(
            f"| {one.target} | {size} | {one.measured} | {one.limit} | {'met' if one.is_met else '**missed**'} |"
        )
    return "\n".join(lines)
