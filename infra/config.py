"""What can be configured at deployment: one typed model, read from the CDK context, refused when wrong.

Values come from ``cdk.json`` and from ``-c key=value`` (where everything is text). Every key of this kit is written
without ``:`` and ``/``, which the CDK's own context keys always contain; whatever else looks like a key of ours but is
none was mistyped, and a mistyped key that is silently ignored deploys something nobody asked for.
"""

# Over 300 lines: the settings are one table, from which the documentation is made.

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import ConfigDict, ValidationError, field_validator, model_validator

from .agent_values import ALLOWED_ENVIRONMENT, ALLOWED_SECRETS, check_places, read_object
from .config_fields import setting
from .config_problems import report
from .operator_config import OperatorConfig
from .packaging.kit_files import AGENT_FOLDER
from .policies.model_choice import ALLOWED as MODEL_ALLOWED
from .policies.model_choice import (
    GUARDRAIL,
    URL,
    check_model,
    problem_with_bedrock_options,
    problem_with_provider,
)

# Written by `cdk acknowledge`, the one key of the CDK itself without ':' or '/'.
_CDK_KEYS: Final = frozenset({"acknowledged-issue-numbers"})
# CloudWatch Logs accepts these numbers of days only (PutRetentionPolicy).
_LOG_RETENTION_DAYS: Final = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
# Lambda allows 4 KB for all environment variables together; the kit's own need a fraction of it.
_PROMPT_BYTES: Final = 3_000
PROD: Final = "prod"
# Beside the default prompt: the function reads the same file.
DEFAULT_MODEL: Final = (AGENT_FOLDER / "model.txt").read_text(encoding="utf-8").strip()


class ConfigError(ValueError):
    """The configuration cannot be deployed; the message names every key that is wrong and what it may be."""


class KitConfig(OperatorConfig):
    """The configuration of one deployment.

    The attributes are documented where they are declared; ``docs/CONFIGURATION.md`` is made from them.

    Raises:
        ConfigError: A key is unknown or a value not allowed; one line for each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, /, **values: Any) -> None:
            # `-c key=` is how a command line takes a value of cdk.json back: the key counts as not given.
            fields = type(self).model_fields
            given = {key: value for key, value in values.items() if key not in fields or value not in (None, "")}
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise ConfigError(report(error, type(self).model_fields)) from error

    stage: str = setting(
        "dev",
        "lower-case letters, digits and hyphens, starting with a letter, at most 20",
        "Names the stack (`agent-session-kit-<stage>`). `prod` keeps the sessions when the stack is destroyed.",
        pattern=r"^[a-z][a-z0-9-]{0,19}$",
    )
    session_ttl_days: float = setting(
        30,
        "a number of days from 0 to 3650; 0 keeps sessions for ever",
        "A session expires this many days after its last use.",
        ge=0,
        le=3650,
        allow_inf_nan=False,
    )
    session_ttl_days_before: float | None = setting(
        None,
        "a number of days from 0 to 3650; unset: the lifetime has not been lowered lately",
        "Set it to the old lifetime when you lower `session_ttl_days`, and take it back after as many days as the new "
        "one has: until then the bucket keeps the old rule, by which sessions in use were renewed.",
        ge=0,
        le=3650,
        allow_inf_nan=False,
    )
    agent_model: str = setting(
        DEFAULT_MODEL,
        MODEL_ALLOWED,
        "The model of the default agent. Of Bedrock's, the function may call this one and no other.",
    )
    agent_model_url: str | None = setting(
        None,
        "an address such as `https://models.example.com/v1`, without credentials; unset: the provider's own",
        "Where the API of another provider than Bedrock is: a proxy, a compatible server, or Ollama.",
        pattern=URL,
    )
    agent_max_tokens: int | None = setting(
        None,
        "a whole number from 1 to 1000000; unset: what the model allows, and 8192 with `anthropic:`, whose API wants "
        "a number",
        "How many tokens one answer of the model may have, thinking included.",
        ge=1,
        le=1_000_000,
    )
    agent_guardrail_id: str | None = setting(
        None,
        "a guardrail's id or ARN; unset: none",
        "The guardrail of Amazon Bedrock that judges what is asked and answered. The function may apply this one.",
        pattern=GUARDRAIL,
    )
    agent_guardrail_version: str = setting(
        "DRAFT",
        "a guardrail's version: a number, or `DRAFT`",
        "Which version of `agent_guardrail_id` judges.",
        pattern=r"^([1-9][0-9]{0,7}|DRAFT)$",
    )
    agent_prompt_caching: bool = setting(
        False,
        "`true` or `false`",
        "Whether Bedrock keeps what a model was shown for some minutes, and reads it again at a lower price. Writing "
        "it costs more; it pays for long conversations, on models that can.",
    )
    agent_thinking_tokens: int | None = setting(
        None,
        "a whole number from 1024 to 64000, with a model of Anthropic's on Bedrock; unset: no thinking",
        "How many tokens the model may think before it answers.",
        ge=1024,
        le=64_000,
    )
    agent_system_prompt: str | None = setting(
        None,
        f"text of at most {_PROMPT_BYTES} bytes in UTF-8; unset: `prompt.md` in the agent's folder",
        "The system prompt of the default agent.",
        min_length=1,
    )
    agent_window_messages: int = setting(
        40,
        "a whole number from 2 to 10000",
        "How many of the latest messages the default agent shows to the model. All are kept.",
        ge=2,
        le=10_000,
    )
    agent_environment: Mapping[str, str] = setting(
        {},
        ALLOWED_ENVIRONMENT,
        "Environment variables for your own agent. Together with `agent_system_prompt` and `agent_secrets` at most "
        f"{_PROMPT_BYTES} bytes.",
    )
    agent_secrets: Mapping[str, str] = setting(
        {},
        ALLOWED_SECRETS,
        "Secrets of your own agent, which it reads with `lambda_src.secrets.secret(name)`. The function may read these "
        "and no others.",
    )
    agent_policy_wildcards: bool = setting(
        False,
        "`true` or `false`",
        "Whether `policy.json` in the agent's folder may allow an action on every resource, as the few actions need "
        "that AWS cannot narrow.",
    )
    encryption: Literal["s3", "kms"] = setting(
        "s3",
        "`s3` or `kms`",
        "How sessions are encrypted at rest: keys of S3, or a customer-managed KMS key, rotated yearly (USD 1 a month "
        "and its requests). Going back from `kms` to `s3` makes the sessions written with the key unreadable.",
    )
    bucket_versioning: bool = setting(
        False,
        "`true` or `false`",
        "Keeps replaced and deleted objects for a day, against accidents of an operator. Deleting a session deletes "
        "its versions too.",
    )
    streaming: bool = setting(
        True,
        "`true` or `false`",
        "Answers leave the function while they are made. It sets the invoke mode of the URL and the function's "
        "transport together. `false` is for a Lambda runtime that the transport does not know: the function says so "
        "when it starts.",
    )
    python_version: Literal["3.12", "3.13", "3.14"] = setting(
        "3.13", "`3.12`, `3.13` or `3.14`", "Python of the function and of the runtime layer."
    )
    architecture: Literal["arm64", "x86_64"] = setting(
        "arm64",
        "`arm64` or `x86_64`",
        "Processor of the function and of the runtime layer. `arm64` costs a fifth less.",
    )
    memory_mb: int = setting(
        1024,
        "a whole number from 256 to 10240",
        "Memory of the function; its share of a CPU grows with it.",
        ge=256,
        le=10_240,
    )
    timeout_seconds: int = setting(
        120, "a whole number from 10 to 900", "How long one turn may take, model and tools included.", ge=10, le=900
    )
    lease_wait_seconds: float = setting(
        5,
        "a number of seconds from 0 to 60; 0 refuses at once",
        "How long a request waits for another one that is using its session, before it is answered 409. Waiting is "
        "billed as running, and counts towards `timeout_seconds`.",
        ge=0,
        le=60,
        allow_inf_nan=False,
    )
    deadline_margin_seconds: float = setting(
        5,
        "a number of seconds above 0, at most 60 and at most half of `timeout_seconds`",
        "How long before `timeout_seconds` a turn is stopped in good order: what it has done is stored and the caller "
        "gets 504 instead of a cut connection.",
        gt=0,
        le=60,
        allow_inf_nan=False,
    )
    log_retention_days: int = setting(
        30, "one of " + ", ".join(str(days) for days in _LOG_RETENTION_DAYS), "How long the function's log is kept."
    )
    max_concurrency: int | None = setting(
        None,
        "a whole number from 1 to 10000; unset: no limit of its own",
        "Reserved concurrency: how many turns may run at the same time, the cap on what they can cost. Unset by "
        "default, because a new AWS account may have too little concurrency to reserve any.",
        ge=1,
        le=10_000,
    )
    snap_start: bool | None = setting(
        None,
        "`true` or `false`; unset: `true` in stage `prod` only",
        "Lambda SnapStart: faster cold starts, billed for each published version.",
    )

    @field_validator("agent_model")
    @classmethod
    def _check_model(cls, value: str) -> str:
        check_model(value)
        return value

    @field_validator("agent_system_prompt")
    @classmethod
    def _fits_the_environment(cls, value: str | None) -> str | None:
        if value is not None and len(value.encode()) > _PROMPT_BYTES:
            raise ValueError(f"{len(value.encode())} bytes are too many")
        return value

    @field_validator("agent_environment", "agent_secrets", mode="before")
    @classmethod
    def _read_object(cls, value: Any) -> Mapping[str, str]:
        return read_object(value)

    @field_validator("agent_secrets")
    @classmethod
    def _check_places(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        check_places(value)
        return value

    @field_validator("log_retention_days")
    @classmethod
    def _check_retention(cls, value: int) -> int:
        if value not in _LOG_RETENTION_DAYS:
            raise ValueError("CloudWatch Logs has no such retention")
        return value

    @model_validator(mode="after")
    def _the_provider_has_what_it_needs(self) -> Self:
        if "agent_model" not in self.model_fields_set:
            return self  # the agent's folder says which: with_default_model
        problem = problem_with_provider(
            self.agent_model, secrets=self.agent_secrets.keys(), url=self.agent_model_url
        ) or problem_with_bedrock_options(
            self.agent_model,
            has_guardrail=self.agent_guardrail_id is not None,
            caches=self.agent_prompt_caching,
            thinking_tokens=self.agent_thinking_tokens,
            max_tokens=self.agent_max_tokens,
        )
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _own_values_fit_the_environment(self) -> Self:
        if twice := sorted(self.agent_environment.keys() & self.agent_secrets.keys()):
            raise ValueError(f"agent_environment: {twice[0]} is in `agent_secrets`; a secret is in no environment")
        texts = [self.agent_system_prompt or "", *self.agent_environment, *self.agent_environment.values()]
        size = sum(len(text.encode()) for text in (*texts, *self.agent_secrets, *self.agent_secrets.values()))
        if size > _PROMPT_BYTES:
            raise ValueError(
                f"agent_environment: {size} bytes together with `agent_system_prompt` and `agent_secrets`; allowed: "
                f"at most {_PROMPT_BYTES}"
            )
        return self

    @model_validator(mode="after")
    def _margin_leaves_time_for_a_turn(self) -> Self:
        if self.deadline_margin_seconds > self.timeout_seconds / 2:
            raise ValueError(
                f"deadline_margin_seconds={self.deadline_margin_seconds:g}: no time is left for a turn; allowed: at "
                f"most half of `timeout_seconds` ({self.timeout_seconds})"
            )
        return self

    def with_default_model(self, model: str | None) -> Self:
        """This configuration with its own ``agent_model``, or else the one given; ``None`` is the kit's default.

        Raises:
            ConfigError: The model is none, lacks what it needs, or other values do not fit it.
        """
        if "agent_model" in self.model_fields_set:
            return self
        return type(self)(**{**self.model_dump(exclude_unset=True), "agent_model": model or DEFAULT_MODEL})

    @property
    def is_production(self) -> bool:
        """Whether data must outlive the stack."""
        return self.stage == PROD

    @property
    def uses_snap_start(self) -> bool:
        """``snap_start``, or what it is when unset."""
        return self.is_production if self.snap_start is None else self.snap_start

    @property
    def stack_name(self) -> str:
        """The name of the CloudFormation stack."""
        return f"agent-session-kit-{self.stage}"


def load_config(context: Mapping[str, Any]) -> KitConfig:
    """Read the configuration from the CDK's context.

    Args:
        context: All context values, the CDK's own among them.

    Returns:
        The validated configuration. Without ``agent_model``, its ``with_default_model`` judges the model.

    Raises:
        ConfigError: When a key is unknown or a value not allowed; one line for each.
    """
    ours = {key: value for key, value in context.items() if ":" not in key and "/" not in key and key not in _CDK_KEYS}
    return KitConfig(**ours)
