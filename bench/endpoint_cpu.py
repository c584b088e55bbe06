"""``python -m bench.endpoint_cpu --before REVISION``: a warm endpoint turn's processor time, beside another commit's.

Both functions run at once, each in a process of its own, and take turns about; S3 answers without latency. Everything
but the kit's modules and this benchmark's process is today's.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from bench.coldstart_process import cpu_seconds
from bench.publish import say
from bench.run import ROOT
from bench.stand_in import StandIn

TURNS_BEFORE = 3
"""Turns of four messages in the session that each measured turn restores."""

TURNS_AT_ONCE = 10
"""The system counts processor time in hundredths of a second: so many turns are one sample."""


class _Side:
    """A function of some commit, ready for turns on a session of its own."""

    def __init__(self, name: str, root: Path, stand_in: StandIn) -> None:
        self.name, self._stand_in = name, stand_in
        self._takes_streams = "streamed" in (root / "bench" / "endpoint_process.py").read_text(encoding="utf-8")
        self._process = subprocess.Popen(  # noqa: S603  # ours
            [sys.executable, "-m", "bench.endpoint_process", stand_in.url],
            cwd=root,
            env=os.environ | {"PYTHONPATH": os.pathsep.join((str(root / "layer"), str(root)))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        client = stand_in.client()
        self._bucket = name
        for bucket in (name, f"{name}-template"):
            client.create_bucket(Bucket=bucket)
        for _ in range(TURNS_BEFORE):
            self._turn()
        stand_in.copy(name, f"{name}-template")
        self.sample()  # warm

    def sample(self) -> float:
        """Return the processor seconds of a turn, the mean of some."""
        spent = 0.0
        for _ in range(TURNS_AT_ONCE):
            self._stand_in.copy(f"{self._bucket}-template", self._bucket)
            before = cpu_seconds(self._process.pid) or 0.0
            self._turn()
            spent += (cpu_seconds(self._process.pid) or 0.0) - before
        return spent / TURNS_AT_ONCE

    def end(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)

    def _turn(self) -> None:
        asked: dict[str, Any] = {"bucket": self._bucket, "prompt": "And now?", "window": None, "think_seconds": 0.0}
        if self._takes_streams:
            asked["streamed"] = False
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the function's process is not connected")
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise RuntimeError(f"the function of {self.name} has ended")


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.endpoint_cpu", description=__doc__)
    parser.add_argument("--before", metavar="REVISION", help="also measure this commit")
    parser.add_argument("--repeat", type=int, default=20, help=f"samples of {TURNS_AT_ONCE} turns each (20)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="endpoint-cpu-") as folder, StandIn() as stand_in:
        roots = {"now": ROOT}
        if options.before:
            roots["before"] = Path(folder)
            _unpack(options.before, Path(folder))
        sides = [_Side(name, root, stand_in) for name, root in roots.items()]
        samples: dict[str, list[float]] = {side.name: [] for side in sides}
        for repetition in range(options.repeat):
            for side in sides[:: -1 if repetition % 2 else 1]:
                samples[side.name].append(side.sample())
        for side in sides:
            side.end()
    say(sys.stdout, _table(samples, options.before))


def _unpack(revision: str, folder: Path) -> None:
    command = ["git", "archive", "--format=tar", revision]
    archive = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  # our own
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def _table(samples: dict[str, list[float]], before: str | None) -> str:
    messages = 4 * TURNS_BEFORE
    lines = [f"| a warm endpoint turn at {messages} messages | CPU, ms | least | most |", "|---|---:|---:|---:|"]
    for name, found in samples.items():
        label = f"commit `{before}`" if name == "before" else "this tree"
        numbers = " | ".join(f"{1000 * value:.1f}" for value in (median(found), min(found), max(found)))
        lines.append(f"| {label} | {numbers} |")
    if "before" in samples:
        ratio = median(samples["now"]) / median(samples["before"])
        lines.append(f"| this tree / that commit | {ratio:.2f} | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
