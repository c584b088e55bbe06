"""The bucket: private, encrypted, and forgetful after the sessions' time."""

from typing import Any

import pytest

from agent_sessions.expiry import lifecycle_days
from tests.infra.policy_evaluator import Decision, decide
from tests.infra.synthesis import ResolvedTemplate, synthesize


def bucket(template: ResolvedTemplate) -> dict[str, Any]:
    return template.properties("AWS::S3::Bucket")


def rules(template: ResolvedTemplate) -> dict[str, dict[str, Any]]:
    return {rule["Id"]: rule for rule in bucket(template)["LifecycleConfiguration"]["Rules"]}


def test_nothing_in_the_bucket_can_be_made_public() -> None:
    assert bucket(synthesize())["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }


def test_the_bucket_owner_owns_every_object() -> None:
    assert bucket(synthesize())["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize(
    "resource", ["arn:aws:s3:::{bucket}", "arn:aws:s3:::{bucket}/sessions/o_x/session_1/session.json"]
)
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"])
def test_plain_http_and_old_tls_are_denied_whoever_asks(action: str, resource: str) -> None:
    template = synthesize()
    policy = template.properties("AWS::S3::BucketPolicy")
    statements = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}, *policy["PolicyDocument"]["Statement"]]
    target = resource.format(bucket=policy["Bucket"])

    def ask(**context: str) -> Decision:
        return decide(statements, action, target, {key.replace("_", ":"): value for key, value in context.items()})

    assert all(s["Principal"] in ("*", {"AWS": "*"}) for s in policy["PolicyDocument"]["Statement"])
    assert ask(aws_SecureTransport="false") is Decision.DENIED
    assert ask(aws_SecureTransport="true", s3_TlsVersion="1.1") is Decision.DENIED
    assert ask(aws_SecureTransport="true", s3_TlsVersion="1.2") is Decision.ALLOWED
    assert ask(aws_SecureTransport="true", s3_TlsVersion="1.3") is Decision.ALLOWED


@pytest.mark.parametrize("ttl_days", [1, 7, 30, 365])
def test_sessions_leave_the_bucket_by_the_librarys_own_reckoning(ttl_days: int) -> None:
    rule = rules(synthesize(session_ttl_days=ttl_days))["expire-sessions"]

    assert rule == {
        "Id": "expire-sessions",
        "Status": "Enabled",
        "Prefix": "sessions/",
        "ExpirationInDays": lifecycle_days(ttl_days),
    }
    assert rule["ExpirationInDays"] > ttl_days


def test_sessions_that_never_expire_have_no_expiry_rule() -> None:
    assert "expire-sessions" not in rules(synthesize(session_ttl_days=0))


@pytest.mark.parametrize(("before", "days"), [(30, lifecycle_days(30)), (5, lifecycle_days(7)), (0, None)])
def test_while_the_lifetime_is_lowered_the_old_rule_stays(before: float, days: int | None) -> None:
    found = rules(synthesize(session_ttl_days=7, session_ttl_days_before=before))

    assert found.get("expire-sessions", {}).get("ExpirationInDays") == days
    assert all("ExpirationInDays" not in rule for rule in rules(synthesize(session_ttl_days=0)).values())


@pytest.mark.parametrize("context", [{}, {"session_ttl_days": 0}, {"bucket_versioning": True}])
def test_leftovers_are_removed_after_a_day(context: dict[str, Any]) -> None:
    found = rules(synthesize(**context))

    assert found["abort-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert found["remove-old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert found["remove-delete-markers"]["ExpiredObjectDeleteMarker"] is True
    assert {rule["Status"] for rule in found.values()} == {"Enabled"}


def test_versions_are_kept_only_on_request() -> None:
    assert "VersioningConfiguration" not in bucket(synthesize())
    assert bucket(synthesize(bucket_versioning=True))["VersioningConfiguration"] == {"Status": "Enabled"}


def test_objects_are_encrypted_with_keys_of_s3_by_default() -> None:
    template = synthesize()

    (rule,) = bucket(template)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert template.of_type("AWS::KMS::Key") == []


def test_with_kms_objects_are_encrypted_with_a_rotated_key_through_a_bucket_key() -> None:
    template = synthesize(encryption="kms")

    (rule,) = bucket(template)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == template.outputs["KeyArn"]
    assert template.properties("AWS::KMS::Key")["EnableKeyRotation"] is True


@pytest.mark.parametrize("kept", ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Logs::LogGroup"])
def test_production_keeps_its_data_when_the_stack_is_destroyed(kept: str) -> None:
    assert synthesize(stage="prod", encryption="kms").only(kept)["DeletionPolicy"] == "Retain"
    assert synthesize(encryption="kms").only(kept)["DeletionPolicy"] == "Delete"
