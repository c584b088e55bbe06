"""What `SessionBucket` grants to functions beside the endpoint."""

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam

from agent_sessions.owner import owner_prefix
from infra.constructs.session_bucket import SessionBucket
from infra.policies.session_access import SessionPlace
from tests.infra.policy_evaluator import Decision, decide
from tests.infra.synthesis import ResolvedTemplate

ALICE = owner_prefix("111122223333", "AROAALICE")
BOB = owner_prefix("111122223333", "AROABOB")


@pytest.fixture(scope="module")
def template() -> ResolvedTemplate:
    """One stack with a role for each grant, named after it."""
    app = App()
    stack = Stack(app, "grants")
    store = SessionBucket(stack, "Store", ttl_days=30, encryption="kms", versioned=True, retain=False)
    store.grant_read(_role(stack, "Reader"))
    store.grant_read(_role(stack, "AliceReader"), ALICE)
    store.grant_read_write(_role(stack, "Writer"))
    store.grant_delete(_role(stack, "AliceEraser"), ALICE)
    source: dict[str, Any] = app.synth().get_stack_by_name("grants").template
    return ResolvedTemplate({"Outputs": {}, **source})


def _role(stack: Stack, name: str) -> iam.Role:
    return iam.Role(stack, name, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("Reader", {"s3:GetObject", "s3:ListBucket", "kms:Decrypt"}),
        ("Writer", {"s3:GetObject", "s3:ListBucket", "kms:Decrypt", "s3:PutObject", "kms:GenerateDataKey"}),
        (
            "AliceEraser",
            {
                *("s3:GetObject", "s3:ListBucket", "kms:Decrypt"),
                *("s3:DeleteObject", "s3:ListBucketVersions", "s3:DeleteObjectVersion"),
            },
        ),
    ],
)
def test_each_grant_is_what_its_name_says(template: ResolvedTemplate, role: str, allowed: set[str]) -> None:
    every = {
        *("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:ListBucketVersions"),
        *("s3:DeleteObjectVersion", "kms:Decrypt", "kms:GenerateDataKey", "s3:PutBucketPolicy"),
    }

    assert {action for action in every if _may(template, role, action, ALICE)} == allowed


@pytest.mark.parametrize("role", ["AliceReader", "AliceEraser"])
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket", "s3:DeleteObject", "s3:ListBucketVersions"])
def test_a_grant_for_one_owner_reaches_no_other(template: ResolvedTemplate, role: str, action: str) -> None:
    assert not _may(template, role, action, BOB)
    assert not _may(template, role, action, f"{ALICE}2")


@pytest.mark.parametrize("sub_prefix", ["", "/", "a/", "/a", "*", "a*", "a?b", "${aws:username}"])
def test_a_sub_prefix_that_a_policy_would_read_differently_is_refused(sub_prefix: str) -> None:
    with pytest.raises(ValueError, match="plain key prefix"):
        SessionPlace("arn:aws:s3:::b", "sessions").within(sub_prefix)


def _may(template: ResolvedTemplate, role: str, action: str, owner: str) -> bool:
    statements = [
        statement
        for name, resource in template.resources.items()
        if resource["Type"] == "AWS::IAM::Policy" and name.startswith(f"{role}DefaultPolicy")
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert statements
    (bucket,) = [name.lower() for name, r in template.resources.items() if r["Type"] == "AWS::S3::Bucket"]
    (key,) = [name for name, r in template.resources.items() if r["Type"] == "AWS::KMS::Key"]
    prefix = f"sessions/{owner}/session_1/"
    resource = f"arn:aws:s3:::{bucket}"
    if action.startswith("kms:"):
        resource = template.resolve({"Fn::GetAtt": [key, "Arn"]})
    elif not action.startswith("s3:ListBucket"):
        resource = f"{resource}/{prefix}session.json"
    return decide(statements, action, resource, {"s3:prefix": prefix}) is Decision.ALLOWED
