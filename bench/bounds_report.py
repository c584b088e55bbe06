"""The table of what each route costs, beside what it may cost."""

from __future__ import annotations

from typing import Any, NamedTuple

VERBS = ("GET", "HEAD", "LIST", "LIST_VERSIONS", "PUT", "DELETE", "DELETE_OBJECTS")


class Measured(NamedTuple):
    """A case that was measured.

    Attributes:
        route: Which route.
        where: On what.
        requests: To the storage, by verb.
        seconds: From the event to the answer, the median.
        answer: What the caller got.
        most_requests: What it may cost.
        most_seconds: What it may take.
    """

    route: str
    where: str
    requests: dict[str, int]
    seconds: float
    answer: str
    most_requests: int
    most_seconds: float

    @property
    def is_bounded(self) -> bool:
        """Whether it cost no more than it may."""
        return sum(self.requests.values()) <= self.most_requests and self.seconds <= self.most_seconds


def markdown(found: list[Measured], head: dict[str, Any], *, messages: int, living: int, expired: int) -> str:
    """The report.

    Args:
        found: What was measured.
        head: Where: see ``bench.run.head``.
        messages: In a long session.
        living: Sessions that live.
        expired: Sessions that have expired.
    """
    machine, python = head["machine"], head["versions"]["python"]
    changes = ", with uncommitted changes" * head["uncommitted_changes"]
    lines = [
        f"* {head['date']}, commit `{head['commit'] or 'unknown'}`{changes}",
        f"* {machine['cpu']}, {machine['cores']} cores, load {machine['load_average']}; Python {python}",
        f"* a long session: {messages:,} messages; {living + expired:,} sessions, {expired:,} of them expired",
        "",
        "| request | on | requests to S3 | at most | ms | at most | answer; (!) is over a bound |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    return "\n".join(lines + [_row(one) for one in found]) + "\n"


def _row(one: Measured) -> str:
    milliseconds = (f"{seconds * 1000:,.0f}" for seconds in (one.seconds, one.most_seconds))
    cells = [
        f"`{one.route}`",
        one.where,
        _requests(one.requests),
        f"{one.most_requests:,}",
        *milliseconds,
        one.answer + " (!)" * (not one.is_bounded),
    ]
    return f"| {' | '.join(cells)} |"


def _requests(requests: dict[str, int]) -> str:
    """The requests by verb."""
    unknown = requests.keys() - set(VERBS)
    counted = [f"{requests[verb]:,} {verb}" for verb in (*VERBS, *sorted(unknown)) if requests.get(verb)]
    return ", ".join(counted) or "none"
