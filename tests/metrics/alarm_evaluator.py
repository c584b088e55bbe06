"""What CloudWatch makes of metrics: whether an alarm, as the template has it, is raised.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Period = Mapping[str, Sequence[float]]
"""The values of each metric in one period of time: of ours by their name, of Lambda's as ``AWS/Lambda Throttles``."""


def is_raised(alarm: Mapping[str, Any], periods: Sequence[Period]) -> bool:
    """Whether an alarm is raised at the end of the last period.

    Args:
        alarm: Its properties in the template.
        periods: The last ones, in order, each as long as the alarm's.
    """
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    namespace = alarm["Namespace"]
    name = alarm["MetricName"] if namespace == "AgentSessionKit" else f"{namespace} {alarm['MetricName']}"
    looked_at = list(periods)[-alarm["EvaluationPeriods"] :]
    statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
    bad = 0
    for period in looked_at:
        values = period.get(name, ())
        if values:
            bad += reduced(values, statistic) >= alarm["Threshold"]
        else:
            assert alarm["TreatMissingData"] == "notBreaching"
    return bool(bad >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))


def reduced(values: Sequence[float], statistic: str) -> float:
    """One value of many: ``Sum``, or a percentile such as ``p95``."""
    if statistic == "Sum":
        return sum(values)
    share = float(statistic.removeprefix("p")) / 100
    return sorted(values)[math.ceil(share * len(values)) - 1]
