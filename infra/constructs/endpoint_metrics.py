"""The metrics of an endpoint, as alarms and the dashboard name them."""

from typing import Any, Final

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_

NAMESPACE: Final = "AgentSessionKit"
LAMBDA: Final = "AWS/Lambda"


class EndpointMetrics:
    """Where an endpoint's metrics are.

    Args:
        function: The function, of whose name Lambda's own metrics have a dimension.
        service: What the function calls itself, as its logs say.
        stage: Of the deployment.
    """

    def __init__(self, function: lambda_.IFunction, service: str, stage: str) -> None:
        self._function = function
        self._dimensions = {"service": service, "stage": stage}

    def metric(self, name: str, **options: Any) -> cloudwatch.Metric:
        """One metric.

        Args:
            name: As ``lambda_src/metrics/table.py`` has it, or ``AWS/Lambda `` and the name of one of Lambda's.
            **options: Of ``cloudwatch.Metric``: statistic, period, label.
        """
        if name.startswith(f"{LAMBDA} "):
            return self._function.metric(name.removeprefix(f"{LAMBDA} "), **options)
        return cloudwatch.Metric(
            namespace=NAMESPACE, metric_name=name, dimensions_map=dict(self._dimensions), **options
        )
