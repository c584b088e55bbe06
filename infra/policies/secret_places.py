"""Where the agent's secrets are kept.

Sources: AWS Secrets Manager user guide, "How to refer to a secret by its ARN" (six random characters end it); AWS
Systems Manager user guide, "Restricting access to Parameter Store parameters using IAM policies".
"""

import re
from dataclasses import dataclass
from typing import Final

ALLOWED_PLACES: Final = (
    "`secretsmanager:<name or ARN>` or `ssm:<name or ARN>`, names without wildcards (`secretsmanager:prod/openai`, "
    "`ssm:/chat/token`)"
)
_ACTIONS: Final = {"secretsmanager": "secretsmanager:GetSecretValue", "ssm": "ssm:GetParameter"}
# What the services allow in a name; neither has a character that a policy would read as a wildcard or a variable.
_NAMES: Final = {
    "secretsmanager": re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}"),
    "ssm": re.compile(r"/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*"),
}
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:(?P<service>secretsmanager|ssm):[a-z0-9-]+:\d{12}:(?P<kind>secret:|parameter/)(?P<name>.+)"
)
_KINDS: Final = {"secretsmanager": "secret:", "ssm": "parameter/"}


@dataclass(frozen=True)
class SecretPlace:
    """Where a secret is kept.

    Attributes:
        service: ``secretsmanager`` or ``ssm``.
        secret_id: Its name or its ARN there.
    """

    service: str
    secret_id: str

    @property
    def action(self) -> str:
        """What reads it."""
        return _ACTIONS[self.service]

    def arn(self, *, partition: str, region: str, account: str) -> str:
        """The resource that a policy names.

        Args:
            partition: AWS partition of the function (``aws``, or a CDK token).
            region: Region of the function (or a CDK token).
            account: Account of the function (or a CDK token).
        """
        if self.secret_id.startswith("arn:"):
            return self.secret_id
        place = f"arn:{partition}:{self.service}:{region}:{account}:{_KINDS[self.service]}"
        if self.service == "ssm":
            return place + self.secret_id.removeprefix("/")
        return f"{place}{self.secret_id}-??????"


def secret_place(text: str) -> SecretPlace:
    """Read where a secret is kept.

    Args:
        text: ``secretsmanager:<name or ARN>`` or ``ssm:<name or ARN>``.

    Raises:
        ValueError: It is something else. The message does not quote it: it may be a secret put there by mistake.
    """
    service, _, secret_id = text.partition(":")
    if service not in _ACTIONS or not secret_id:
        raise ValueError("does not say where the secret is kept")
    arn = _ARN.fullmatch(secret_id)
    if secret_id.startswith("arn:") and (arn is None or (arn["service"], arn["kind"]) != (service, _KINDS[service])):
        raise ValueError(f"has no ARN of {service}")
    if not _NAMES[service].fullmatch(arn["name"] if arn else secret_id):
        raise ValueError(f"has a name that {service} does not allow")
    return SecretPlace(service, secret_id)
