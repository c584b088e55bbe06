"""What an operator has of one endpoint: alarms, a dashboard, and saved questions to the log."""

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from ..config import KitConfig
from .endpoint_alarms import EndpointAlarms
from .endpoint_dashboard import EndpointDashboard
from .endpoint_metrics import EndpointMetrics
from .saved_queries import SavedQueries


class EndpointOperations(Construct):
    """Watches one endpoint.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        config: What an operator wants.
        function: The function.
        service: What the function calls itself in its log and metrics.
        log_group: The function's log.

    Attributes:
        metrics: The endpoint's metrics, for alarms and widgets of your own.
        alarms: Its alarms; ``None`` with ``alarms=false``.
        dashboard: Its dashboard; ``None`` with ``dashboard=false``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: KitConfig,
        function: lambda_.IFunction,
        service: str,
        log_group: logs.ILogGroup,
    ) -> None:
        super().__init__(scope, construct_id)
        self.metrics = EndpointMetrics(function, service, config.stage)
        self.alarms: EndpointAlarms | None = None
        if config.alarms:
            self.alarms = EndpointAlarms(self, "Alarms", config=config, metrics=self.metrics)
        self.dashboard: cloudwatch.Dashboard | None = None
        if config.dashboard:
            shown = [] if self.alarms is None else list(self.alarms.alarms.values())
            self.dashboard = EndpointDashboard(
                self, "Screen", config=config, metrics=self.metrics, alarms=shown
            ).dashboard
        SavedQueries(self, "Queries", log_group=log_group)
