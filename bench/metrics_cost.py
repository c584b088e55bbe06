"""What metrics cost a turn and a cold start: ``python -m bench.metrics_cost``.

Prints the milliseconds that a turn's line takes, and those that importing the metrics adds to a process which has
imported the rest of what the handler needs.
"""

import os
import statistics
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

LINES = 2_000
PROCESSES = 15
_IMPORTS = """
import time
import boto3, aws_lambda_powertools.event_handler, pydantic, contextvars, urllib.parse
from lambda_src.runtime import transport
started = time.perf_counter()
import lambda_src.metrics.emf, lambda_src.metrics.recorded, lambda_src.metrics.table, lambda_src.runtime.s3_requests
print(1000 * (time.perf_counter() - started))
"""
_POWERTOOLS = """
import time
import pydantic, aws_lambda_powertools.logging
started = time.perf_counter()
import aws_lambda_powertools.metrics
print(1000 * (time.perf_counter() - started))
"""


def milliseconds_of_a_line() -> list[float]:
    """Milliseconds of each of many lines that have every metric."""
    from lambda_src.metrics import recorded, table
    from lambda_src.metrics.emf import MetricLines

    lines = MetricLines("dev")
    taken = []
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        for _ in range(LINES):
            started = time.perf_counter()
            record = recorded.begin("8a5c1f0e-1111-2222-3333-444455556666")
            recorded.name(session_id="chat", agent_id="default", turn_id="0" * 32)
            with recorded.measured_turn(), recorded.restoring(), recorded.running("model"):
                for metric in table.METRICS:
                    recorded.add(metric)
            lines.write(record)
            taken.append(1000 * (time.perf_counter() - started))
    return taken


def milliseconds_of_an_import(code: str) -> list[float]:
    """What a snippet prints, in one new process after another."""
    command = [sys.executable, "-c", code]
    outputs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(PROCESSES)]  # noqa: S603 - our own interpreter
    return [float(output.stdout) for output in outputs]


def _report(name: str, taken: list[float]) -> None:
    cuts = statistics.quantiles(taken, n=20)
    sys.stdout.write(f"{name}: median {statistics.median(taken):.2f} ms, p95 {cuts[-1]:.2f} ms\n")


if __name__ == "__main__":
    _report("a turn's line", milliseconds_of_a_line())
    _report("import of the metrics, beside the rest of the handler", milliseconds_of_an_import(_IMPORTS))
    _report("of which Powertools' metrics, which its logger brings along", milliseconds_of_an_import(_POWERTOOLS))
