"""The table of the routes' bounds: that it judges what was measured, and that the whole of it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.bounds import CASES
from bench.bounds_report import Measured, markdown

ROOT = Path(__file__).parents[3]

HEAD = {
    "date": "2026-11-28 12:00 UTC",
    "commit": "abc",
    "uncommitted_changes": False,
    "machine": {"cpu": "CPU", "cores": 2, "load_average": 0.5},
    "versions": {"python": "3.11"},
}


@pytest.mark.parametrize(
    ("requests", "seconds", "is_bounded"),
    [({"GET": 3, "LIST": 1}, 1.0, True), ({"GET": 5}, 1.0, False), ({"GET": 1}, 2.5, False), ({}, 0.0, True)],
)
def test_a_case_is_bounded_by_requests_and_by_time(requests: dict[str, int], seconds: float, is_bounded: bool) -> None:
    case = Measured("GET /sessions", "many", requests, seconds, "200", most_requests=4, most_seconds=2.0)

    report = markdown([case], HEAD, messages=20_000, living=1_000, expired=4_000)

    assert case.is_bounded is is_bounded
    assert ("(!) |" in report.splitlines()[-1]) is not is_bounded
    assert "5,000 sessions, 4,000 of them expired" in report


def test_every_route_is_measured_and_answers_within_its_requests() -> None:
    # The bench sets its process's environment and its agent, as a function's deployment does.
    finished = subprocess.run(
        [sys.executable, "-m", "bench.bounds", "--quick"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "layer"), str(ROOT)))},
        capture_output=True,
        text=True,
        check=False,
    )

    rows = [line.split(" | ") for line in finished.stdout.splitlines() if line.startswith("| `")]
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert [row[:2] for row in rows] == [[f"| `{case.route}`", case.where] for case in CASES]
    assert {row[-1][:3] for row in rows} <= {"200", "204"}
    assert sum("GET" in row[2] for row in rows) == len(rows) - 2, "health and the contract alone touch no storage"
