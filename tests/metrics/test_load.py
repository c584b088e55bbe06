"""A load whose metrics add up to its ledger, exactly."""

from collections.abc import Callable

import pytest

from tests.doubles.s3_server import S3Server
from tests.metrics import emf
from tests.metrics.load import Load

DURATIONS = {"TurnDuration", "ModelDuration", "ToolDuration", "LeaseWait", "SessionOverhead", "RestoreDuration"}


def test_the_metrics_of_a_load_add_up_to_its_ledger(s3: S3Server, written: Callable[[], list[emf.Line]]) -> None:
    load = Load(s3)

    load.run()

    lines = written()
    counted = emf.sums(lines)
    expected = load.settled(counted)
    told = {name: counted[name] for name in counted if name not in DURATIONS | {"RestoredMessages"}}
    assert told == expected
    assert expected["Conflicts"] >= 3
    # One line a request, whatever became of it.
    assert len(lines) == expected["Requests"]


def test_a_turns_parts_add_up_to_the_turn(s3: S3Server, written: Callable[[], list[emf.Line]]) -> None:
    load = Load(s3)

    load.run(users=2)

    turns = [line for line in written() if line.value("Turns")]
    assert turns
    for line in turns:
        assert line.values.keys() >= DURATIONS
        parts = DURATIONS - {"TurnDuration", "RestoreDuration"}
        assert sum(line.value(name) for name in parts) == pytest.approx(line.value("TurnDuration"), abs=0.05)
        assert line.value("RestoreDuration") <= line.value("SessionOverhead")
