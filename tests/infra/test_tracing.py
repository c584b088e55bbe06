"""Tracing in the template: the function is traced, and its role may do exactly what that takes."""

from typing import Any

from tests.infra.synthesis import synthesize


def statements(**context: Any) -> list[str]:
    """Every statement of the function's role, as text."""
    policies = synthesize(**context).of_type("AWS::IAM::Policy")
    return sorted(str(found) for policy in policies for found in policy["Properties"]["PolicyDocument"]["Statement"])


def test_tracing_is_off_by_default() -> None:
    function = synthesize().properties("AWS::Lambda::Function")

    assert "TracingConfig" not in function
    assert "TRACING" not in function["Environment"]["Variables"]


def test_with_x_ray_the_function_is_traced_and_is_told_so() -> None:
    function = synthesize(tracing="xray").properties("AWS::Lambda::Function")

    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["Environment"]["Variables"]["TRACING"] == "xray"


def test_the_role_may_put_segments_and_telemetry_and_nothing_else_besides() -> None:
    traced, plain = statements(tracing="xray"), statements()

    (added,) = [statement for statement in traced if statement not in plain]
    assert added == str(
        {
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            "Effect": "Allow",
            "Resource": "*",
        }
    )
    assert len(traced) == len(plain) + 1
