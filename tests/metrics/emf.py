"""Metrics as CloudWatch gets them: read from what a function has printed, and nothing else."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Line:
    """One line of embedded metrics.

    Attributes:
        time: seconds since the epoch.
        dimensions: by name.
        values: of each metric.
        units: of each metric.
        content: the line, whole.
    """

    time: float
    dimensions: dict[str, str]
    values: dict[str, list[float]]
    units: dict[str, str]
    content: dict[str, Any] = field(repr=False)

    def value(self, name: str) -> float:
        """The sum of one metric; 0 where there is none."""
        return sum(self.values.get(name, ()))


def read(output: str) -> list[Line]:
    """The lines of embedded metrics in a log, checked against the format's rules."""
    lines = []
    for text in output.splitlines():
        content = json.loads(text) if text.startswith("{") else {}
        if "_aws" not in content:
            continue
        (directive,) = content["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "AgentSessionKit"
        (dimensions,) = directive["Dimensions"]
        units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
        assert len(units) == len(directive["Metrics"]) <= 100
        values = {name: [content[name]] for name in units}
        assert all(isinstance(value, float | int) for (value,) in values.values())
        named = {name: content[name] for name in dimensions}
        lines.append(Line(content["_aws"]["Timestamp"] / 1000, named, values, units, content))
    return lines


def sums(lines: Iterable[Line]) -> Counter[str]:
    """The sum of each metric over several lines."""
    total: dict[str, float] = defaultdict(float)
    for line in lines:
        for name in line.values:
            total[name] += line.value(name)
    return Counter({name: round(value, 2) for name, value in total.items()})
