"""An operator's surroundings: variables, profiles, AWS with two deployments, and a stand-in for the CDK CLI."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.commands import deployment, destroy
from infra.commands.cdk_app import Environment
from tests.infra.surroundings import CONFIG, CREDENTIALS, REGIONS, STACK, template


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing of the user's own surroundings; two profiles."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "CDK_", "AMAZON_"))]:
        monkeypatch.delenv(name)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app leaves account and region open, as the kit's own does (a test asks it)."""
    monkeypatch.setattr(deployment, "stack_environment", lambda *_, **__: Environment(None, None))


@pytest.fixture
def aws(shell: pytest.MonkeyPatch) -> Iterator[None]:
    """The same stack in two regions, with sessions in both buckets."""
    with mock_aws(config={"core": {"mock_credentials": False}}):
        for region in REGIONS:
            session = boto3.Session("x", "x", region_name=region)
            session.client("cloudformation").create_stack(StackName=STACK, TemplateBody=template(region))
            for n in range(2):
                session.client("s3").put_object(Bucket=f"sessions-{region}", Key=f"sessions/o_x/session_1/{n}")
        yield


@pytest.fixture
def cdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the CDK CLI: writes down which region it was told, and its arguments."""
    calls = tmp_path / "calls"
    cli = tmp_path / "cdk"
    cli.write_text(f'#!/bin/sh\necho "$AWS_REGION $AWS_DEFAULT_REGION" "$@" >> {calls}\n', encoding="utf-8")
    cli.chmod(0o755)
    monkeypatch.setattr(destroy, "_CDK", cli)
    return calls
