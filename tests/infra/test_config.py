"""Wrong configuration is refused before anything is deployed, with the key's name and what is allowed."""

import json
from pathlib import Path

import pytest

from infra.commands.config_docs import PAGE, page
from infra.config import ConfigError, KitConfig, load_config
from infra.policies.model_choice import key_of, package_of
from lambda_src.models.providers import PROVIDER_KEYS, PROVIDER_PACKAGES

ROOT = Path(__file__).parents[2]


def test_without_context_the_defaults_hold() -> None:
    config = load_config({})

    assert (config.stage, config.session_ttl_days, config.encryption, config.auth) == ("dev", 30, "s3", "iam")
    assert config.stack_name == "agent-session-kit-dev"


def test_values_from_the_command_line_are_text() -> None:
    config = load_config(
        {"session_ttl_days": "7", "memory_mb": "512", "snap_start": "true", "bucket_versioning": "false"}
    )

    assert (config.session_ttl_days, config.memory_mb) == (7, 512)
    assert config.uses_snap_start
    assert not config.bucket_versioning


def test_an_empty_value_goes_back_to_the_default() -> None:
    assert load_config({"max_concurrency": "", "session_ttl_days": "", "stage": None}) == load_config({})


def test_snap_start_is_on_in_production_only_unless_said_otherwise() -> None:
    assert load_config({"stage": "prod"}).uses_snap_start
    assert not load_config({"stage": "dev"}).uses_snap_start
    assert not load_config({"stage": "prod", "snap_start": "false"}).uses_snap_start


WRONG: dict[str, list[object]] = {
    "stage": ["", "Prod", "1st", "a" * 21, "with space", 7],
    "session_ttl_days": ["-1", "abc", "nan", "inf", 3651, "7 days"],
    "session_ttl_days_before": ["-1", "soon", "inf", 3651],
    "agent_model": [
        "openai:",
        "anthropic: ",
        "acme:gpt-5",
        "ollama:",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "bedrock:",
        "bedrock:claude",
        "bedrock:sa.amazon.nova",
        "bedrock:amazn.nova-lite-v1:0",
        "bedrock:arn:aws:s3:::bucket",
        "bedrock:arn:aws:bedrock:eu-west-1:111122223333:guardrail/abc",
    ],
    "agent_model_url": [
        "models.example.com",
        "ftp://models.example.com",
        "https://",
        "https://me:pass@models.example.com",
        "https://models.example.com/v1?key=1",
    ],
    "agent_max_tokens": [0, "-1", "many", 1_000_001],
    "agent_guardrail_id": ["My Guardrail", "arn:aws:bedrock:eu-west-1:111122223333:prompt/abc", "*"],
    "agent_guardrail_version": ["0", "latest", "draft", "-1"],
    "agent_prompt_caching": ["perhaps"],
    "agent_thinking_tokens": ["1023", "64001", "some"],
    "agent_system_prompt": ["ä" * 1501],
    "agent_window_messages": ["1", "10001", "ten", "2.5"],
    "agent_environment": [
        "TABLE=orders",
        "[]",
        ["TABLE"],
        {"TABLE": 5},
        {"1ST": "x"},
        {"A-B": "x"},
        {"X": "one character"},
        {"AWS_PROFILE": "x"},
        {"aws_region": "x"},
        {"SESSION_STORE": "x"},
        {"agent_model": "x"},
        {"POWERTOOLS_LOG_LEVEL": "DEBUG"},
        {"LAMBDA_TASK_ROOT": "x"},
        {"PYTHONPATH": "x"},
    ],
    "agent_secrets": [
        "TOKEN",
        ["TOKEN"],
        {"TOKEN": "xyzzy17"},
        {"TOKEN": "secretsmanager:"},
        {"TOKEN": "vault:token"},
        {"TOKEN": "ssm:/chat/*"},
        {"TOKEN": "secretsmanager:prod/*"},
        {"TOKEN": "ssm:/chat//token"},
        {"TOKEN": "ssm:arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/openai-AbCdEf"},
        {"TOKEN": "secretsmanager:arn:aws:secretsmanager:eu-west-1:111122223333:secret:*"},
        {"AWS_TOKEN": "ssm:/chat/token"},
    ],
    "agent_policy_wildcards": ["perhaps", "*"],
    "encryption": ["none", "KMS", "aws:kms"],
    "bucket_versioning": ["maybe", "2"],
    "jwt_issuer": [
        "login.example.com",
        "http://login.example.com",
        "https://me:pass@login.example.com",
        "https://a/?b",
    ],
    "jwt_audiences": ["a b", "a,,b", ["a b"], [7], {"a": 1}],
    "jwt_client_ids": ["a b", [""]],
    "jwt_jwks_url": ["ftp://login.example.com", "https://"],
    "page": ["perhaps", "2"],
    "page_client_id": ["a b", "é"],
    "page_scope": ["openid  email", 'open"id', " openid"],
    "cors_origins": [
        "*",
        "https://*.example.com",
        "app.example.com",
        "https://App.example.com",
        "https://app.example.com/",
        "https://app.example.com:443",
        "http://app.example.com:80",
        ["https://app.example.com/page"],
        "null",
        ",".join(f"https://{number}.example.com" for number in range(101)),
    ],
    "auth": ["cognito", "NONE", "IAM "],
    "allow_public": ["perhaps"],
    "python_version": ["3.11", "3.9", 3.13, "python3.13"],
    "architecture": ["arm", "amd64", "aarch64"],
    "memory_mb": ["128", "10241", "1GB"],
    "timeout_seconds": ["9", "901", "2m"],
    "lease_wait_seconds": ["-1", "61", "nan", "soon"],
    "deadline_margin_seconds": ["0", "-1", "61", "inf", "5s"],
    "cognito_identity_owners": ["perhaps"],
    "streaming": ["maybe", "2", "RESPONSE_STREAM"],
    "alarms": ["maybe", "2"],
    "tracing": ["on", "true", "x-ray"],
    "dashboard": ["maybe", "2"],
    "usd_per_million_input_tokens": ["-1", "free", "inf"],
    "usd_per_million_output_tokens": ["-1", "free", "inf"],
    "alarm_email": ["nobody", "two@example.com, three@example.com"],
    "alarm_topic_arn": ["operators", "arn:aws:sqs:eu-west-1:111122223333:queue"],
    "log_retention_days": ["0", "2", "31", "forever"],
    "max_concurrency": ["0", "-1", "all"],
    "snap_start": ["sometimes"],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values if value != ""]
)
def test_a_wrong_value_is_refused_with_its_key_and_what_is_allowed(key: str, value: object) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config({key: value})

    (_, line) = str(refusal.value).splitlines()
    assert line.strip().startswith(
        f"{key}: " if key in {"agent_environment", "agent_secrets"} else f"{key}={value!r}: "
    )
    extra = KitConfig.model_fields[key].json_schema_extra
    assert isinstance(extra, dict)
    assert line.endswith(f"allowed: {extra['allowed']}")


@pytest.mark.parametrize("given", [{"TOKEN": "xyzzy17"}, {"TOKEN": "ssm:xyzzy17*"}, "xyzzy17"])
def test_what_may_be_a_secret_put_there_by_mistake_is_not_shown(given: object) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config({"agent_secrets": given})

    assert "xyzzy17" not in str(refusal.value)


def test_a_refused_name_of_the_agents_own_is_named_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="SESSION_STORE is a setting of the kit"):
        load_config({"agent_environment": {"SESSION_STORE": "x"}})
    with pytest.raises(ConfigError, match="TOKEN does not say where the secret is kept"):
        load_config({"agent_secrets": {"TOKEN": "xyzzy17"}})


TOKENS = {"auth": "jwt", "jwt_issuer": "https://login.example.com/tenant/"}


def test_lists_come_as_lists_or_with_commas() -> None:
    listed = load_config({**TOKENS, "jwt_audiences": ["one", "two"], "cors_origins": ["https://app.example.com"]})
    with_commas = load_config({**TOKENS, "jwt_audiences": "one, two", "cors_origins": "https://app.example.com"})

    assert listed == with_commas
    assert listed.jwt_audiences == ("one", "two")


@pytest.mark.parametrize(
    ("context", "wrong"),
    [
        ({"auth": "jwt", "jwt_audiences": "a"}, "jwt_issuer: "),
        (TOKENS, "jwt_audiences: "),
        ({**TOKENS, "auth": "iam"}, "jwt_issuer, "),
        ({"jwt_client_ids": "a"}, "jwt_issuer, "),
        ({"jwt_jwks_url": "https://login.example.com/keys"}, "jwt_issuer, "),
        ({**TOKENS, "jwt_client_ids": "a", "allow_public": "true"}, "auth: "),
        ({"page": "true", "page_client_id": "a"}, "page: "),
        ({"page": "true", "page_client_id": "a", "auth": "none", "allow_public": "true"}, "page: "),
        ({**TOKENS, "jwt_client_ids": "a", "page": "true"}, "page_client_id: with"),
        ({**TOKENS, "jwt_client_ids": "a", "page": "true", "page_client_id": "b"}, "page_client_id: it has"),
        ({**TOKENS, "jwt_client_ids": "a", "page_client_id": "a"}, "page_client_id, page_scope: "),
        ({**TOKENS, "jwt_client_ids": "a", "page_scope": "openid"}, "page_client_id, page_scope: "),
        ({**TOKENS, "jwt_client_ids": "a", "cognito_identity_owners": "false"}, "cognito_identity_owners: "),
    ],
)
def test_settings_on_callers_that_do_not_fit_are_refused(context: dict[str, object], wrong: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config(context)

    (_, line) = str(refusal.value).splitlines()
    assert line.strip().startswith(wrong)


def test_what_is_a_secret_stands_in_no_environment() -> None:
    with pytest.raises(ConfigError, match="agent_environment: TOKEN is in `agent_secrets`"):
        load_config({"agent_environment": {"TOKEN": "x"}, "agent_secrets": {"TOKEN": "ssm:/chat/token"}})


def test_what_would_not_fit_the_functions_environment_is_refused() -> None:
    with pytest.raises(ConfigError, match="agent_environment: 3003 bytes together with"):
        load_config({"agent_environment": {"TABLE": "x" * 1998}, "agent_system_prompt": "y" * 1000})


def test_every_key_has_wrong_values_in_this_test() -> None:
    assert set(WRONG) == set(KitConfig.model_fields)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("session_ttl_day", "session_ttl_days"),
        ("sessionTtlDays", "session_ttl_days"),
        ("session-ttl-days", "session_ttl_days"),
        ("Stage", "stage"),
        ("memory", "memory_mb"),
        ("snapstart", "snap_start"),
    ],
)
def test_a_mistyped_key_is_refused_with_the_one_that_was_meant(key: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: no such key; did you mean `{meant}`\?"):
        load_config({key: "7"})


def test_an_unknown_key_is_refused_with_the_list_of_keys() -> None:
    with pytest.raises(ConfigError, match="zzz: no such key; the keys are: auth, jwt_issuer, "):
        load_config({"zzz": 1})


def test_keys_of_the_cdk_itself_are_none_of_ours() -> None:
    context = {
        "aws:cdk:bundling-stacks": [],
        "@aws-cdk/core:target-partitions": ["aws"],
        "availability-zones:account=1:region=eu-west-1": ["a"],
        "acknowledged-issue-numbers": [1],
    }

    assert load_config(context) == load_config({})


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config({"memory_mb": 1, "timeout_seconds": 1, "ttl": 1})

    assert [line.split("=")[0].split(":")[0].strip() for line in str(refusal.value).splitlines()[1:]] == [
        "ttl",
        "memory_mb",
        "timeout_seconds",
    ]


@pytest.mark.parametrize(
    "context", [{"auth": "none"}, {"allow_public": True}, {"auth": "none", "allow_public": "false"}]
)
def test_a_public_endpoint_needs_two_keys_that_agree(context: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="`auth=none` and `allow_public=true` go together"):
        load_config(context)


@pytest.mark.parametrize(("model", "key"), [(f"{provider}:m", key) for provider, key in PROVIDER_KEYS.items()])
def test_a_model_of_another_provider_needs_its_key(model: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"agent_model='{model}': its provider needs a key; name {key} in"):
        load_config({"agent_model": model})

    assert load_config({"agent_model": model, "agent_secrets": {key: "ssm:/chat/key"}}).agent_model == model


def test_a_model_of_ollama_needs_an_address_and_no_key() -> None:
    with pytest.raises(ConfigError, match=r"agent_model='ollama:llama3': .* name it in `agent_model_url`"):
        load_config({"agent_model": "ollama:llama3"})

    load_config({"agent_model": "ollama:llama3", "agent_model_url": "https://ollama.example.com"})


def test_bedrock_has_its_own_address() -> None:
    with pytest.raises(ConfigError, match="agent_model_url: Bedrock has an address of its own"):
        load_config({"agent_model_url": "https://models.example.com"}).with_default_model(None)


def test_thinking_is_a_part_of_the_answer() -> None:
    with pytest.raises(ConfigError, match=r"agent_thinking_tokens=2048: .* less than `agent_max_tokens` \(2048\)"):
        load_config({"agent_thinking_tokens": 2048, "agent_max_tokens": 2048}).with_default_model(None)

    load_config({"agent_thinking_tokens": 2048, "agent_max_tokens": "4096"}).with_default_model(None)


@pytest.mark.parametrize(
    ("key", "value"),
    [("agent_guardrail_id", "abc123"), ("agent_prompt_caching", "true"), ("agent_thinking_tokens", "2048")],
)
def test_what_only_bedrock_has_is_refused_with_another_provider(key: str, value: str) -> None:
    other = {"agent_model": "openai:gpt-5", "agent_secrets": {"OPENAI_API_KEY": "ssm:/chat/key"}}

    with pytest.raises(ConfigError, match=rf"{key}: only models on Bedrock have it, and `agent_model` is 'openai:"):
        load_config({**other, key: value})

    load_config({key: value}).with_default_model(None)


def test_only_anthropics_models_think() -> None:
    with pytest.raises(ConfigError, match="agent_thinking_tokens: only Anthropic's models have it"):
        load_config({"agent_thinking_tokens": 2048, "agent_model": "bedrock:amazon.nova-lite-v1:0"})


def test_the_deployments_keys_are_those_that_the_function_asks_for() -> None:
    assert {provider: key_of(f"{provider}:m") for provider in PROVIDER_KEYS} == PROVIDER_KEYS
    for provider, module in PROVIDER_PACKAGES.items():
        lock = ROOT / "requirements" / f"endpoint-{package_of(f'{provider}:m')}.txt"
        assert f"\n{module.replace('.', '-')}==" in lock.read_text()


@pytest.mark.parametrize(
    "context",
    [{"timeout_seconds": 10, "deadline_margin_seconds": 5.5}, {"timeout_seconds": 119, "deadline_margin_seconds": 60}],
)
def test_a_margin_that_would_leave_no_time_for_a_turn_is_refused(context: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_config(context)

    (_, line) = str(refusal.value).splitlines()
    margin, timeout = context["deadline_margin_seconds"], context["timeout_seconds"]
    assert line.strip().startswith(f"deadline_margin_seconds={margin}: ")
    assert f"half of `timeout_seconds` ({timeout})" in line


def test_the_shortest_timeout_goes_with_the_margin_that_is_the_default() -> None:
    assert load_config({"timeout_seconds": 10}).deadline_margin_seconds == 5


def test_the_documented_table_is_the_one_the_code_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make config-docs`"


def test_what_cdk_json_sets_are_the_defaults() -> None:
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]

    assert load_config(context) == load_config({})


def test_the_default_model_is_named_in_one_place() -> None:
    named = [
        path.relative_to(ROOT).as_posix()
        for folder in ("infra", "lambda_src", "layer", "local", "cdk.json")
        for path in ([ROOT / folder] if (ROOT / folder).is_file() else (ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix in {".py", ".json", ".txt"}
        if load_config({}).agent_model in path.read_text(encoding="utf-8")
    ]

    assert named == ["lambda_src/agent/model.txt"]
