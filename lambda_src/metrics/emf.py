"""Writes a request's metrics into the log, as CloudWatch's embedded metric format: one line, with all of them.

Lambda carries the log out whatever happens to the process, and nobody waits for it. Powertools makes the line. Its own
``Metrics`` keeps one set a process; several requests may be under way in one on a developer's machine.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics.functions import is_metrics_disabled
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from lambda_src.metrics import table
from lambda_src.runtime.s3_requests import SENT

if TYPE_CHECKING:
    from lambda_src.metrics.recorded import Recorded

_DURATION_DIGITS = 2


class MetricLines:
    """Writes the lines of one function, and sends its traces.

    Args:
        stage: Of the deployment; a dimension.
        traces: Whether AWS X-Ray is told of each turn.
    """

    def __init__(self, stage: str, *, traces: bool = False) -> None:
        service = os.environ.get("POWERTOOLS_SERVICE_NAME", "agent-sessions")
        self._dimensions = dict(zip(table.DIMENSIONS, (service, stage), strict=True))
        self._is_cold = True
        self._is_on = not is_metrics_disabled()
        self._traces = traces

    def write(self, recorded: Recorded) -> None:
        """End a request's record, and write its line. A second call does nothing."""
        if not recorded.close():
            return
        if self._traces and "turn_id" in recorded.ids:
            _trace(recorded)
        if self._is_on:
            self._write(recorded)

    def _write(self, recorded: Recorded) -> None:
        was_cold, self._is_cold = self._is_cold, False
        sent = SENT.take()
        recorded.add(table.COLD_STARTS, was_cold)
        recorded.add(table.S3_REQUESTS, sent.requests)
        recorded.add(table.S3_WRITES, sent.writes)
        values = {metric: round(value, _DURATION_DIGITS) for metric, value in recorded.values().items()}
        emf = AmazonCloudWatchEMFProvider(namespace=table.NAMESPACE, dimension_set=dict(self._dimensions))
        for metric, value in values.items():
            emf.add_metric(metric.name, metric.unit, value)
        line = dict(emf.serialize_metric_set(metadata={"message": "request measured", **recorded.ids}))
        # Powertools writes lists of one number. A query of the log finds a number under the metric's own name.
        line |= {metric.name: value for metric, value in values.items()}
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def _trace(recorded: Recorded) -> None:
    from lambda_src.runtime import xray  # only where it is switched on

    named = ("session_id", "turn_id", "agent_id", "request_id")
    xray.send("turn", recorded.started, time.time(), {name: recorded.ids.get(name) for name in named})
