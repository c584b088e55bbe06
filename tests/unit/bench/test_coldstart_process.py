"""One cold start under the real runtime client, of a function that needs nothing."""

import sys
from pathlib import Path
from typing import Any

import awslambdaric  # type: ignore[import-untyped]  # comes without types
import pytest

from bench.coldstart_process import measure_cold_start
from infra.packaging.interpreters import Interpreter
from tests.deploy.lambda_process import DeployedFunction

SITE_PACKAGES = Path(awslambdaric.__file__).resolve().parents[1]


def function(folder: Path, source: str) -> DeployedFunction:
    (folder / "entry.py").write_text(source, encoding="utf-8")
    configuration: dict[str, Any] = {
        "FunctionName": "f",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "Version": "1",
        "MemorySize": 128,
        "Timeout": 5,
        "Handler": "entry.handler",
    }
    return DeployedFunction(configuration, folder, [], Interpreter(Path(sys.executable), "3"), SITE_PACKAGES)


def test_init_and_turns_are_told_apart(tmp_path: Path) -> None:
    # Given a function that computes while it is imported, and at its first event only.
    source = """
def compute(times):
    return sum(number * number for number in range(times))

compute(3_000_000)
calls = []

def handler(event, context):
    calls.append(event)
    compute(1_500_000 if len(calls) == 1 else 1)
    return {"statusCode": 200, "calls": len(calls)}
"""
    found = measure_cold_start("mine", function(tmp_path, source), {"any": "event"})

    # Then each shows where it was spent.
    assert found.variant == "mine"
    assert found.total_seconds == found.init.seconds + found.first.seconds
    assert found.warm.seconds < found.first.seconds < found.total_seconds
    if found.init.cpu_seconds is not None:
        assert found.first.cpu_seconds is not None
        assert found.warm.cpu_seconds is not None
        assert found.init.cpu_seconds > found.first.cpu_seconds > found.warm.cpu_seconds
    assert found.peak_bytes is None or found.peak_bytes > 5_000_000


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no such setting')", "no such setting"),
        ("def handler(event, context):\n    raise RuntimeError('no such turn')", "no such turn"),
        ("def handler(event, context):\n    return {'statusCode': 503}", "503"),
    ],
)
def test_a_process_that_does_not_answer_is_no_measurement(tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        measure_cold_start("mine", function(tmp_path, source), {})
