"""The stack as a whole: outputs, linters, and that nothing was waived without a reason."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Validations
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import ManualArgs, lint_file  # type: ignore[import-untyped]  # cfn-lint ships no types

from infra.config import load_config
from infra.stack import KitStack
from tests.infra.synthesis import synthesize

CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"stage": "prod", "encryption": "kms", "bucket_versioning": True, "session_ttl_days": 0, "max_concurrency": 10},
    {"auth": "none", "allow_public": True, "agent_model": "bedrock:eu.amazon.nova-lite-v1:0", "python_version": "3.12"},
    {
        "auth": "jwt",
        "jwt_issuer": "https://login.example.com",
        "jwt_audiences": "https://agent.example.com",
        "cors_origins": "https://chat.example.com",
        "page": True,
        "page_client_id": "page",
    },
]


@pytest.mark.parametrize("context", CONFIGURATIONS)
def test_cfn_lint_finds_nothing(context: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_text(json.dumps(synthesize(**context).source), encoding="utf-8")

    # W3005: the CDK names the role as a dependency beside its policy. Only the policy matters; the rest is redundant.
    config = ManualArgs(regions=["us-east-1", "eu-central-1"], ignore_checks=["W3005"])
    findings = lint_file(path, config=config)

    assert [str(finding) for finding in findings] == []


def test_a_finding_of_cdk_nag_without_a_reason_stops_the_synthesis() -> None:
    # The other tests synthesise with cdk-nag: this one shows that they would notice.
    with tempfile.TemporaryDirectory() as folder:
        app = App(outdir=folder, context={"aws:cdk:bundling-stacks": []})
        stack = KitStack(app, load_config({}))
        s3.Bucket(stack, "Careless")
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))

        with pytest.raises(RuntimeError, match="AwsSolutions-S10"):
            app.synth()


def test_the_outputs_name_what_a_user_needs_next() -> None:
    template = synthesize()

    assert set(template.outputs) == {
        *("EndpointUrl", "CallerPolicyArn", "BucketName", "FunctionName", "SessionLayerArn", "RuntimeLayerArn"),
    }
    assert all("Description" in output for output in template.source["Outputs"].values())


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": "none", "allow_public": True},
        {"auth": "jwt", "jwt_issuer": "https://login.example.com", "jwt_audiences": "https://agent.example.com"},
    ],
    ids=["none", "jwt"],
)
def test_there_is_no_policy_of_callers_where_nobody_signs(settings: dict[str, Any]) -> None:
    template = synthesize(**settings)

    assert template.of_type("AWS::IAM::ManagedPolicy") == []
    assert set(template.outputs) == {
        *("EndpointUrl", "BucketName", "FunctionName", "SessionLayerArn", "RuntimeLayerArn"),
    }


def test_production_cannot_be_destroyed_by_accident() -> None:
    app = App(context={"aws:cdk:bundling-stacks": []})

    assert KitStack(app, load_config({"stage": "prod"})).termination_protection
    assert not KitStack(app, load_config({"stage": "dev"})).termination_protection
