"""All settings of the endpoint, read once from the environment. A wrong one is refused at start."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from agent_sessions.identifiers import check_identifier
from agent_sessions.store_url import parse_store_url, shown
from lambda_src.models.providers import MODEL_PROVIDERS, is_installed
from lambda_src.secrets import secret_places

# The CDK app reads the same file.
DEFAULT_MODEL = Path(__file__).with_name("agent").joinpath("model.txt").read_text(encoding="utf-8").strip()

_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")


_HTTPS = re.compile(
    r"(https://[^\s/@?#]+|http://(localhost|127\.0\.0\.1|[a-z0-9-]+\.localhost)(:[0-9]+)?)(/[^\s?#]*)?", re.ASCII
)


class SettingsError(ValueError):
    """The environment holds a value the endpoint cannot run with; the message names each variable."""


def _store_url(value: str) -> str:
    parse_store_url(value)
    return value


def _model(value: str) -> str:
    provider, separator, model_id = value.partition(":")
    if not separator or not model_id.strip() or provider not in MODEL_PROVIDERS:
        raise ValueError(f"must be provider:model with a provider of {', '.join(sorted(MODEL_PROVIDERS))}")
    if not is_installed(provider):
        raise ValueError(f"needs a package that is not installed: pip install 'strands-agents[{provider}]'")
    return value


def _days(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise ValueError("must be a number of days, or 0 for sessions that never expire")
    return value


def _address(value: str, info: ValidationInfo) -> str:
    if str(info.data.get("agent_model", "")).startswith("bedrock:"):
        raise ValueError("is for other providers: Bedrock has an address of its own, AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
    if not _ADDRESS.fullmatch(value):
        raise ValueError("must be http://host or https://host, with or without a port and a path, and no credentials")
    return value


def _secrets(value: str) -> str:
    secret_places(value)
    return value


def _https(value: str | None) -> str | None:
    if value is not None and not _HTTPS.fullmatch(value):
        raise ValueError(
            "must be https://host, with or without a port and a path; http only on this machine (localhost, 127.0.0.1)"
        )
    return value


def _names(value: object) -> object:
    return tuple(re.split(r"[\s,]+", value.strip(", "))) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Settings(BaseModel):
    """The endpoint's settings; each is read from the environment variable of the same name in capitals."""

    model_config = ConfigDict(frozen=True)

    session_store: Annotated[str, AfterValidator(_store_url)] = Field(
        description="Where sessions live: s3://bucket/prefix or file:///absolute/folder."
    )
    allow_unconditional: bool = Field(
        default=False,
        description="Whether to write to a store that is like S3 and keeps no conditional writes, where two turns at "
        "once can lose each other's messages.",
    )
    session_ttl_days: Annotated[float, AfterValidator(_days)] = Field(
        default=30, description="Days after its last use at which a session expires; 0 keeps sessions for ever."
    )
    endpoint_auth: Literal["iam", "jwt", "local", "none"] = Field(
        default="iam",
        description="Who may call: iam (owners are IAM principals), jwt (owners are the subjects of an issuer's "
        "tokens), local (this machine, one owner), none (a public endpoint whose callers share one owner).",
    )
    jwt_issuer: Annotated[str | None, AfterValidator(_https)] = Field(
        default=None, description="With jwt: the issuer of tokens, exactly as their iss names it."
    )
    jwt_audiences: Names = Field(
        default=(), description="With jwt: one of these has to be in a token's aud; several are separated by commas."
    )
    jwt_client_ids: Names = Field(
        default=(), description="With jwt: one of these has to be a token's client_id; several are separated by commas."
    )
    jwt_jwks_url: Annotated[str | None, AfterValidator(_https)] = Field(
        default=None, description="With jwt: where the issuer's keys are, if not where its OpenID configuration says."
    )
    jwt_configuration_url: Annotated[str | None, AfterValidator(_https)] = Field(
        default=None, description="With jwt: where the issuer's OpenID configuration is, if not below jwt_issuer."
    )
    page: bool = Field(
        default=False, description="Whether GET / is the chat page: with jwt, where people sign in there, or local."
    )
    page_client_id: str | None = Field(
        default=None, description="With jwt and the page: the public client, by which the issuer knows the page."
    )
    page_scope: str = Field(
        default="openid", min_length=1, description="With jwt and the page: what the page asks the issuer for."
    )
    cognito_identity_owners: bool = Field(
        default=True,
        description="Whether a caller that came through an identity pool is an owner of its own. Otherwise all users "
        "of the pool's role are one owner.",
    )
    agent_model: Annotated[str, AfterValidator(_model)] = Field(
        default=DEFAULT_MODEL, description="provider:model of the default agent."
    )
    agent_model_url: Annotated[str | None, AfterValidator(_address)] = Field(
        default=None,
        description="Where the API of another provider than Bedrock is, instead of the provider's own address.",
    )
    agent_max_tokens: int | None = Field(
        default=None, ge=1, description="How many tokens an answer of the model may have; unset: as many as it can."
    )
    agent_system_prompt: str | None = Field(
        default=None, description="System prompt of the default agent instead of lambda_src/agent/prompt.md."
    )
    agent_window_messages: int = Field(
        default=40, ge=2, le=10_000, description="Messages of the conversation that the model is shown."
    )
    agent_model_attempts: int = Field(
        default=3, ge=1, le=10, description="How often one call of the model is tried before the turn fails."
    )
    agent_guardrail_id: str | None = Field(
        default=None, description="The guardrail of Amazon Bedrock, id or ARN, that judges what is asked and answered."
    )
    agent_guardrail_version: str = Field(default="DRAFT", description="The guardrail's version: a number, or DRAFT.")
    agent_prompt_caching: bool = Field(
        default=False, description="Whether Bedrock keeps what it was shown for minutes, and reads it at a lower price."
    )
    agent_thinking_tokens: int | None = Field(
        default=None, ge=1024, description="How many tokens a Claude model on Bedrock may think before it answers."
    )
    agent_id: Annotated[str, AfterValidator(lambda value: check_identifier("agent", value))] = Field(
        default="default", description="The agent a request speaks to when it names none."
    )
    agent_secrets: Annotated[str, AfterValidator(_secrets)] = Field(
        default="{}",
        description='Where the secrets of the agent are: {"NAME": "secretsmanager:<name>", "OTHER": "ssm:<name>"}. '
        "A secret that is not named here is the environment variable of its name.",
    )
    lease_wait_seconds: float = Field(
        default=5,
        ge=0,
        le=60,
        description="How long a request waits for another one that is using its session, in seconds.",
    )
    deadline_margin_seconds: float = Field(
        default=5,
        gt=0,
        le=60,
        description="How long before the function's own timeout a turn is cancelled, in seconds.",
    )
    tracing: Literal["off", "xray"] = Field(
        default="off", description="xray: AWS X-Ray is told of each turn, with session and turn as annotations."
    )
    stage: str = Field(default="local", min_length=1, description="Of the deployment: a dimension of its metrics.")
    streaming: bool = Field(
        default=True,
        description="Whether whatever carries the answers can carry them in pieces. Where it cannot, "
        "Accept: text/event-stream is answered 406, unless JSON is acceptable too.",
    )
    turns_in_process: bool = Field(
        default=False,
        description="Whether this process goes on after its answer, so that it can take turns without a caller itself: "
        "on this machine only, and with ENDPOINT_AUTH=local anyway.",
    )
    async_function: str | None = Field(
        default=None,
        description="The function, name:alias, that takes turns without a caller (Prefer: respond-async); :alias is "
        "one of this function's. Without one a turn is taken in this process, which is for this machine only.",
    )

    @model_validator(mode="after")
    def _tokens_can_be_judged(self) -> "Settings":
        if self.endpoint_auth == "jwt":
            if self.jwt_issuer is None:
                raise ValueError("JWT_ISSUER is not set: with ENDPOINT_AUTH=jwt it says whose tokens are taken")
            if not self.jwt_audiences and not self.jwt_client_ids:
                raise ValueError(
                    "JWT_AUDIENCES and JWT_CLIENT_IDS are not set: with ENDPOINT_AUTH=jwt one of them says which of "
                    "the issuer's tokens are for this endpoint"
                )
        elif (
            self.jwt_issuer
            or self.jwt_audiences
            or self.jwt_client_ids
            or self.jwt_jwks_url
            or self.jwt_configuration_url
        ):
            raise ValueError(f"JWT_...: only ENDPOINT_AUTH=jwt reads them, and it is {self.endpoint_auth}")
        return self

    @model_validator(mode="after")
    def _page_has_people(self) -> "Settings":
        if self.page and self.endpoint_auth not in {"jwt", "local"}:
            raise ValueError(
                "PAGE=true: the page needs ENDPOINT_AUTH=jwt, where people sign in, or local; it is "
                f"{self.endpoint_auth}"
            )
        if self.page and self.endpoint_auth == "jwt" and not self.page_client_id:
            raise ValueError("PAGE_CLIENT_ID is not set: with PAGE=true it says as which client people sign in there")
        return self

    def for_agent(self, agent_id: str | None) -> "Settings":
        """The same settings for the agent that a request names; without a name, the default agent."""
        return self if agent_id is None else self.model_copy(update={"agent_id": agent_id})


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings.

    Args:
        environment: Variables to read instead of the process's own.

    Raises:
        SettingsError: Names every variable that is missing or wrong, its value, and what is allowed.
    """
    values = os.environ if environment is None else environment
    # An empty variable counts as not set: deployment tools cannot always leave one out.
    present = {name: values[name.upper()] for name in Settings.model_fields if values.get(name.upper())}
    if present.get("async_function", "").startswith(":"):
        # A template cannot name a function in its own environment; Lambda does.
        present["async_function"] = values.get("AWS_LAMBDA_FUNCTION_NAME", "") + present["async_function"]
    try:
        return Settings.model_validate(present)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(detail, present) for detail in error.errors())) from None


def _explain(detail: Mapping[str, object], present: Mapping[str, str]) -> str:
    location = detail["loc"]
    name = str(location[0]) if isinstance(location, tuple) and location else ""
    if detail["type"] == "missing":
        return f"{name.upper()} is not set: {Settings.model_fields[name].description}"
    reason = str(detail["msg"]).removeprefix("Value error, ")
    if not name:
        return reason  # about several variables together; it names them
    given = present.get(name, "")
    if name == "agent_secrets":  # somebody may have put a secret there instead of its place
        return f"{name.upper()}: {reason}"
    return f"{name.upper()}={(shown(given) if name == 'session_store' else given)!r}: {reason}"
