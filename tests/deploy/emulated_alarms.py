"""Alarms, which moto has and its CloudFormation does not know."""

from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel

Properties = dict[str, Any]


class MetricAlarm(CloudFormationModel):
    """An alarm of a stack. The class is all it takes: moto looks for subclasses by their type."""

    def __init__(self, name: str, arn: str) -> None:
        self.name = name
        self._arn = arn

    @property
    def physical_resource_id(self) -> str:
        return self.name

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    def get_cfn_attribute(self, attribute: str) -> str:
        assert attribute == "Arn"
        return self._arn

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_more: Any
    ) -> "MetricAlarm":
        declared: Properties = cloudformation_json["Properties"]
        name = declared.get("AlarmName", resource_name)
        alarm = cloudwatch_backends[account_id][region_name].put_metric_alarm(
            name=name,
            namespace=declared["Namespace"],
            metric_name=declared["MetricName"],
            comparison_operator=declared["ComparisonOperator"],
            evaluation_periods=int(declared["EvaluationPeriods"]),
            period=int(declared["Period"]),
            threshold=float(declared["Threshold"]),
            statistic=declared.get("Statistic"),  # type: ignore[arg-type] # an alarm has this or the next
            extended_statistic=declared.get("ExtendedStatistic"),
            description=declared["AlarmDescription"],
            dimensions=declared["Dimensions"],
            alarm_actions=declared.get("AlarmActions", []),
            ok_actions=declared.get("OKActions", []),
            datapoints_to_alarm=int(declared["DatapointsToAlarm"]),
            treat_missing_data=declared["TreatMissingData"],
        )
        return cls(name, alarm.alarm_arn)

    @classmethod
    def update_from_cloudformation_json(cls, **arguments: Any) -> "MetricAlarm":  # type: ignore[override]
        return cls.create_from_cloudformation_json(
            arguments["original_resource"].name,
            arguments["cloudformation_json"],
            arguments["account_id"],
            arguments["region_name"],
        )

    def delete(self, account: str, region: str) -> None:
        cloudwatch_backends[account][region].delete_alarms([self.name])
