"""Settings: wrong values stop the function at its start and say which and why."""

import os
import re
import subprocess
import sys

import pytest

from lambda_src.settings import Settings, SettingsError, load_settings

STORE = {"SESSION_STORE": "s3://bucket/sessions"}


def test_the_defaults_need_only_a_store() -> None:
    settings = load_settings(STORE)

    assert settings.agent_model.startswith("bedrock:global.anthropic.")
    assert (settings.session_ttl_days, settings.agent_window_messages) == (30, 40)
    assert settings.endpoint_auth == "iam"


def test_every_setting_is_read_from_its_variable() -> None:
    values = {
        "SESSION_STORE": "file:///folder",
        "SESSION_TTL_DAYS": "0.5",
        "ENDPOINT_AUTH": "jwt",
        "JWT_ISSUER": "https://login.example.com/tenant",
        "JWT_AUDIENCES": "one,two",
        "JWT_CLIENT_IDS": "app",
        "JWT_JWKS_URL": "http://localhost:8000/keys",
        "JWT_CONFIGURATION_URL": "http://localhost:8000/configuration",
        "PAGE": "True",
        "PAGE_CLIENT_ID": "app",
        "PAGE_SCOPE": "openid agent/talk",
        "COGNITO_IDENTITY_OWNERS": "False",
        "AGENT_MODEL": "ollama:llama3.2",
        "AGENT_MODEL_URL": "http://localhost:11434",
        "AGENT_MAX_TOKENS": "4096",
        "AGENT_SYSTEM_PROMPT": "Be brief.",
        "ALLOW_UNCONDITIONAL": "True",
        "AGENT_WINDOW_MESSAGES": "6",
        "AGENT_MODEL_ATTEMPTS": "2",
        "AGENT_GUARDRAIL_ID": "abc123",
        "AGENT_GUARDRAIL_VERSION": "7",
        "AGENT_PROMPT_CACHING": "True",
        "AGENT_THINKING_TOKENS": "2048",
        "AGENT_ID": "helper",
        "AGENT_SECRETS": '{"TOKEN": "ssm:/chat/token"}',
        "LEASE_WAIT_SECONDS": "2.5",
        "DEADLINE_MARGIN_SECONDS": "1.5",
        "TRACING": "xray",
        "STAGE": "prod",
        "STREAMING": "False",
        "TURNS_IN_PROCESS": "True",
        "ASYNC_FUNCTION": "agent-endpoint:live",
    }

    settings = load_settings(values)

    read = {name.upper(): value for name, value in settings.model_dump().items()}
    assert {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in read.items()} == values


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"JWT_ISSUER": ""}, "JWT_ISSUER is not set"),
        ({"JWT_AUDIENCES": ""}, "JWT_AUDIENCES and JWT_CLIENT_IDS are not set"),
        ({"ENDPOINT_AUTH": "iam"}, "only ENDPOINT_AUTH=jwt reads them, and it is iam"),
        ({"JWT_ISSUER": "http://login.example.com"}, "JWT_ISSUER='http://login.example.com': must be https://host"),
        ({"JWT_ISSUER": "https://login.example.com?x"}, "JWT_ISSUER"),
        ({"JWT_JWKS_URL": "https://me:pass@login.example.com"}, "JWT_JWKS_URL"),
        ({"JWT_JWKS_URL": "http://127.0.0.1.example.com"}, "JWT_JWKS_URL"),
    ],
)
def test_settings_for_tokens_that_do_not_suffice_are_refused(change: dict[str, str], named: str) -> None:
    tokens = {"ENDPOINT_AUTH": "jwt", "JWT_ISSUER": "https://login.example.com", "JWT_AUDIENCES": "one"}

    assert load_settings({**STORE, **tokens}).jwt_audiences == ("one",)
    with pytest.raises(SettingsError, match=re.escape(named)):
        load_settings({**STORE, **tokens, **change})


def test_an_alias_alone_is_one_of_this_function() -> None:
    settings = load_settings({**STORE, "ASYNC_FUNCTION": ":live", "AWS_LAMBDA_FUNCTION_NAME": "agent-endpoint"})

    assert settings.async_function == "agent-endpoint:live"


def test_only_the_environment_that_is_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_ID", "from-elsewhere")

    assert load_settings(STORE).agent_id == "default"


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("SESSION_STORE", "", "s3://bucket/prefix or file:///absolute/folder"),
        ("SESSION_STORE", "bucket", "s3://bucket/prefix or file:///absolute/folder"),
        ("SESSION_STORE", "s3:///prefix", "s3://bucket/prefix or file:///absolute/folder"),
        ("SESSION_STORE", "file://relative/folder", "s3://bucket/prefix or file:///absolute/folder"),
        ("SESSION_STORE", "https://bucket.s3.amazonaws.com", "s3://bucket/prefix or file:///absolute/folder"),
        ("SESSION_TTL_DAYS", "-1", "0 for sessions that never expire"),
        ("SESSION_TTL_DAYS", "nan", "0 for sessions that never expire"),
        ("SESSION_TTL_DAYS", "a month", "number"),
        ("ENDPOINT_AUTH", "oidc", "'iam', 'jwt', 'local' or 'none'"),
        ("AGENT_MODEL", "claude", "provider:model with a provider of anthropic, bedrock, gemini, litellm, ollama"),
        ("AGENT_MODEL", "bedrock:", "provider:model with a provider of anthropic, bedrock, gemini, litellm, ollama"),
        ("AGENT_MODEL", "acme:model", "provider:model with a provider of anthropic, bedrock, gemini, litellm, ollama"),
        ("AGENT_MODEL_URL", "https://models.example.com", "Bedrock has an address of its own"),
        ("AGENT_MAX_TOKENS", "0", "greater than or equal to 1"),
        ("AGENT_WINDOW_MESSAGES", "1", "greater than or equal to 2"),
        ("AGENT_WINDOW_MESSAGES", "forty", "integer"),
        ("AGENT_MODEL_ATTEMPTS", "0", "greater than or equal to 1"),
        ("AGENT_ID", "a/b", "path separators"),
        ("DEADLINE_MARGIN_SECONDS", "0", "greater than 0"),
        ("AGENT_SECRETS", "TOKEN", "a JSON object of names and places"),
        ("AGENT_SECRETS", "[]", "a JSON object of names and places"),
        ("AGENT_SECRETS", '{"TOKEN": "xyzzy17"}', "TOKEN must be at secretsmanager:<name> or ssm:<name>"),
        ("AGENT_SECRETS", '{"TOKEN": "ssm:"}', "TOKEN must be at secretsmanager:<name> or ssm:<name>"),
    ],
)
def test_a_wrong_value_is_refused_with_its_variable_and_what_is_allowed(
    variable: str, value: str, allowed: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(allowed)) as refused:
        load_settings({**STORE, variable: value})

    assert variable in str(refused.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("models.example.com", "http://host or https://host"),
        ("https://me:pass@models.example.com", "no credentials"),
    ],
)
def test_an_address_of_a_models_api_that_is_none_is_refused(url: str, allowed: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(allowed)):
        load_settings({**STORE, "AGENT_MODEL": "ollama:llama3.2", "AGENT_MODEL_URL": url})


def test_what_may_be_a_secret_put_there_by_mistake_is_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({**STORE, "AGENT_SECRETS": '{"TOKEN": "xyzzy17"}'})

    assert "xyzzy17" not in str(refused.value)


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"AGENT_WINDOW_MESSAGES": "x", "ENDPOINT_AUTH": "y"})

    for variable in ("SESSION_STORE", "AGENT_WINDOW_MESSAGES", "ENDPOINT_AUTH"):
        assert variable in str(refused.value)


def test_a_model_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_src.models.providers.find_spec", lambda name: None)

    with pytest.raises(SettingsError, match=r"AGENT_MODEL='ollama:llama3'.*pip install 'strands-agents\[ollama\]'"):
        load_settings({**STORE, "AGENT_MODEL": "ollama:llama3"})


def start(environment: dict[str, str], code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def test_a_wrong_value_fails_the_start_of_the_function() -> None:
    started = start({"SESSION_STORE": "bucket"}, "import lambda_src.handler")

    assert started.returncode == 1
    assert (
        started.stderr.strip()
        .splitlines()[-1]
        .endswith("SettingsError: SESSION_STORE='bucket': must be s3://bucket/prefix or file:///absolute/folder")
    )


def test_the_start_imports_no_agent_runtime_and_no_aws_client() -> None:
    code = (
        "import sys, lambda_src.handler\n"
        "print(*sorted(name for name in ('strands', 'boto3', 'botocore.session', 'mcp') if name in sys.modules))"
    )

    started = start({"SESSION_STORE": "s3://bucket/sessions"}, code)

    assert started.returncode == 0, started.stderr
    assert started.stdout.strip() == ""
