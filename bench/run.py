"""All measurements of one run: everybody side by side, turn about."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contenders import Contender, contenders
from bench.endpoint import EndpointProcess
from bench.footprint import measure_footprint
from bench.measure import Sample, measure_turn, prepared_bucket
from bench.stand_in import StandIn
from tests.doubles.s3_server import S3_LATENCY

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        sizes: Messages in the session before the turn, each measured ``repeat`` times.
        long_sizes: The same, measured once.
        windows: Sliding windows, in messages, to measure at the largest of ``sizes``.
        footprint_size: Messages in the session whose restore is measured for CPU and memory.
        think_seconds: How long the model thinks before each reply, one series each.
        repeat: How often.
    """

    sizes: tuple[int, ...] = (10, 100, 500, 1000)
    long_sizes: tuple[int, ...] = (5000,)
    windows: tuple[int, ...] = (40,)
    footprint_size: int = 1000
    think_seconds: tuple[float, ...] = (0.0, 0.3)
    repeat: int = 7


QUICK = Plan(sizes=(2, 10), long_sizes=(), windows=(4,), footprint_size=10, think_seconds=(0.0, 0.01), repeat=1)
"""Whether everything runs; no number of it means anything."""


def run(plan: Plan, names: list[str] | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure.

    Args:
        plan: What.
        names: Which contenders; ``None`` is all.
        tell: Told what is being done.

    Returns:
        Head, settings and all samples, ready for JSON.

    Raises:
        ValueError: For a contender that does not exist.
    """
    with StandIn() as stand_in, EndpointProcess(stand_in.url) as endpoint:
        everybody = [*contenders(), *endpoint.contenders()]
        chosen = [one for one in everybody if names is None or one.name in names]
        if names is not None and len(chosen) != len(set(names)):
            raise ValueError(f"contenders={names} | must be of {', '.join(one.name for one in everybody)}")
        session = _Run(plan, chosen, stand_in, {one.name: stand_in.client() for one in chosen}, tell)
        session.prepare()
        # CPU and memory first, without latency: waiting is not what they are about.
        footprints = session.footprints()
        stand_in.set_latency(S3_LATENCY)
        samples = session.turns()
    return {
        "head": head(),
        "contenders": {one.name: one.label for one in chosen},
        "latency_seconds": dict(S3_LATENCY),
        "samples": [sample.to_dict() for sample in samples],
        "footprints": footprints,
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """A run under way."""

    plan: Plan
    chosen: list[Contender]
    stand_in: StandIn
    clients: dict[str, S3Client]
    tell: Callable[[str], None]

    def prepare(self) -> None:
        """Let every contender write every session that will be needed."""
        series = {(window, size) for size, window, _ in self._series()}
        series |= {(None, self.plan.sizes[0]), (None, self.plan.footprint_size)}
        for contender, window in product(self.chosen, (None, *self.plan.windows)):
            prepared: list[int] = []
            for size in sorted(size for of_window, size in series if of_window == window):
                self.tell(f"preparing {contender.name}: {size} messages" + (f", window {window}" if window else ""))
                client, bucket = self.clients[contender.name], prepared_bucket(contender, size, window)
                begin = contender.begins_from(size, prepared)
                if begin:
                    self.stand_in.copy(prepared_bucket(contender, begin, window), bucket)
                else:
                    client.create_bucket(Bucket=bucket)
                contender.prepare(client, bucket, size, window=window, begin=begin)
                prepared.append(size)

    def footprints(self) -> list[dict[str, Any]]:
        """Measure CPU and memory."""
        found: list[dict[str, Any]] = []
        size = self.plan.footprint_size
        for repetition in range(self.plan.repeat):
            # Restoring is not a step of its own in a whole request.
            for contender in _in_turn([one for one in self.chosen if one.take is None], repetition):
                self.tell(f"CPU and memory {repetition + 1}/{self.plan.repeat}: {contender.name}")
                bucket, small = (prepared_bucket(contender, one, None) for one in (size, self.plan.sizes[0]))
                measured = measure_footprint(self.stand_in.url, bucket, small, contender.name)
                found.append({"contender": contender.name, "size": size, **measured})
        return found

    def turns(self) -> list[Sample]:
        """Measure restores and turns."""
        for contender in self.chosen:  # not counted: imports, connections, thread pools
            self._turn(contender, self.plan.sizes[0], None, 0.0)
        samples: list[Sample] = []
        for repetition in range(self.plan.repeat):
            self.tell(f"turns {repetition + 1}/{self.plan.repeat}")
            due = [(size, window) for size, window, repeat in self._series() if repetition < repeat]
            for (size, window), think_seconds in product(due, self.plan.think_seconds):
                everybody = _in_turn(self.chosen, repetition)
                samples += [self._turn(contender, size, window, think_seconds) for contender in everybody]
        return samples

    def _series(self) -> list[tuple[int, int | None, int]]:
        """Return messages, window and repetitions of what is to be measured."""
        plan = self.plan
        return [
            *((size, None, plan.repeat) for size in plan.sizes),
            *((plan.sizes[-1], window, plan.repeat) for window in plan.windows),
            *((size, None, 1) for size in plan.long_sizes),
        ]

    def _turn(self, contender: Contender, size: int, window: int | None, think_seconds: float) -> Sample:
        client = self.clients[contender.name]
        return measure_turn(self.stand_in, client, contender, size, window=window, think_seconds=think_seconds)


def head() -> dict[str, Any]:
    """Tell what was measured where: commit, machine, versions, date."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", "layer", "lambda_src", "bench")),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 2),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("strands-agents", "boto3", "botocore", "urllib3")},
        },
    }


def _in_turn(chosen: list[Contender], repetition: int) -> list[Contender]:
    """Return everybody, each time beginning with another: nobody is always behind the slowest."""
    start = repetition % max(1, len(chosen))
    return chosen[start:] + chosen[:start]


def _git(*arguments: str) -> str:
    try:
        finished = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603, S607  # fixed words
    except (OSError, subprocess.CalledProcessError):
        return ""
    return finished.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
