"""One screen: is it healthy, is it slow, what does it cost, who waits."""

from typing import Any, Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from ..config import KitConfig
from .endpoint_metrics import LAMBDA, EndpointMetrics

_PERIOD: Final = Duration.minutes(5)
_HALF: Final = 12
_HEIGHT: Final = 7
USD_PER_S3_WRITE: Final = 0.005 / 1000
USD_PER_S3_READ: Final = 0.0004 / 1000
"""S3 Standard, us-east-1. DELETE is free, and counted as a read here."""

USD_PER_MILLION_TOKENS: Final = {
    "anthropic.claude-haiku-4-5": (1.0, 5.0),
    "anthropic.claude-sonnet-4-5": (3.0, 15.0),
}
"""List prices of input and output, by what a model's id contains (November 2026)."""

_CACHE_READ: Final = 0.1
_CACHE_WRITE: Final = 1.25
"""What a token of the cache costs of an input token's price (Anthropic's models)."""


def token_prices(config: KitConfig) -> tuple[float, float] | None:
    """USD for a million tokens of input and of output; ``None`` when nobody knows."""
    if config.usd_per_million_input_tokens is not None and config.usd_per_million_output_tokens is not None:
        return config.usd_per_million_input_tokens, config.usd_per_million_output_tokens
    return next((prices for name, prices in USD_PER_MILLION_TOKENS.items() if name in config.agent_model), None)


class EndpointDashboard(Construct):
    """The dashboard of one endpoint.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        config: The prices.
        metrics: The endpoint's metrics.
        alarms: Its alarms, whose state is shown.

    Attributes:
        dashboard: The dashboard; add widgets of your own.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: KitConfig,
        metrics: EndpointMetrics,
        alarms: list[cloudwatch.Alarm],
    ) -> None:
        super().__init__(scope, construct_id)
        self._metrics = metrics
        rows: list[list[cloudwatch.IWidget]] = [
            [self._healthy(), self._slow()],
            [self._cost(config), self._waiting()],
            [self._tokens(), self._totals(config)],
        ]
        if alarms:
            state = cloudwatch.AlarmStatusWidget(title="Alarms", alarms=alarms, width=2 * _HALF, height=3)
            rows.insert(0, [state])
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard", default_interval=Duration.hours(3), widgets=rows)

    def _healthy(self) -> cloudwatch.IWidget:
        return self._graph(
            "Is it healthy? Turns, and what went wrong",
            left=[self._sum("Turns")],
            right=[
                self._sum(name)
                for name in (
                    *("InternalErrors", "StorageFailures", "ModelErrors", "ModelThrottles", "TurnsCutOff"),
                    *("LeasesTakenOver", "RenewalsFailed"),
                )
            ],
        )

    def _slow(self) -> cloudwatch.IWidget:
        return self._graph(
            "Is it slow? The model against the session, in milliseconds",
            left=[
                self._of("TurnDuration", "p95"),
                self._of("ModelDuration", "p95"),
                self._of("ToolDuration", "p95"),
                self._of("SessionOverhead", "p95"),
                self._of("RestoreDuration", "p95"),
            ],
        )

    def _cost(self, config: KitConfig) -> cloudwatch.IWidget:
        return self._graph("What does it cost? USD in five minutes", left=self._costs(config), stacked=True)

    def _costs(self, config: KitConfig) -> list[cloudwatch.IMetric]:
        """What tokens and S3 requests cost, from list prices."""
        requests, writes = self._sum("S3Requests"), self._sum("S3WriteRequests")
        costs: list[cloudwatch.IMetric] = [
            self._math(
                f"FILL(writes, 0) * {_price(USD_PER_S3_WRITE)} + (FILL(requests, 0) - FILL(writes, 0)) * "
                f"{_price(USD_PER_S3_READ)}",
                "USD for S3",
                requests=requests,
                writes=writes,
            )
        ]
        prices = token_prices(config)
        if prices is not None:
            of_input, of_output = (price / 1_000_000 for price in prices)
            costs.append(
                self._math(
                    f"FILL(input, 0) * {_price(of_input)} + FILL(output, 0) * {_price(of_output)} + "
                    f"FILL(cached, 0) * {_price(of_input * _CACHE_READ)} + "
                    f"FILL(caching, 0) * {_price(of_input * _CACHE_WRITE)}",
                    "USD for tokens",
                    input=self._sum("InputTokens"),
                    output=self._sum("OutputTokens"),
                    cached=self._sum("CacheReadTokens"),
                    caching=self._sum("CacheWriteTokens"),
                )
            )
        return costs

    def _waiting(self) -> cloudwatch.IWidget:
        return self._graph(
            "Who waits? Callers refused, and milliseconds of waiting",
            left=[
                self._sum("Busy"),
                self._sum("Conflicts"),
                self._sum("ColdStarts"),
                self._of(f"{LAMBDA} Throttles", "Sum"),
                self._of(f"{LAMBDA} ConcurrentExecutions", "Maximum"),
            ],
            right=[self._of("LeaseWait", "p95")],
        )

    def _tokens(self) -> cloudwatch.IWidget:
        return self._graph(
            "Tokens, and S3 requests",
            left=[self._sum(name) for name in ("InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens")],
            right=[self._sum("S3Requests")],
        )

    def _totals(self, config: KitConfig) -> cloudwatch.IWidget:
        return cloudwatch.SingleValueWidget(
            title="In all, of the time shown",
            metrics=[self._sum("Requests"), self._sum("Turns"), self._sum("Replays"), *self._costs(config)],
            set_period_to_time_range=True,
            width=_HALF,
            height=_HEIGHT,
        )

    def _graph(
        self,
        title: str,
        *,
        left: list[Any],
        right: list[Any] | None = None,
        stacked: bool = False,
    ) -> cloudwatch.IWidget:
        return cloudwatch.GraphWidget(
            title=title,
            left=left,
            right=right or [],
            stacked=stacked,
            left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            right_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            width=_HALF,
            height=_HEIGHT,
        )

    def _sum(self, name: str) -> cloudwatch.Metric:
        return self._of(name, "Sum")

    def _of(self, name: str, statistic: str) -> cloudwatch.Metric:
        plain = name.removeprefix(f"{LAMBDA} ")
        label = plain if statistic in {"Sum", "Maximum"} else f"{plain} {statistic}"
        return self._metrics.metric(name, statistic=statistic, period=_PERIOD, label=label)

    def _math(self, expression: str, label: str, **metrics: cloudwatch.IMetric) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(expression=expression, label=label, using_metrics=metrics, period=_PERIOD)


def _price(usd: float) -> str:
    """A number as metric math reads it: without an exponent."""
    return f"{usd:.12f}".rstrip("0")
