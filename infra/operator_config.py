"""The part of the configuration that says what an operator sees, and who is told when something is wrong."""

from typing import Self

from pydantic import model_validator

from .caller_config import CallerConfig
from .config_fields import setting


class OperatorConfig(CallerConfig):
    """Alarms, and whom they tell."""

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

    @model_validator(mode="after")
    def _alarms_are_told_to_somebody(self) -> Self:
        for key in ("alarm_email", "alarm_topic_arn"):
            if not self.alarms and getattr(self, key) is not None:
                raise ValueError(f"{key}: no alarm exists with `alarms=false`; allowed: unset, or `alarms=true`")
        return self
