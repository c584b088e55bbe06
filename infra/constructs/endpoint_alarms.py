"""Alarms on what an operator has to look at, each with its section in docs/OPERATIONS.md."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from ..config import KitConfig
from .endpoint_metrics import LAMBDA, EndpointMetrics

PAGE: Final = "docs/OPERATIONS.md"


class AlarmSpec(NamedTuple):
    """One alarm.

    Attributes:
        title: Heading of its section in docs/OPERATIONS.md; the construct's id is the same without spaces.
        metric: Name of the metric; one of Lambda's begins with ``AWS/Lambda ``.
        statistic: How the values of a period become one.
        threshold: Reached or exceeded, a period is bad. Milliseconds for a duration, else a count.
        period_minutes: How long a period is.
        periods: How many of the last periods are looked at.
        bad_periods: How many of them have to be bad.
        happened: What has happened, in a sentence.
        reason: Why these values.
    """

    title: str
    metric: str
    statistic: str
    threshold: float
    period_minutes: int
    periods: int
    bad_periods: int
    happened: str
    reason: str

    @property
    def anchor(self) -> str:
        """The section's anchor."""
        return self.title.lower().replace(" ", "-")

    @property
    def description(self) -> str:
        """What an operator reads in the message."""
        return f"{self.happened} What to do: {PAGE}#{self.anchor}"

    @property
    def construct_id(self) -> str:
        """Its id in the construct tree."""
        return self.title.title().replace(" ", "")


OVERHEAD_MS: Final = 1_000
NEAR_TIMEOUT: Final = 0.8


def alarm_specs(timeout_seconds: float) -> Sequence[AlarmSpec]:
    """Every alarm, for a function with this timeout."""
    return (
        AlarmSpec(
            *("Internal errors", "InternalErrors", "Sum", 1, 5, 1, 1),
            "A request was answered 500: a bug of the agent, of its tools or of the kit.",
            "Each one is a bug that a caller has met, and none mends itself.",
        ),
        AlarmSpec(
            *("Storage failures", "StorageFailures", "Sum", 3, 5, 1, 1),
            "S3 failed or refused, and callers were told so.",
            "A request that failed was tried four times. One or two are S3's bad minute, three are a pattern.",
        ),
        AlarmSpec(
            *("Throttled model", "ModelThrottles", "Sum", 10, 5, 3, 2),
            "The model's provider asks to slow down, again and again.",
            "Throttled calls are tried again, so that a burst passes unseen. Ten in five minutes, twice within "
            "fifteen, are a quota that is too small.",
        ),
        AlarmSpec(
            *("Function throttles", f"{LAMBDA} Throttles", "Sum", 1, 5, 1, 1),
            "Lambda refused requests, because all of the function's concurrency is in use.",
            "Callers were turned away, or turns without a caller wait. No such refusal is in the function's own log.",
        ),
        AlarmSpec(
            "Duration near the timeout",
            f"{LAMBDA} Duration",
            "p99",
            1000 * timeout_seconds * NEAR_TIMEOUT,
            *(5, 3, 3),
            "One request in a hundred takes nearly all of the function's time.",
            f"{NEAR_TIMEOUT:.0%} of `timeout_seconds`, for fifteen minutes: turns will soon be cut off, and there is "
            "time to act.",
        ),
        AlarmSpec(
            *("Session overhead", "SessionOverhead", "p95", OVERHEAD_MS, 5, 3, 3),
            "The session itself adds more than a second to one turn in twenty.",
            "A turn adds a handful of round trips to S3, some 0.2 seconds. A second is five times that; fifteen "
            "minutes leave out a wave of cold starts.",
        ),
        AlarmSpec(
            *("Turns cut off", "TurnsCutOff", "Sum", 3, 15, 1, 1),
            "Turns had begun and ended without a reply: out of time, the storage failed, or another writer came.",
            "One is an accident, and sending it again mends it. Three in a quarter of an hour have one cause.",
        ),
        AlarmSpec(
            *("Leases taken over", "LeasesTakenOver", "Sum", 3, 15, 1, 1),
            "Turns found that the one before had not given its lease back: its process died.",
            "One process in a long while is lost by Lambda itself. Three in a quarter of an hour are killed by "
            "something: the timeout, or too little memory.",
        ),
        AlarmSpec(
            *("Renewals failing", "RenewalsFailed", "Sum", 3, 60, 1, 1),
            "Old objects of sessions in use could not be written again. In the end the bucket's rule deletes them.",
            "The next turn tries again, and there are days left. An hour with three failures is no accident.",
        ),
        AlarmSpec(
            *("Asynchronous events dropped", f"{LAMBDA} AsyncEventsDropped", "Sum", 1, 5, 1, 1),
            "Lambda gave up a turn that had been accepted with 202, after its last try.",
            "Each one is a turn that somebody was promised.",
        ),
    )


class EndpointAlarms(Construct):
    """The alarms of one endpoint, and whom they tell.

    A period without data is a good one: a count that is 0 is not written, and without turns nothing is slow.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        config: Where alarms go to (``alarm_email``, ``alarm_topic_arn``), and the function's timeout.
        metrics: The endpoint's metrics.

    Attributes:
        alarms: Every alarm, by its title.
        topic: The topic of ``alarm_email``, if there is one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: KitConfig,
        metrics: EndpointMetrics,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic: sns.Topic | None = None
        told: list[sns.ITopic] = []
        if config.alarm_email is not None:
            self.topic = sns.Topic(self, "Topic", display_name="Agent Session Kit", enforce_ssl=True)
            # The topic has a policy, for TLS. So it no longer lets in whoever its account lets in: CloudWatch is named.
            alarms = Stack.of(self).format_arn(
                service="cloudwatch", resource="alarm", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
            )
            self.topic.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                    actions=["sns:Publish"],
                    resources=[self.topic.topic_arn],
                    conditions={"ArnLike": {"aws:SourceArn": alarms}},
                )
            )
            self.topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
            told.append(self.topic)
        if config.alarm_topic_arn is not None:
            told.append(sns.Topic.from_topic_arn(self, "GivenTopic", config.alarm_topic_arn))
        self.alarms: dict[str, cloudwatch.Alarm] = {}
        for spec in alarm_specs(config.timeout_seconds):
            alarm = cloudwatch.Alarm(
                self,
                spec.construct_id,
                alarm_description=spec.description,
                metric=metrics.metric(
                    spec.metric, statistic=spec.statistic, period=Duration.minutes(spec.period_minutes)
                ),
                threshold=spec.threshold,
                evaluation_periods=spec.periods,
                datapoints_to_alarm=spec.bad_periods,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            alarm.add_alarm_action(*(actions.SnsAction(topic) for topic in told))
            alarm.add_ok_action(*(actions.SnsAction(topic) for topic in told))
            self.alarms[spec.title] = alarm


def as_markdown() -> str:
    """The table of docs/OPERATIONS.md, for the default timeout."""
    timeout = KitConfig.model_fields["timeout_seconds"].default
    rows = [
        f"| [{spec.title}](#{spec.anchor}) | {spec.statistic} of `{spec.metric}` ≥ {spec.threshold:g} "
        f"| {spec.bad_periods} of {spec.periods} periods of {spec.period_minutes} min | {spec.reason} |"
        for spec in alarm_specs(timeout)
    ]
    return "\n".join(["| alarm | when | in | why so |", "|---|---|---|---|", *rows]) + "\n"
