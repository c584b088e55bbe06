"""``agent-sessions doctor``: what is wrong with a store and its sessions is named, and mended without losing a word."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent
from agent_sessions_cli.store_checks import (
    Verdict,
    check_bucket,
    check_objects,
    judge_encryption,
    judge_lifecycle,
    judge_public_access,
    judge_tls,
    judge_versioning,
)
from tests.cli.conftest import BUCKET, Terminal
from tests.doubles.s3_server import Fault, S3Server


def rows(terminal: Terminal, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in terminal.run("doctor", "--json", *words).stdout.splitlines()]


def overwrite(terminal: Terminal, key: str, body: bytes) -> None:
    terminal.store.objects.delete([key])
    terminal.store.objects.put(key, body, Absent())


def test_a_store_that_is_fit_has_nothing_bad_and_nothing_is_left_behind(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")
    before = terminal.stored()

    seen = terminal.run("doctor", "--sessions")
    checks = {row["name"]: row["verdict"] for row in rows(terminal)}

    assert seen.exit_code == 0, seen.output
    assert "1 sessions: 0 broken, 0 lost, 0 notice; 0 mended" in seen.output
    good = ("If-None-Match", "If-Match", "conditional delete", "clock", "permissions")
    assert {name: checks[name] for name in good} == dict.fromkeys(good, "good")
    assert {key: body for key, body in terminal.stored().items() if ".locks/" not in key} == {
        key: body for key, body in before.items() if ".locks/" not in key
    }


def test_what_is_broken_is_shown_and_mended_after_a_yes_and_the_rest_is_used_again(terminal: Terminal) -> None:
    terminal.talk("ada", "One.", "Two.")
    message, record = terminal.store.layout.message("ada", "default", 1), terminal.store.layout.session("ada")
    overwrite(terminal, message, b'{"message": ')
    terminal.store.objects.delete([record])

    shown = terminal.run("doctor", "--sessions")
    declined = terminal.run("doctor", "ada", "--fix", answer="n\n")
    mended = terminal.run("doctor", "ada", "--fix", answer="y\n")

    assert shown.exit_code == declined.exit_code == 6
    assert "broken   unreadable record" in shown.stdout
    assert "broken   missing session record" in shown.stdout
    assert b'{"message": ' in terminal.stored().values()
    assert mended.exit_code == 0, mended.output
    assert "session ada: 2 mended" in mended.output
    assert b'{"message": ' in terminal.stored().values()
    assert [entry.message_id for entry in terminal.store.messages("ada").messages] == [0, 2, 3]
    terminal.talk("ada", "On.")


def test_what_cannot_be_mended_says_why(terminal: Terminal) -> None:
    terminal.talk("ada", "One.", "Two.")
    terminal.store.objects.delete([terminal.store.layout.message("ada", "default", 1)])

    found = rows(terminal, "ada", "--fix", "--yes")[-1]

    assert (found["kind"], found["severity"], found["is_mendable"]) == ("gap", "lost", False)
    assert "a backup may have" in found["remedy"]


def test_a_folder_that_can_be_no_sessions_is_foreign_and_the_others_are_looked_over(terminal: Terminal) -> None:
    terminal.talk("zoe", "One.")
    root = terminal.store.layout.root
    terminal.store.objects.put(f"{root}session_odd\x01/notes.txt", b"mine", Absent())

    seen = terminal.run("doctor", "--sessions")
    (found,) = [row for row in rows(terminal, "--sessions") if row.get("kind")]

    assert seen.exit_code == 0, seen.output
    assert "1 sessions: 0 broken, 0 lost, 1 notice" in seen.output
    assert (found["kind"], found["key"]) == ("foreign object", f"{root}session_odd\x01/")


def test_a_session_that_is_not_there_is_said(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")

    seen = terminal.run("doctor", "ada", "no-such-id")

    assert (seen.exit_code, "no-such-id" in seen.stderr) == (3, True), seen.output
    assert "1 sessions" in seen.output
    assert terminal.run("doctor", "ada").exit_code == 0


def test_a_session_that_is_used_is_not_mended(terminal: Terminal) -> None:
    terminal.talk("ada", "One.")
    overwrite(terminal, terminal.store.layout.message("ada", "default", 1), b"{")

    with SessionLease(terminal.store, "ada", holder="a turn"):
        seen = terminal.run("doctor", "ada", "--fix", "--yes")

    assert (seen.exit_code, "a turn" in seen.stderr) == (5, True)


def test_fixing_asks_and_a_script_cannot_be_asked(terminal: Terminal) -> None:
    assert terminal.run("doctor", "--fix", "--json").exit_code == 2
    assert terminal.run("doctor", "--yes").exit_code == 2


def test_a_store_that_ignores_conditions_is_bad(on_folder: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(self: Any, key: str, body: bytes, expect: Any) -> Any:
        self.delete([key])
        return write(self, key, body, Absent())

    objects = type(on_folder.store.objects)
    write = objects.put
    monkeypatch.setattr(objects, "put", put)

    found = {row["name"]: row["verdict"] for row in rows(on_folder)}

    assert (found["If-None-Match"], found["If-Match"]) == ("bad", "bad")


WITHOUT_TLS = {"Bool": {"aws:SecureTransport": "false"}}
WHOLE = ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]
DENY = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": WHOLE, "Condition": WITHOUT_TLS}


@pytest.mark.parametrize(
    "statements",
    [
        [DENY],
        DENY,
        [{**DENY, "Principal": {"AWS": "*"}, "Action": ["s3:*"], "Resource": "*"}],
        [{**DENY, "Action": "*", "Condition": {"Bool": {"aws:securetransport": ["false"]}}}],
        [{**DENY, "Resource": WHOLE[0]}, {**DENY, "Resource": "arn:aws-cn:s3:::b/*"}],
        [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}, DENY],
        [{**DENY, "Resource": "arn:aws:s3:::b*"}],
    ],
)
def test_a_policy_that_takes_no_request_without_tls_is_good(statements: Any) -> None:
    assert judge_tls({"Policy": json.dumps({"Statement": statements})}, "b").verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Effect": "Allow"}, "are taken: deny s3:*"),
        ({"Action": ["s3:GetObject", "s3:PutObject"]}, "by the bucket and its objects (some actions alone"),
        ({"Action": None, "NotAction": "s3:ListBucket"}, "some actions alone"),
        ({"Principal": {"AWS": "arn:aws:iam::111122223333:root"}}, "some principals alone"),
        ({"Principal": None, "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:root"}}, "some principals alone"),
        ({"Resource": WHOLE[0]}, "by its objects"),
        ({"Resource": WHOLE[1]}, "by the bucket"),
        ({"Resource": [WHOLE[0], "arn:aws:s3:::b/chat/*"]}, "by its objects"),
        ({"Resource": ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]}, "by the bucket and its objects"),
        ({"Resource": None, "NotResource": "arn:aws:s3:::b/public/*"}, "by the bucket and its objects"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, "other conditions, too, or another value"),
        ({"Condition": {**WITHOUT_TLS, "StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, "other conditions"),
        ({"Condition": {"Bool": {**WITHOUT_TLS["Bool"], "aws:ViaAWSService": "false"}}}, "other conditions"),
        ({"Condition": None}, "are taken: deny s3:*"),
    ],
)
def test_a_policy_that_takes_some_requests_without_tls_says_which(change: dict[str, Any], said: str) -> None:
    statement = {name: value for name, value in {**DENY, **change}.items() if value is not None}

    found = judge_tls({"Policy": json.dumps({"Statement": [statement]})}, "b")

    assert found.verdict is Verdict.NOTICE
    assert said in found.what, found.what


@pytest.mark.parametrize("policy", [None, {"Policy": "no JSON"}, {"Policy": "[]"}, {"Policy": '{"Statement": [7]}'}])
def test_a_bucket_without_such_a_policy_takes_requests_without_tls(policy: Any) -> None:
    assert judge_tls(policy, "b").verdict is Verdict.NOTICE


@pytest.fixture
def versioned(on_bucket: Terminal, bucket_server: S3Server) -> Terminal:
    bucket_server.client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return on_bucket


def versions_in(server: S3Server) -> list[dict[str, Any]]:
    page: Any = server.client().list_object_versions(Bucket=BUCKET)
    return [*page.get("Versions", []), *page.get("DeleteMarkers", [])]


def test_of_a_versioned_bucket_versions_are_tried_too_and_none_is_left(
    versioned: Terminal, bucket_server: S3Server
) -> None:
    (found,) = [row for row in rows(versioned) if row["name"] == "permissions"]

    assert found["verdict"] == "good"
    assert found["what"].endswith(
        "s3:PutObject, s3:GetObject, s3:ListBucket, s3:DeleteObject, s3:ListBucketVersions, s3:DeleteObjectVersion"
    )
    assert versions_in(bucket_server) == []


def test_a_bucket_that_keeps_no_versions_needs_no_permission_for_them(on_bucket: Terminal) -> None:
    (found,) = [row for row in rows(on_bucket) if row["name"] == "permissions"]

    assert found["what"].endswith("may s3:PutObject, s3:GetObject, s3:ListBucket, s3:DeleteObject")


def test_who_may_not_list_versions_leaves_none_all_the_same(versioned: Terminal, bucket_server: S3Server) -> None:
    bucket_server.faults.add(Fault("error", verb="LIST_VERSIONS", code="AccessDenied", times=99))

    (found,) = [row for row in rows(versioned) if row["name"] == "permissions"]

    bucket_server.faults.clear()
    assert found["verdict"] == "bad"
    assert "refused: s3:ListBucketVersions (AccessDenied)." in found["what"]
    assert not [entry for entry in versions_in(bucket_server) if "doctor" in entry["Key"]]


class RefusesVersions:
    """Stands for a client whose credentials may delete objects, but no versions."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_object(self, **request: Any) -> Any:
        if "VersionId" in request:
            message = "User: arn:aws:iam::1:user/x is not authorized to perform: s3:DeleteObjectVersion on resource"
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "DeleteObject")
        return self._client.delete_object(**request)


def test_who_may_not_delete_versions_is_told_what_is_left(versioned: Terminal) -> None:
    objects: Any = versioned.store.objects
    objects.client = RefusesVersions(objects.client)

    (found,) = [check for check in check_objects(versioned.store) if check.name == "permissions"]

    assert found.verdict is Verdict.BAD
    assert "s3:DeleteObjectVersion (AccessDenied)" in found.what
    assert "Left behind: versions of chat/.agent-sessions-doctor-" in found.what


class EncryptsWithKey(RefusesVersions):
    """Stands for a client of a bucket with a key, which these credentials may use for some requests."""

    refused = ""

    def delete_object(self, **request: Any) -> Any:
        return self._client.delete_object(**request)

    def head_object(self, **request: Any) -> Any:
        return {**self._client.head_object(**request), "ServerSideEncryption": "aws:kms"}

    def _ask(self, operation: str, permission: str, request: dict[str, Any]) -> Any:
        if permission == self.refused:
            message = f"User: arn:aws:iam::1:user/x is not authorized to perform: {permission} on resource: a key"
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, operation)
        return getattr(self._client, operation)(**request)

    def put_object(self, **request: Any) -> Any:
        return self._ask("put_object", "kms:GenerateDataKey", request)

    def get_object(self, **request: Any) -> Any:
        return self._ask("get_object", "kms:Decrypt", request)


@pytest.mark.parametrize("permission", ["", "kms:GenerateDataKey", "kms:Decrypt"])
def test_a_key_that_may_not_be_used_is_named_by_the_permission(on_bucket: Terminal, permission: str) -> None:
    objects: Any = on_bucket.store.objects
    objects.client = EncryptsWithKey(objects.client)
    objects.client.refused = permission

    (found,) = [check for check in check_objects(on_bucket.store) if check.name == "permissions"]

    if permission:
        assert f"{permission} (AccessDenied)" in found.what
    else:
        assert found.what.endswith("; the key: kms:GenerateDataKey, kms:Decrypt")


def test_permissions_that_lack_are_bad(on_bucket: Terminal, bucket_server: S3Server) -> None:
    bucket_server.faults.add(Fault("error", verb="PUT", key="*doctor*", code="AccessDenied", times=99))

    found = {row["name"]: row for row in rows(on_bucket)}

    assert found["permissions"]["verdict"] == "bad"
    assert "s3:PutObject (AccessDenied)" in found["permissions"]["what"]


def test_a_bucket_whose_settings_cannot_be_asked_for_is_unknown(on_bucket: Terminal, bucket_server: S3Server) -> None:
    found = {check.name: check.verdict for check in check_bucket(bucket_server.client(), BUCKET, "chat/", 7)}

    assert found.pop("versioning") is Verdict.GOOD
    assert set(found.values()) == {Verdict.UNKNOWN}
    assert set(found) == {"lifecycle", "encryption", "public access", "TLS only"}


def test_a_clock_that_is_off_is_said(on_folder: Terminal) -> None:
    checks = check_objects(on_folder.store, now=lambda: datetime.now(UTC) + timedelta(minutes=20))

    (clock,) = [check for check in checks if check.name == "clock"]
    assert clock.verdict is Verdict.NOTICE
    assert clock.what.startswith("1200 seconds") or clock.what.startswith("1199 seconds")


def test_a_folder_that_others_may_read_is_said(on_folder: Terminal, tmp_path: Path) -> None:
    on_folder.talk("ada", "One.")
    (tmp_path / "sessions").chmod(0o755)

    found = {row["name"]: row for row in rows(on_folder)}

    assert found["folder"]["verdict"] == "notice"
    assert "chmod 700" in found["folder"]["what"]


def rule(days: int, prefix: str = "chat/", **changes: Any) -> dict[str, Any]:
    return {
        "Rules": [
            {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}, **changes}
        ]
    }


@pytest.mark.parametrize(
    ("answer", "ttl_days", "verdict"),
    [
        (None, None, Verdict.GOOD),
        (None, 7, Verdict.NOTICE),
        (rule(30), 7, Verdict.GOOD),
        (rule(7), 7, Verdict.BAD),
        (rule(7, prefix=""), 7, Verdict.BAD),
        (rule(7), None, Verdict.BAD),
        (rule(1, prefix="other/"), 7, Verdict.NOTICE),
        (rule(1, Status="Disabled"), 7, Verdict.NOTICE),
        (rule(1, Filter={"Tag": {"Key": "a", "Value": "b"}}), 7, Verdict.NOTICE),
    ],
)
def test_the_lifecycle_rule_is_compared_with_the_lifetime(answer: Any, ttl_days: Any, verdict: Verdict) -> None:
    assert judge_lifecycle(answer, "chat/", ttl_days).verdict is verdict


def test_a_buckets_settings_are_judged() -> None:
    blocked = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    sse = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}

    assert judge_public_access({"PublicAccessBlockConfiguration": blocked}).verdict is Verdict.GOOD
    open_bucket = judge_public_access({"PublicAccessBlockConfiguration": {**blocked, "BlockPublicAcls": False}})
    assert (open_bucket.verdict, "BlockPublicAcls" in open_bucket.what) == (Verdict.BAD, True)
    assert judge_public_access(None).verdict is Verdict.BAD
    assert judge_encryption({"ServerSideEncryptionConfiguration": sse}).verdict is Verdict.GOOD
    assert judge_encryption(None).verdict is Verdict.BAD
    assert judge_versioning({}).verdict is Verdict.GOOD
    assert judge_versioning({"Status": "Enabled"}).verdict is Verdict.NOTICE
