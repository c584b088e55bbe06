"""Cold starts as Markdown: a pure function of the JSON that a run leaves."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench.report import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKAGED, PLAIN, TOKENS = "packaged", "plain", "tokens"
RATIO_LIMIT = 0.36
OPENING_LIMIT_SECONDS = 0.020
CONNECTIONS_LIMIT = 2
MEMORY_MB = (512, 768, 1024, 1536, 1769)
FULL_PROCESSOR_MB = 1769
"""AWS Lambda developer guide, "Configure Lambda function memory": at this size a function has one vCPU."""
USD_PER_GB_SECOND = 0.0000133334
"""AWS Lambda, arm64, us-east-1, first tier, list price of November 2026."""

Row = dict[str, Any]
_NOTHING = "\N{EN DASH}"
_MILLI = 1000.0


def markdown(results: dict[str, Any]) -> str:
    """Write the report."""
    parts = [
        _head(results),
        _variants(results),
        _tokens(results),
        _openings(results),
        _memory(results),
        _targets(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def total(row: Row) -> float:
    """Return the seconds of init and first turn."""
    return float(row["init"]["seconds"] + row["first"]["seconds"])


def total_cpu(row: Row) -> float | None:
    """Return the CPU seconds of init and first turn; ``None`` where they are not known."""
    init, first = row["init"]["cpu_seconds"], row["first"]["cpu_seconds"]
    return None if init is None or first is None else float(init + first)


def throttled_seconds(seconds: float, cpu_seconds: float, memory_mb: float) -> float:
    """Estimate how long something takes with less than a whole processor.

    Waiting (for S3, for the model) takes as long as before; computing is stretched by the missing share.

    Args:
        seconds: How long it takes on a whole processor.
        cpu_seconds: Of which it computes.
        memory_mb: The function's memory, which decides its share.
    """
    share = min(1.0, memory_mb / FULL_PROCESSOR_MB)
    return max(0.0, seconds - cpu_seconds) + cpu_seconds / share


def _of(results: dict[str, Any], variant: str) -> list[Row]:
    return [row for row in results["samples"] if row["variant"] == variant]


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _head(results: dict[str, Any]) -> str:
    head = results["head"]
    machine = head["machine"]
    changed = ", with uncommitted changes" if head["uncommitted_changes"] else ""
    latency = ", ".join(f"{verb} {results['latency_seconds'][verb] * _MILLI:.0f} ms" for verb in ("GET", "PUT", "LIST"))
    return "\n".join(
        [
            f"* {head['date']}, commit `{head['commit'] or 'unknown'}`{changed}",
            f"* {machine['cpu']}, {machine['cores']} cores, {machine['system']}, load {machine['load_average']}",
            f"* the function runs on Python {head['function_python']}, a whole processor",
            f"* simulated S3: {latency}; the model answers at once; both over TLS, on loopback",
            "* median (least to most)",
        ]
    )


def _variants(results: dict[str, Any]) -> str:
    plain = _of(results, PLAIN)
    columns = ["package", "init", "first turn", "together", "/ plain", "CPU together", "/ plain", "warm turn"]
    columns += ["TLS to S3", "MB", "byte code"]
    lines = ["### Cold start, ms", "", f"| {' | '.join(columns)} |", f"|---{'|---:' * (len(columns) - 1)}|"]
    for name, about in results["variants"].items():
        rows = _of(results, name)
        cells = [spread([row[phase]["seconds"] for row in rows]) for phase in ("init", "first")]
        cells += [spread([total(row) for row in rows]), _ratio(rows, plain, total)]
        cells += [spread(_known([total_cpu(row) for row in rows])), _ratio(rows, plain, total_cpu)]
        cells += [spread([row["warm"]["seconds"] for row in rows]), _connections(rows)]
        cells += [f"{about['bytes'] / 1e6:,.1f}"]
        cells += [f"{about['compiled_modules']:,} of {about['modules']:,}"]
        lines.append(f"| {about['label']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _tokens(results: dict[str, Any]) -> str:
    signed, with_tokens = (_of(results, name) for name in (PACKAGED, TOKENS))
    if not signed or not with_tokens:
        return ""
    phases: dict[str, Callable[[Row], float | None]] = {
        "init": lambda row: float(row["init"]["seconds"]),
        "first turn": lambda row: float(row["first"]["seconds"]),
        "together": total,
        "CPU together": total_cpu,
        "warm turn": lambda row: float(row["warm"]["seconds"]),
    }
    columns = ["callers", *phases]
    lines = [
        "### Callers with tokens, ms: what checks them is imported, the issuer's keys are fetched",
        "",
    ]
    lines += [f"| {' | '.join(columns)} |", f"|---{'|---:' * len(phases)}|"]
    for label, rows in (("`auth=iam`", signed), ("`auth=jwt`", with_tokens)):
        cells = [spread(_known([measure(row) for row in rows])) for measure in phases.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    ratios = [_ratio(with_tokens, signed, measure) for measure in phases.values()]
    lines.append("| `auth=jwt` / `auth=iam` | " + " | ".join(ratios) + " |")
    return "\n".join(lines)


def _connections(rows: list[Row]) -> str:
    counted = sorted({row["s3_connections"] for row in rows if row["s3_connections"] is not None})
    return " or ".join(str(number) for number in counted) or _NOTHING


def _ratio(rows: list[Row], peers: list[Row], measure: Callable[[Row], float | None]) -> str:
    found = ratio(rows, peers, measure)
    return _NOTHING if found is None else f"{found:.2f}"


def ratio(rows: list[Row], peers: list[Row], measure: Callable[[Row], float | None]) -> float | None:
    """Divide two medians; ``None`` when there is nothing to divide."""
    ours, theirs = (_known([measure(row) for row in side]) for side in (rows, peers))
    return median(ours) / median(theirs) if ours and theirs else None


def _openings(results: dict[str, Any]) -> str:
    rows = results["openings"]
    if not rows:
        return ""
    lines = ["### The session layer alone: import it and open a session, S3 answers at once, ms", ""]
    lines += ["| session | S3 requests | agent_sessions | boto3, same requests | over boto3 | CPU over boto3 |"]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    for session in dict.fromkeys(row["session"] for row in rows):
        kit, boto3 = (_opened(rows, session, who) for who in ("kit", "boto3"))
        requests = " or ".join(str(number) for number in sorted({row["requests"] for row in boto3}))
        cells = [requests] + [spread([row["seconds"] for row in side]) for side in (kit, boto3)]
        cells += [f"{over_boto3(rows, session, what) * _MILLI:.0f}" for what in ("seconds", "cpu_seconds")]
        lines.append(f"| {session} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _opened(rows: list[Row], session: str, who: str) -> list[Row]:
    return [row for row in rows if (row["session"], row["who"]) == (session, who)]


def over_boto3(rows: list[Row], session: str, what: str) -> float:
    """Return by how many seconds the kit exceeds boto3: the median of pairs that ran one right after the other."""
    kit, boto3 = (_opened(rows, session, who) for who in ("kit", "boto3"))
    return float(median(ours[what] - peer[what] for ours, peer in zip(kit, boto3, strict=True)))


def _memory(results: dict[str, Any]) -> str:
    rows = [row for row in _of(results, PACKAGED) if total_cpu(row) is not None]
    if not rows:
        return ""
    peak = median(row["peak_bytes"] for row in rows)
    lines = [f"### Memory setting, estimated from CPU time (the process held {peak / 1e6:.0f} MB at most)", ""]
    lines += [
        "| memory, MB | cold start, ms | warm turn, ms | USD per million warm turns | the same with 5 s of model |"
    ]
    lines += ["|---:|---:|---:|---:|---:|"]
    for memory in MEMORY_MB:
        phases = {name: _throttled(rows, name, memory) for name in ("init", "first", "warm")}
        usd = memory / 1024 * USD_PER_GB_SECOND * 1e6
        cells = [f"{(phases['init'] + phases['first']) * _MILLI:,.0f}", f"{phases['warm'] * _MILLI:,.0f}"]
        cells += [f"{phases['warm'] * usd:,.2f}", f"{(phases['warm'] + 5) * usd:,.2f}"]
        mark = " (configured)" if memory == results["memory_mb"] else ""
        lines.append(f"| {memory:,}{mark} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _throttled(rows: list[Row], phase: str, memory_mb: int) -> float:
    return median(throttled_seconds(row[phase]["seconds"], row[phase]["cpu_seconds"], memory_mb) for row in rows)


def _targets(results: dict[str, Any]) -> str:
    lines = ["### Targets", "", "| target | measured | limit | |", "|---|---:|---:|---|"]
    lines += [
        f"| {name} | {measured} | {limit} | {'met' if is_met else '**missed**'} |"
        for name, measured, limit, is_met in verdicts(results)
    ]
    return "\n".join(lines) if len(lines) > 4 else ""  # noqa: PLR2004  # more than the table's head


def verdicts(results: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Judge a run: target, what was measured, the limit, and whether it is met."""
    found: list[tuple[str, str, str, bool]] = []
    packaged, plain = (_of(results, name) for name in (PACKAGED, PLAIN))
    for label, measure in (("by the clock", total), ("in CPU time", total_cpu)):
        measured = ratio(packaged, plain, measure)
        if measured is not None:
            name = f"init and first turn / plainly built package, {label}"
            found.append((name, f"{measured:.2f}", f"≤ {RATIO_LIMIT}", measured <= RATIO_LIMIT))
    connections = [row["s3_connections"] for row in packaged if row["s3_connections"] is not None]
    if connections:
        most = max(connections)
        name = "TLS connections to S3 before the model is called"
        found.append((name, str(most), f"≤ {CONNECTIONS_LIMIT}", most <= CONNECTIONS_LIMIT))
    rows = results["openings"]
    for session in dict.fromkeys(row["session"] for row in rows):
        for label, what in (("by the clock", "seconds"), ("in CPU time", "cpu_seconds")):
            over = over_boto3(rows, session, what)
            name = f"import agent_sessions and open a session ({session}), over boto3, {label}"
            limit = f"≤ {OPENING_LIMIT_SECONDS * _MILLI:.0f} ms"
            found.append((name, f"{over * _MILLI:.0f} ms", limit, over <= OPENING_LIMIT_SECONDS))
    return found
