"""What the function's role lets through, request by request, and what it keeps out."""

from collections.abc import Iterable
from typing import Any

import pytest

from agent_sessions.owner import owner_prefix
from tests.infra.policy_evaluator import Decision, decide
from tests.infra.synthesis import ACCOUNT, REGION, ResolvedTemplate, synthesize

OWNER = owner_prefix("111122223333", "AROAEXAMPLE")
SESSION = f"sessions/{OWNER}/session_1/"
HTTPS = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
GLOBAL = "anthropic.claude-haiku-4-5-20251001-v1:0"
GLOBAL_PROFILE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/global.{GLOBAL}"


def statements(template: ResolvedTemplate) -> list[dict[str, Any]]:
    """Of everything that has a say about the role's requests: its own policies and the bucket's."""
    documents = [*template.of_type("AWS::IAM::Policy"), *template.of_type("AWS::S3::BucketPolicy")]
    return [s for document in documents for s in document["Properties"]["PolicyDocument"]["Statement"]]


class Role:
    """The deployed function's role, asked one request at a time."""

    def __init__(self, **context: Any) -> None:
        template = synthesize(**context)
        self._statements = statements(template)
        self.bucket = f"arn:aws:s3:::{template.outputs['BucketName']}"
        self.key = template.outputs.get("KeyArn", "")

    def may(self, action: str, resource: str, **context: str) -> bool:
        request = {**HTTPS, **{name.replace("__", ":"): value for name, value in context.items()}}
        return decide(self._statements, action, resource, request) is Decision.ALLOWED

    def may_do(self, action: str, key: str) -> bool:
        return self.may(action, f"{self.bucket}/{key}")

    def may_list(self, prefix: str | None, action: str = "s3:ListBucket") -> bool:
        context = {} if prefix is None else {"s3__prefix": prefix}
        return self.may(action, self.bucket, **context)

    def may_converse(self, resource: str, **context: str) -> bool:
        answers = {
            self.may(f"bedrock:{action}", resource, **context)
            for action in ("InvokeModel", "InvokeModelWithResponseStream")
        }
        assert len(answers) == 1
        return answers.pop()


TOKENS = {"auth": "jwt", "jwt_issuer": "https://login.example.com", "jwt_audiences": "agent"}


@pytest.mark.parametrize(
    "callers", [TOKENS, {"auth": "none", "allow_public": True}, {"cors_origins": "https://a.example"}]
)
def test_whoever_may_call_the_function_may_do_the_same(callers: dict[str, Any]) -> None:
    assert Role(**callers)._statements == Role()._statements


@pytest.mark.parametrize("name", ["session.json", "lease.json", "agents/agent_a/messages/message_0.json"])
def test_the_sessions_of_whom_a_caller_speaks_for_are_within_the_role_s_reach(name: str) -> None:
    role = Role(**TOKENS)
    part = f"sessions/{owner_prefix('111122223333', 'AROAEXAMPLE', 'ada')}/"

    assert all(role.may_do(f"s3:{verb}Object", f"{part}session_1/{name}") for verb in ("Get", "Put", "Delete"))
    assert role.may_list(f"{part}session_1/")


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
@pytest.mark.parametrize("name", ["session.json", "lease.json", "agents/agent_a/messages/message_0.json"])
def test_sessions_are_read_written_and_deleted(action: str, name: str) -> None:
    assert Role().may_do(action, SESSION + name)


@pytest.mark.parametrize("prefix", [SESSION, f"sessions/{OWNER}/", "sessions/"])
def test_sessions_are_listed_below_the_prefix(prefix: str) -> None:
    assert Role().may_list(prefix)


def test_a_missing_session_is_told_apart_from_a_forbidden_one() -> None:
    # S3 answers 404 to whoever may list with the missing key as the prefix, and 403 to everybody else.
    assert Role().may_list(SESSION + "session.json")


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
@pytest.mark.parametrize("key", ["sessions", "sessions2/x", "session/x", "other/sessions/x", "x"])
def test_what_lies_beside_the_prefix_is_out_of_reach(action: str, key: str) -> None:
    assert not Role().may_do(action, key)


@pytest.mark.parametrize("prefix", [None, "", "s", "sessions", "sessions2/", "other/"])
def test_nothing_beside_the_prefix_is_listed(prefix: str | None) -> None:
    assert not Role().may_list(prefix)


def test_another_bucket_is_out_of_reach() -> None:
    role = Role()

    for other in (f"{role.bucket}2", role.bucket[:-1], "arn:aws:s3:::*"):
        assert not role.may("s3:GetObject", f"{other}/{SESSION}session.json")
        assert not role.may("s3:ListBucket", other, s3__prefix=SESSION)


def test_plain_http_is_denied() -> None:
    role = Role()

    assert not role.may("s3:GetObject", f"{role.bucket}/{SESSION}session.json", aws__SecureTransport="false")
    assert not role.may("s3:GetObject", f"{role.bucket}/{SESSION}session.json", s3__TlsVersion="1.1")


@pytest.mark.parametrize(
    "action",
    ["s3:PutBucketPolicy", "s3:PutLifecycleConfiguration", "s3:DeleteBucket", "s3:PutObjectAcl", "s3:GetBucketPolicy"],
)
def test_the_bucket_itself_is_not_the_functions_to_change(action: str) -> None:
    role = Role()

    assert not role.may(action, role.bucket)
    assert not role.may_do(action, SESSION + "session.json")


@pytest.mark.parametrize("versioned", [True, False])
def test_versions_are_listed_and_deleted_where_there_are_some(versioned: bool) -> None:
    role = Role(bucket_versioning=versioned)

    assert role.may_list(SESSION, "s3:ListBucketVersions") is versioned
    assert role.may_do("s3:DeleteObjectVersion", SESSION + "session.json") is versioned
    assert not role.may_list(None, "s3:ListBucketVersions")
    assert not role.may_do("s3:DeleteObjectVersion", "sessions2/x")


def test_the_key_is_used_and_not_administered() -> None:
    role = Role(encryption="kms")

    assert role.may("kms:Decrypt", role.key)
    assert role.may("kms:GenerateDataKey", role.key)
    assert not role.may("kms:ScheduleKeyDeletion", role.key)
    assert not role.may("kms:Decrypt", role.key + "2")


def test_the_global_profile_answers_from_here_and_from_wherever_there_is_capacity() -> None:
    role = Role()

    assert role.may_converse(GLOBAL_PROFILE)
    through = {"bedrock__InferenceProfileArn": GLOBAL_PROFILE}
    assert role.may_converse(f"arn:aws:bedrock:{REGION}::foundation-model/{GLOBAL}", **through)
    assert role.may_converse(
        f"arn:aws:bedrock:::foundation-model/{GLOBAL}", **through, aws__RequestedRegion="unspecified"
    )


def test_the_foundation_model_answers_through_its_profile_only() -> None:
    role = Role()
    here = f"arn:aws:bedrock:{REGION}::foundation-model/{GLOBAL}"

    assert not role.may_converse(here)
    assert not role.may_converse(here, bedrock__InferenceProfileArn=GLOBAL_PROFILE.replace("global.", "eu."))
    assert not role.may_converse(
        f"arn:aws:bedrock:::foundation-model/{GLOBAL}",
        bedrock__InferenceProfileArn=GLOBAL_PROFILE,
        aws__RequestedRegion="us-east-1",
    )


def test_another_model_is_out_of_reach() -> None:
    role = Role()

    assert not role.may_converse(GLOBAL_PROFILE.replace("haiku", "opus"))
    assert not role.may_converse(
        f"arn:aws:bedrock:{REGION}::foundation-model/anthropic.claude-opus-4-5-20251101-v1:0",
        bedrock__InferenceProfileArn=GLOBAL_PROFILE,
    )


def test_a_model_of_another_provider_gives_no_leave_to_use_bedrock() -> None:
    role = Role(agent_model="openai:gpt-5-mini", agent_secrets={"OPENAI_API_KEY": "ssm:/chat/key"})

    assert not role.may_converse(GLOBAL_PROFILE)
    assert role.may("ssm:GetParameter", f"{PARAMETER}chat/key")


GUARDRAIL = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:guardrail/abc123"


@pytest.mark.parametrize("named", ["abc123", GUARDRAIL])
def test_the_one_guardrail_may_be_applied(named: str) -> None:
    assert Role(agent_guardrail_id=named).may("bedrock:ApplyGuardrail", GUARDRAIL)
    assert not Role(agent_guardrail_id=named).may("bedrock:ApplyGuardrail", f"{GUARDRAIL}4")
    assert not Role().may("bedrock:ApplyGuardrail", GUARDRAIL)


def test_a_geographic_profile_reaches_its_regions_and_no_others() -> None:
    role = Role(agent_model="bedrock:eu.amazon.nova-lite-v1:0")
    profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/eu.amazon.nova-lite-v1:0"

    assert role.may_converse(profile)
    for region, reached in (("eu-west-3", True), ("eu-north-1", True), ("us-east-1", False)):
        model = f"arn:aws:bedrock:{region}::foundation-model/amazon.nova-lite-v1:0"
        assert role.may_converse(model, bedrock__InferenceProfileArn=profile) is reached
        assert not role.may_converse(model)


SECRETS = {
    "OPENAI_API_KEY": "secretsmanager:prod/openai",
    "TOKEN": "ssm:/chat/token",
    "FLAT": "ssm:token",
    "ELSEWHERE": "secretsmanager:arn:aws:secretsmanager:us-east-1:999988887777:secret:shared-AbCdEf",
}
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/"


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("secretsmanager:GetSecretValue", f"{SECRET}prod/openai-AbCdEf"),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:999988887777:secret:shared-AbCdEf"),
        ("ssm:GetParameter", f"{PARAMETER}chat/token"),
        ("ssm:GetParameter", f"{PARAMETER}token"),
    ],
)
def test_the_named_secrets_are_read_and_no_others(action: str, resource: str) -> None:
    assert Role(agent_secrets=SECRETS).may(action, resource)
    assert not Role().may(action, resource)
    for other in (f"{resource}2", f"{resource}/x", resource.replace(ACCOUNT, "1" * 12).replace("9999", "8888")):
        assert not Role(agent_secrets=SECRETS).may(action, other)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("secretsmanager:PutSecretValue", f"{SECRET}prod/openai-AbCdEf"),
        ("secretsmanager:GetSecretValue", f"{SECRET}prod/openai"),
        ("secretsmanager:GetSecretValue", f"{SECRET}prod/openai-other-AbCdEf"),
        ("secretsmanager:ListSecrets", "*"),
        ("ssm:PutParameter", f"{PARAMETER}chat/token"),
        ("ssm:GetParametersByPath", f"{PARAMETER}chat"),
    ],
)
def test_the_secrets_are_not_the_functions_to_change_or_to_find(action: str, resource: str) -> None:
    assert not Role(agent_secrets=SECRETS).may(action, resource)


def test_the_function_writes_to_its_own_log_only() -> None:
    role = Role()
    (group,) = [name for name, r in synthesize().resources.items() if r["Type"] == "AWS::Logs::LogGroup"]
    stream = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group.lower()}:log-stream:x"

    assert role.may("logs:PutLogEvents", stream)
    assert role.may("logs:CreateLogStream", stream)
    assert not role.may("logs:PutLogEvents", stream.replace(group.lower(), "other"))
    assert not role.may("logs:CreateLogGroup", stream)


ALIAS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:endpoint:live"


def test_the_function_may_invoke_its_own_alias_and_no_other_function() -> None:
    role = Role()

    assert role.may("lambda:InvokeFunction", ALIAS)
    unqualified = ALIAS.removesuffix(":live")
    for other in (unqualified, f"{unqualified}:7", f"{unqualified}:$LATEST", f"{unqualified}-2:live", f"{ALIAS}2"):
        assert not role.may("lambda:InvokeFunction", other)
    for action in ("lambda:InvokeFunctionUrl", "lambda:InvokeAsync", "lambda:UpdateFunctionCode", "lambda:GetFunction"):
        assert not role.may(action, ALIAS)


CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"stage": "prod", "encryption": "kms", "bucket_versioning": True},
    {"auth": "none", "allow_public": True, "agent_model": "bedrock:us.amazon.nova-lite-v1:0"},
]


@pytest.mark.parametrize("context", CONFIGURATIONS)
def test_no_statement_allows_every_action_or_every_resource(context: dict[str, Any]) -> None:
    template = synthesize(**context)
    allowing = [s for s in _every_statement(template) if s["Effect"] == "Allow"]

    assert allowing
    for statement in allowing:
        assert "NotAction" not in statement
        assert "NotResource" not in statement
        assert not [action for action in _many(statement["Action"]) if "*" in action], statement
        for resource in _many(statement.get("Resource", [])):
            assert resource != "*", statement
            assert not resource.startswith("arn:aws:s3:::*"), statement


def test_the_keys_own_policy_is_the_one_place_with_a_wildcard() -> None:
    # In a key's policy, `*` is that key, and the account's administrators must be able to change it (AWS KMS guide).
    (statement,) = synthesize(encryption="kms").properties("AWS::KMS::Key")["KeyPolicy"]["Statement"]

    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert (statement["Action"], statement["Resource"]) == ("kms:*", "*")


def _every_statement(template: ResolvedTemplate) -> Iterable[dict[str, Any]]:
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::S3::BucketPolicy"):
        for resource in template.of_type(kind):
            yield from resource["Properties"]["PolicyDocument"]["Statement"]
    for role in template.of_type("AWS::IAM::Role"):
        yield from role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert "Policies" not in role["Properties"]


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
