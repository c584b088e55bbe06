"""`make destroy`: empties the bucket it is about, and refuses where people's sessions are kept."""

import functools
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from infra.commands import destroy
from infra.commands.deployment import read_cdk_arguments
from infra.commands.destroy import NotEmptiedError, empty_bucket, main

pytestmark = pytest.mark.usefixtures("open_app")

TEMPLATE = """
Resources:
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: the-sessions}}
Outputs:
  BucketName: {Value: !Ref Bucket}
"""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


@pytest.fixture
def deployed(account: None) -> str:
    boto3.client("cloudformation").create_stack(StackName="agent-session-kit-dev", TemplateBody=TEMPLATE)
    return "the-sessions"


@pytest.fixture
def cdk_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the CDK CLI: writes down how it was called."""
    calls = tmp_path / "calls"
    cli = tmp_path / "cdk"
    cli.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n', encoding="utf-8")
    cli.chmod(0o755)
    monkeypatch.setattr(destroy, "_CDK", cli)
    return calls


def fill(bucket: str, objects: int) -> None:
    s3 = boto3.client("s3")
    for n in range(objects):
        s3.put_object(Bucket=bucket, Key=f"sessions/o_x/session_1/{n}", Body=b"x")


def test_a_development_stack_is_emptied_and_destroyed(deployed: str, cdk_calls: Path) -> None:
    fill(deployed, 3)

    assert main(["--force", "-c", "session_ttl_days=7"]) == 0

    assert boto3.client("s3").list_objects_v2(Bucket=deployed)["KeyCount"] == 0
    assert cdk_calls.read_text(encoding="utf-8").split() == ["destroy", "--force", "-c", "session_ttl_days=7"]


@pytest.mark.parametrize("arguments", [["-c", "stage=prod"], ["--context=stage=prod", "--force"], ["-cstage=prod"]])
def test_production_is_refused(
    arguments: list[str], deployed: str, cdk_calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(deployed, 1)

    assert main(arguments) == 1

    assert "agent-session-kit-prod is production" in capsys.readouterr().err
    assert boto3.client("s3").list_objects_v2(Bucket=deployed)["KeyCount"] == 1
    assert not cdk_calls.exists()


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [("n\n", 1, 2), ("\n", 1, 2), ("y\n", 1, 2), ("agent-session-kit-test\n", 1, 2), ("agent-session-kit-dev\n", 0, 0)],
)
def test_whoever_has_not_said_so_already_is_asked_for_the_stacks_name(
    answer: str, code: int, left: int, deployed: str, cdk_calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(deployed, 2)
    (tmp_path / "answer").write_text(answer, encoding="utf-8")

    with (tmp_path / "answer").open(encoding="utf-8") as keyboard:
        monkeypatch.setattr("sys.stdin", keyboard)
        assert main([]) == code

    assert boto3.client("s3").list_objects_v2(Bucket=deployed)["KeyCount"] == left
    assert cdk_calls.exists() is (code == 0)


def test_missing_things_need_not_be_destroyed(
    account: None, cdk_calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--force"]) == 0
    assert "no such stack" in capsys.readouterr().out
    assert not cdk_calls.exists()


def test_a_wrong_configuration_is_refused_before_anything_is_deleted(
    deployed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--force", "-c", "stag=prod"]) == 2
    assert "did you mean `stage`?" in capsys.readouterr().err


def test_old_versions_and_delete_markers_are_deleted_too(deployed: str) -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=deployed, VersioningConfiguration={"Status": "Enabled"})
    fill(deployed, 2)
    fill(deployed, 2)
    s3.delete_object(Bucket=deployed, Key="sessions/o_x/session_1/0")

    assert empty_bucket(s3, deployed) == 5

    s3.delete_bucket(Bucket=deployed)


def test_more_objects_than_one_request_lists(deployed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(deployed, 5)
    s3 = boto3.client("s3")
    monkeypatch.setattr(s3, "list_object_versions", functools.partial(s3.list_object_versions, MaxKeys=2))

    assert empty_bucket(s3, deployed) == 5


def test_objects_that_s3_keeps_are_named(deployed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(deployed, 1)
    s3 = boto3.client("s3")
    refused = {"Errors": [{"Key": "sessions/o_x/session_1/0", "Code": "AccessDenied"}]}
    monkeypatch.setattr(s3, "delete_objects", lambda **_request: refused)

    with pytest.raises(NotEmptiedError, match=r"session_1/0 \(AccessDenied\)"):
        empty_bucket(s3, deployed)


def test_the_cdks_arguments_mean_the_same_here() -> None:
    cdk = read_cdk_arguments(["-c", "stage=test", "--context", "session_ttl_days=3", "--profile", "work", "--verbose"])

    assert (cdk.config.stage, cdk.config.session_ttl_days, cdk.profile, cdk.confirmed) == ("test", 3, "work", False)
