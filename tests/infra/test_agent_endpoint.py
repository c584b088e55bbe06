"""The function, its URL and who may call it."""

import json
from typing import Any

import pytest

from infra.agent_values import check_name, kit_names
from infra.config import load_config
from lambda_src.settings import Settings, load_settings
from lambda_src.turn_resource.turn_ids import BEGUN_WITHIN_SECONDS
from tests.infra.policy_evaluator import Decision, decide
from tests.infra.synthesis import ResolvedTemplate, synthesize


def function(template: ResolvedTemplate) -> dict[str, Any]:
    return template.properties("AWS::Lambda::Function")


def test_the_function_is_as_configured() -> None:
    properties = function(synthesize(memory_mb=2048, timeout_seconds=300, max_concurrency=5))

    assert (properties["MemorySize"], properties["Timeout"]) == (2048, 300)
    assert properties["ReservedConcurrentExecutions"] == 5
    assert properties["Handler"] == "lambda_src.handler.lambda_handler"


def test_concurrency_is_not_reserved_unless_asked_for() -> None:
    assert "ReservedConcurrentExecutions" not in function(synthesize())


def test_the_function_reads_the_settings_it_is_given() -> None:
    template = synthesize(
        session_ttl_days=7.5,
        agent_model="bedrock:amazon.nova-lite-v1:0",
        agent_window_messages=12,
        agent_system_prompt="Answer in verse.",
        lease_wait_seconds=2.5,
        deadline_margin_seconds=8,
    )

    settings = load_settings(function(template)["Environment"]["Variables"])

    assert settings.session_store == f"s3://{template.outputs['BucketName']}/sessions"
    assert settings.session_ttl_days == 7.5
    assert settings.agent_model == "bedrock:amazon.nova-lite-v1:0"
    assert settings.agent_window_messages == 12
    assert settings.agent_system_prompt == "Answer in verse."
    assert settings.endpoint_auth == "iam"
    assert (settings.lease_wait_seconds, settings.deadline_margin_seconds) == (2.5, 8)


def test_the_functions_environment_has_the_agents_own_variables_and_only_the_places_of_its_secrets() -> None:
    template = synthesize(
        agent_environment={"ORDERS_TABLE": "orders"}, agent_secrets='{"OPENAI_API_KEY": "secretsmanager:prod/openai"}'
    )

    environment = function(template)["Environment"]["Variables"]

    assert environment["ORDERS_TABLE"] == "orders"
    assert json.loads(load_settings(environment).agent_secrets) == {"OPENAI_API_KEY": "secretsmanager:prod/openai"}
    assert "OPENAI_API_KEY" not in environment
    assert "AGENT_SECRETS" not in function(synthesize())["Environment"]["Variables"]


def test_what_bedrock_offers_beside_the_model_reaches_the_function() -> None:
    template = synthesize(
        agent_guardrail_id="abc123", agent_guardrail_version="7", agent_prompt_caching=True, agent_thinking_tokens=2048
    )

    settings = load_settings(function(template)["Environment"]["Variables"])

    assert (settings.agent_guardrail_id, settings.agent_guardrail_version) == ("abc123", "7")
    assert (settings.agent_prompt_caching, settings.agent_thinking_tokens) == (True, 2048)
    plain = load_settings(function(synthesize())["Environment"]["Variables"])
    assert (plain.agent_guardrail_id, plain.agent_prompt_caching, plain.agent_thinking_tokens) == (None, False, None)


def test_where_the_model_is_and_how_much_it_may_say_reach_the_function() -> None:
    template = synthesize(
        agent_model="ollama:llama3.2", agent_model_url="https://ollama.example.com", agent_max_tokens="4096"
    )

    settings = load_settings(function(template)["Environment"]["Variables"])

    assert (settings.agent_model, settings.agent_model_url) == ("ollama:llama3.2", "https://ollama.example.com")
    assert settings.agent_max_tokens == 4096
    plain = load_settings(function(synthesize())["Environment"]["Variables"])
    assert (plain.agent_model_url, plain.agent_max_tokens) == (None, None)


def test_no_name_of_the_functions_own_environment_can_be_chosen_for_the_agent() -> None:
    for name in function(synthesize(agent_system_prompt="Hi"))["Environment"]["Variables"]:
        with pytest.raises(ValueError, match=name):
            check_name(name)


def test_what_the_deployment_keeps_for_the_kit_are_the_functions_settings() -> None:
    assert kit_names() == {name.upper() for name in Settings.model_fields}


def test_defaults_of_the_deployment_and_of_the_function_agree() -> None:
    settings = load_settings({"SESSION_STORE": "s3://b/sessions"})
    config = load_config({})

    assert settings.session_ttl_days == config.session_ttl_days
    assert settings.agent_model == config.agent_model
    assert settings.agent_window_messages == config.agent_window_messages
    assert settings.endpoint_auth == config.auth
    assert load_settings(function(synthesize())["Environment"]["Variables"]).agent_system_prompt is None
    assert settings.lease_wait_seconds == config.lease_wait_seconds
    assert settings.deadline_margin_seconds == config.deadline_margin_seconds
    assert settings.streaming is config.streaming is True


@pytest.mark.parametrize(("streaming", "mode"), [(True, "RESPONSE_STREAM"), (False, "BUFFERED"), ("false", "BUFFERED")])
def test_the_urls_mode_and_the_functions_transport_are_set_together(streaming: bool | str, mode: str) -> None:
    template = synthesize(streaming=streaming)

    assert template.properties("AWS::Lambda::Url")["InvokeMode"] == mode
    settings = load_settings(function(template)["Environment"]["Variables"])
    assert settings.streaming is (mode == "RESPONSE_STREAM")


def test_a_turn_without_a_caller_goes_to_the_alias_that_the_url_has() -> None:
    template = synthesize()
    environment = {**function(template)["Environment"]["Variables"], "AWS_LAMBDA_FUNCTION_NAME": "endpoint"}

    settings = load_settings(environment)

    assert settings.async_function == f"endpoint:{template.properties('AWS::Lambda::Alias')['Name']}"


def test_an_event_for_such_a_turn_has_time_for_all_its_attempts_and_is_dropped_then() -> None:
    config = synthesize(timeout_seconds=900).properties("AWS::Lambda::EventInvokeConfig")

    assert config["Qualifier"] == "live"
    assert config["MaximumRetryAttempts"] == 2
    # Lambda waits one minute before the second attempt and two before the third.
    assert config["MaximumEventAgeInSeconds"] >= 2 * 900 + 3 * 60
    # Only then may the function say of it that it will never begin.
    assert config["MaximumEventAgeInSeconds"] < BEGUN_WITHIN_SECONDS


@pytest.mark.parametrize(("key", "values"), [("lease_wait_seconds", (0, 60)), ("deadline_margin_seconds", (0.5, 60))])
def test_what_the_deployment_lets_through_the_function_accepts(key: str, values: tuple[float, float]) -> None:
    for value in values:
        configuration: dict[str, Any] = {"timeout_seconds": 900, key: value}
        environment = function(synthesize(**configuration))["Environment"]["Variables"]

        assert getattr(load_settings(environment), key) == value


def test_the_log_is_the_functions_own_and_is_not_kept_for_ever() -> None:
    template = synthesize(log_retention_days=90)

    (log_group,) = [name for name, r in template.resources.items() if r["Type"] == "AWS::Logs::LogGroup"]
    assert function(template)["LoggingConfig"]["LogGroup"] == log_group.lower()
    assert template.properties("AWS::Logs::LogGroup")["RetentionInDays"] == 90


def test_the_role_has_no_managed_policy_and_is_assumed_by_lambda_only() -> None:
    role = synthesize().properties("AWS::IAM::Role")

    assert "ManagedPolicyArns" not in role
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_the_url_belongs_to_an_alias_of_a_published_version_and_asks_for_a_signature() -> None:
    template = synthesize()

    url = template.properties("AWS::Lambda::Url")
    alias = template.properties("AWS::Lambda::Alias")
    assert url["AuthType"] == "AWS_IAM"
    assert url["Qualifier"] == alias["Name"] == "live"
    (version,) = [name for name, r in template.resources.items() if r["Type"] == "AWS::Lambda::Version"]
    assert alias["FunctionVersion"] == f"{version.lower()}.Version"
    assert template.of_type("AWS::Lambda::Permission") == []


def test_a_public_url_is_open_but_the_function_is_not() -> None:
    template = synthesize(auth="none", allow_public=True)

    assert template.properties("AWS::Lambda::Url")["AuthType"] == "NONE"
    permissions = {p["Properties"]["Action"]: p["Properties"] for p in template.of_type("AWS::Lambda::Permission")}
    assert permissions["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert permissions["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True
    assert function(template)["Environment"]["Variables"]["ENDPOINT_AUTH"] == "none"


TOKENS = {"auth": "jwt", "jwt_issuer": "https://login.example.com/tenant", "jwt_client_ids": "web,app"}


def test_with_tokens_the_url_is_open_and_the_function_knows_whose_tokens_it_takes() -> None:
    template = synthesize(**TOKENS)

    assert template.properties("AWS::Lambda::Url")["AuthType"] == "NONE"
    permissions = {p["Properties"]["Action"]: p["Properties"] for p in template.of_type("AWS::Lambda::Permission")}
    assert permissions["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True
    variables = function(template)["Environment"]["Variables"]
    settings = load_settings({**variables, "SESSION_STORE": "s3://bucket"})
    assert (settings.endpoint_auth, settings.jwt_issuer) == ("jwt", "https://login.example.com/tenant")
    assert settings.jwt_client_ids == ("web", "app")


def test_the_page_is_there_when_it_is_switched_on_and_the_outputs_say_where() -> None:
    without, with_page = synthesize(**TOKENS), synthesize(**TOKENS, page="true", page_client_id="web")
    variables = function(with_page)["Environment"]["Variables"]
    settings = load_settings({**variables, "SESSION_STORE": "s3://bucket"})

    assert (settings.page, settings.page_client_id, settings.page_scope) == (True, "web", "openid")
    assert with_page.outputs["PageUrl"] == with_page.outputs["EndpointUrl"]
    assert "PageUrl" not in without.outputs
    assert not {"PAGE", "PAGE_CLIENT_ID", "PAGE_SCOPE"} & set(function(without)["Environment"]["Variables"])


def test_no_page_may_call_unless_its_origin_is_named() -> None:
    assert "Cors" not in synthesize().properties("AWS::Lambda::Url")
    cors = synthesize(cors_origins=["https://app.example.com"]).properties("AWS::Lambda::Url")["Cors"]

    assert cors["AllowOrigins"] == ["https://app.example.com"]
    assert cors["AllowCredentials"] is False
    assert cors["AllowMethods"] == ["GET", "POST", "PATCH", "DELETE"]
    assert {"authorization", "content-type", "idempotency-key", "last-event-id", "prefer"} <= set(cors["AllowHeaders"])
    assert {"Retry-After", "Location", "Idempotency-Key"} <= set(cors["ExposeHeaders"])


@pytest.mark.parametrize(("stage", "snap_start"), [("prod", True), ("dev", False)])
def test_snap_start_is_for_production(stage: str, snap_start: bool) -> None:
    properties = function(synthesize(stage=stage))

    assert properties.get("SnapStart") == ({"ApplyOn": "PublishedVersions"} if snap_start else None)


def test_an_old_version_stays_unless_it_costs() -> None:
    assert synthesize().only("AWS::Lambda::Version")["UpdateReplacePolicy"] == "Retain"
    assert synthesize(stage="prod").only("AWS::Lambda::Version").get("UpdateReplacePolicy", "Delete") == "Delete"


@pytest.mark.parametrize(
    ("action", "context", "decision"),
    [
        ("lambda:InvokeFunctionUrl", {"lambda:FunctionUrlAuthType": "AWS_IAM"}, Decision.ALLOWED),
        ("lambda:InvokeFunction", {"lambda:InvokedViaFunctionUrl": "true"}, Decision.ALLOWED),
        ("lambda:InvokeFunction", {"lambda:InvokedViaFunctionUrl": "false"}, Decision.NOT_ALLOWED),
        ("lambda:InvokeFunction", {}, Decision.NOT_ALLOWED),
        ("lambda:UpdateFunctionCode", {}, Decision.NOT_ALLOWED),
    ],
)
def test_a_caller_gets_through_the_url_and_not_past_it(
    action: str, context: dict[str, str], decision: Decision
) -> None:
    policy = synthesize().properties("AWS::IAM::ManagedPolicy")["PolicyDocument"]["Statement"]
    alias = "arn:aws:lambda:eu-central-1:111122223333:function:endpoint:live"

    assert decide(policy, action, alias, context) is decision
    assert decide(policy, action, alias.replace("endpoint", "other"), context) is not Decision.ALLOWED
