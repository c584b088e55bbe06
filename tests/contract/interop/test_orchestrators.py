"""The state of a graph and a swarm is the same to this kit's managers and to Strands', whoever stored it."""

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from mypy_boto3_s3 import S3Client

from tests.conftest import TOTAL
from tests.contract.orchestra import BUILD, answers, outcome
from tests.contract.subjects import Subject, file_subject, s3_subject

ORDERS = (
    ("ours", "strands"),
    ("strands", "ours"),
    ("ours-turn", "strands"),
    ("strands", "ours-turn"),
    ("ours", "ours-turn"),
)
"""Who starts, and who answers the question that the second node asked."""


def states(writers: dict[str, Subject], kind: str) -> dict[str, Any]:
    """What each writer restores."""
    return {name: BUILD[kind](subject.manager(), []).serialize_state() for name, subject in writers.items()}


def check(make_writers: Callable[[], dict[str, Subject]], kind: str) -> Counter[str]:
    totals: Counter[str] = Counter()
    for first, second in ORDERS:
        writers = make_writers()
        spoke: list[str] = []
        started = BUILD[kind](writers[first].manager(), spoke, ask_in="b")
        asked = outcome(started("Do it."), spoke)
        assert asked["status"] == "interrupted"

        restored = states(writers, kind)
        assert restored["ours"] == restored["strands"] == restored["ours-turn"], (first, second)
        assert restored["ours"]["next_nodes_to_execute"] == ["b"]

        resumed = BUILD[kind](writers[second].manager(), [])
        finished = outcome(resumed(answers(asked["interrupts"])), [])
        assert finished["status"] == "completed"
        assert finished["said"]["b"] == "b is done"
        restored = states(writers, kind)
        assert restored["ours"] == restored["strands"] == restored["ours-turn"], (first, second)
        totals["conversations"] += 1
        totals["restores compared"] += 2 * len(writers)
    return totals


Report: TypeAlias = Callable[[str, Counter[str]], None]


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Add totals to the summary that pytest prints at its end."""

    def add(where: str, totals: Counter[str]) -> None:
        for name, value in totals.items():
            record_property(f"{TOTAL}interop {where}, {name} of graphs and swarms", value)

    return add


@pytest.mark.parametrize("kind", ["graph", "swarm"])
def test_on_disk_the_state_is_the_same_to_every_writer(tmp_path: Path, kind: str, report: Report) -> None:
    numbers = itertools.count()

    def writers() -> dict[str, Subject]:
        folder = tmp_path / str(next(numbers))
        names = {"ours": "file", "ours-turn": "file-turn", "strands": "strands-file"}
        return {writer: file_subject(name, folder) for writer, name in names.items()}

    report("on disk", check(writers, kind))


@pytest.mark.parametrize("kind", ["graph", "swarm"])
def test_on_s3_the_state_is_the_same_to_every_writer(
    s3_client: S3Client, bucket: str, kind: str, report: Report
) -> None:
    numbers = itertools.count()

    def writers() -> dict[str, Subject]:
        names = {"ours": "s3", "ours-turn": "s3-turn", "strands": "strands-s3"}
        prefix = f"{kind}/{next(numbers)}"
        return {writer: s3_subject(name, s3_client, bucket, prefix) for writer, name in names.items()}

    report("on S3", check(writers, kind))
