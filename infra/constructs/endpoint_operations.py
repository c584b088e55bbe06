"""What an operator has of one endpoint: alarms, a dashboard, and saved questions to the log."""

from aws_cdk import Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from ..config import KitConfig
from .endpoint_alarms import EndpointAlarms
from .endpoint_dashboard import EndpointDashboard
from .endpoint_metrics import EndpointMetrics
from .saved_queries import SavedQueries


def service_name(endpoint: Construct) -> str:
    """A name that tells an endpoint's metrics, logs and questions from those of any other in the account.

    Of the first endpoint in a stack it is the stack's name: constructs are found in the order in which they were made,
    so that one more leaves the others' names alone.

    Args:
        endpoint: The construct.
    """
    stack = Stack.of(endpoint)
    first = next(found for found in stack.node.find_all() if isinstance(found, type(endpoint)))
    if first is endpoint:
        return stack.stack_name
    return "-".join([stack.stack_name, *(scope.node.id for scope in endpoint.node.scopes[len(stack.node.scopes) :])])


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
        SavedQueries(self, "Queries", service=service, log_group=log_group)
