"""The part of the configuration that says what an operator sees, and who is told when something is wrong."""

from typing import Literal, Self

from pydantic import model_validator

from .caller_config import CallerConfig
from .config_fields import setting


class OperatorConfig(CallerConfig):
    """Alarms, and whom they tell; the dashboard; traces."""

    alarms: bool = setting(
        True,
        "`true` or `false`",
        "Alarms on what an operator has to look at: see [OPERATIONS.md](OPERATIONS.md). Each costs USD 0.10 a month.",
    )
    alarm_email: str | None = setting(
        None,
        "an e-mail address, with `alarms=true`; unset: none",
        "Who gets a message from each alarm, once the address has confirmed the subscription.",
        pattern=r"^[^\s@]+@[^\s@]+\.[^\s@]+$",
    )
    alarm_topic_arn: str | None = setting(
        None,
        "the ARN of an SNS topic in the stack's region, with `alarms=true`; unset: none",
        "A topic of your own that each alarm publishes to. Its policy, and that of its key, has to let CloudWatch.",
        pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}$",
    )

    dashboard: bool = setting(
        True,
        "`true` or `false`",
        "One screen in CloudWatch: see [OPERATIONS.md](OPERATIONS.md). USD 3 a month, after the account's first three.",
    )
    usd_per_million_input_tokens: float | None = setting(
        None,
        "a price from 0 to 10000, together with `usd_per_million_output_tokens`; unset: the list price, of models that "
        "the kit knows",
        "What a million tokens cost that your model reads, for the dashboard.",
        ge=0,
        le=10_000,
        allow_inf_nan=False,
    )
    usd_per_million_output_tokens: float | None = setting(
        None,
        "a price from 0 to 10000, together with `usd_per_million_input_tokens`; unset: the list price, of models that "
        "the kit knows",
        "What a million tokens cost that your model writes, for the dashboard.",
        ge=0,
        le=10_000,
        allow_inf_nan=False,
    )

    tracing: Literal["off", "xray"] = setting(
        "off",
        "`off` or `xray`",
        "`xray`: AWS X-Ray traces the function, and finds a trace by `annotation.session_id` and `annotation.turn_id`. "
        "USD 5 for a million traces, after the first 100,000 of a month.",
    )

    @model_validator(mode="after")
    def _prices_come_in_pairs(self) -> Self:
        names = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
        missing = [name for name in names if getattr(self, name) is None]
        if len(missing) == 1:
            raise ValueError(f"{missing[0]}: unset; allowed: a price as long as the other one has one, or both unset")
        return self

    @model_validator(mode="after")
    def _alarms_are_told_to_somebody(self) -> Self:
        for key in ("alarm_email", "alarm_topic_arn"):
            if not self.alarms and getattr(self, key) is not None:
                raise ValueError(f"{key}: no alarm exists with `alarms=false`; allowed: unset, or `alarms=true`")
        return self
