"""What the deployed role let through of the calls that the function really made, and what it keeps out."""

from collections import Counter
from dataclasses import replace
from typing import Any

from infra.commands.smoke.report import Report, expect
from tests.deploy.cdk_cli import REGION
from tests.deploy.emulator import ACCOUNT
from tests.deploy.permission_check import PermissionCheck
from tests.doubles.bedrock_server import BedrockServer
from tests.infra.policy_evaluator import Decision, Statement, decide

_STREAM = "bedrock:InvokeModelWithResponseStream"
_SURELY = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
# Erasing a session looks for old versions. A role without leave to see them belongs to a bucket that keeps none.
_MAY_BE_REFUSED = {"s3:ListBucketVersions"}


def check_permissions(report: Report, permissions: PermissionCheck, bedrock: BedrockServer) -> None:
    """Judge what was recorded by the role's policy, conditions included.

    Args:
        report: Where the results go.
        permissions: What the function asked S3 for, and what its role refused.
        bedrock: What it asked Bedrock for.
    """
    counts = Counter(call.action for call in permissions.calls if not call.implied)
    told = ", ".join(f"{count} {action}" for action, count in sorted(counts.items()))

    def allowed() -> None:
        expect(set(counts) >= _SURELY, counts)  # a log that missed calls would show nothing
        refused = {call for call in permissions.refused if call.action not in _MAY_BE_REFUSED}
        expect(not refused, refused)

    def none_elsewhere() -> None:
        for call in permissions.calls:
            resource = call.resource.replace("/sessions/", "/other/")
            elsewhere = replace(call, resource=resource, prefix=call.prefix and f"other/{call.prefix}")
            expect(not permissions.allows(elsewhere), elsewhere)

    def model() -> None:
        expect({request.operation for request in bedrock.requests} == {"converse-stream"}, bedrock.requests)
        for model in {request.model_id for request in bedrock.requests}:
            profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{model}"
            behind = f"arn:aws:bedrock:::foundation-model/{model.partition('.')[2]}"
            through = {"bedrock:InferenceProfileArn": profile, "aws:RequestedRegion": "unspecified"}
            expect(decide(permissions.role, _STREAM, profile, {}) is Decision.ALLOWED, profile)
            expect(decide(permissions.role, _STREAM, behind, through) is Decision.ALLOWED, behind)
            expect(decide(permissions.role, _STREAM, behind, {}) is not Decision.ALLOWED, behind)

    report.check(f"permissions: the role allows what the function asked S3 for ({told})", allowed)
    report.check("permissions: nothing of it beside the prefix", none_elsewhere)
    report.check("permissions: the model, through its profile and not past it", model)


def invokes_itself(role: list[Statement], events: list[tuple[str, Any]]) -> None:
    """See that the role lets the function invoke its alias, and not what has no alias.

    Args:
        role: The statements of its role.
        events: What it has invoked: its name with its alias, and the event.
    """
    expect(events, "nothing invoked")
    for invoked, _ in events:
        alias = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{invoked}"
        expect(decide(role, "lambda:InvokeFunction", alias, {}) is Decision.ALLOWED, alias)
        expect(decide(role, "lambda:InvokeFunction", alias.rpartition(":")[0], {}) is not Decision.ALLOWED, alias)
