"""Alarms in the template: whom they tell, and that they can be left out."""

from typing import Any

import pytest

from infra.config import ConfigError, load_config
from tests.infra.synthesis import ACCOUNT, REGION, synthesize

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:operators"


def alarms(**context: Any) -> list[dict[str, Any]]:
    return [alarm["Properties"] for alarm in synthesize(**context).of_type("AWS::CloudWatch::Alarm")]


def test_alarms_come_with_the_deployment_and_tell_nobody_by_themselves() -> None:
    found = alarms()

    assert len(found) == 10
    assert all("AlarmActions" not in alarm for alarm in found)
    assert synthesize().of_type("AWS::SNS::Topic") == []


def test_without_alarms_nothing_of_them_is_there() -> None:
    assert alarms(alarms="false") == []


def test_an_address_gets_a_topic_that_cloudwatch_alone_publishes_to_over_tls() -> None:
    template = synthesize(alarm_email="operator@example.com")

    topic = next(name for name, found in template.resources.items() if found["Type"] == "AWS::SNS::Topic")
    subscription = template.properties("AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "operator@example.com")
    for alarm in alarms(alarm_email="operator@example.com"):
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic.lower()]
    statements = template.properties("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (allowed,) = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
    assert allowed["Condition"] == {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"}}
    (denied,) = [statement for statement in statements if statement["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_topic_of_ones_own_is_published_to() -> None:
    assert all(alarm["AlarmActions"] == [TOPIC] for alarm in alarms(alarm_topic_arn=TOPIC))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"alarm_email": "nobody"}, "alarm_email='nobody'"),
        ({"alarm_topic_arn": "arn:aws:sqs:eu-west-1:1:queue"}, "alarm_topic_arn='arn:aws:sqs"),
        ({"alarms": "false", "alarm_email": "a@example.com"}, "alarm_email: no alarm exists"),
        ({"alarms": "false", "alarm_topic_arn": TOPIC}, "alarm_topic_arn: no alarm exists"),
    ],
)
def test_whom_alarms_cannot_tell_is_refused(values: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        load_config(values)

    assert "allowed" in str(refused.value)
