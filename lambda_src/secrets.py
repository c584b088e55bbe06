"""Secrets that the agent uses: ``from lambda_src.secrets import secret``.

A deployed function reads a secret from AWS when it is asked for. ``AGENT_SECRETS`` says from where, such as
``{"OPENAI_API_KEY": "secretsmanager:prod/openai", "TOKEN": "ssm:/chat/token"}``. On this machine a secret is the
environment variable of that name; ``make run`` reads ``.env`` too.

Ask for a secret where it is used, and keep it nowhere: what stands at module level is never renewed, and a snapshot
holds it.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.errors import SecretUnavailableError
from lambda_src.answers.logs import logger
from lambda_src.runtime import aws

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHED_SECONDS = 300
"""A secret that was replaced is used at most this long."""

SERVICES = ("secretsmanager", "ssm")


class SecretPlace(NamedTuple):
    """Where a secret is kept.

    Attributes:
        service: AWS Secrets Manager or SSM Parameter Store: one of ``SERVICES``.
        secret_id: The secret's name or ARN there.
    """

    service: str
    secret_id: str


def secret(name: str) -> str:
    """A secret's text, at most five minutes old.

    Args:
        name: Its name in ``agent_secrets`` (``cdk.json``); on this machine, the environment variable.

    Raises:
        SecretUnavailableError: There is no such secret, or the function's role may not read it. The message does not
            tell the name; the log does. In a tool let it through: it ends the turn, and the caller is told.
    """
    place = secret_places(os.environ.get("AGENT_SECRETS") or "{}").get(name)
    if place is None:
        value = os.environ.get(name)
        if value:
            return value
        logger.error("a secret is neither in agent_secrets nor in the environment", extra={"secret": name})
        raise _unavailable()
    try:
        return _read(place)
    except Exception as failure:  # noqa: BLE001 - whatever it is, its words may hold the name or the value
        # Powertools wraps the error of AWS in one of its own.
        logger.error("a secret cannot be read", extra={"secret": name, **diagnosis(failure.__context__ or failure)})
    raise _unavailable()


def has_secret(name: str) -> bool:
    """Whether there is a secret of this name. It is not read, and may be missing where it is said to be.

    Args:
        name: Its name in ``agent_secrets``; on this machine, the environment variable.
    """
    return bool(name in secret_places(os.environ.get("AGENT_SECRETS") or "{}") or os.environ.get(name))


def secret_places(text: str) -> Mapping[str, SecretPlace]:
    """Read ``AGENT_SECRETS``.

    Args:
        text: A JSON object of names and places.

    Returns:
        The place of each secret by its name.

    Raises:
        ValueError: It is something else. The message quotes names only: a value may be a secret put there by mistake.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object of names and places")  # noqa: TRY004 - a wrong value, not a wrong type
    return {name: _place(name, value) for name, value in found.items()}


def _place(name: str, value: Any) -> SecretPlace:
    service, _, secret_id = str(value).partition(":")
    if service not in SERVICES or not secret_id:
        raise ValueError(f"{name} must be at secretsmanager:<name> or ssm:<name>")
    return SecretPlace(service, secret_id)


def forget() -> None:
    """Forget every secret, and the connections they came through."""
    _provider.cache_clear()


def _read(place: SecretPlace) -> str:
    options = {"decrypt": True} if place.service == "ssm" else {}
    value = _provider(place.service).get(place.secret_id, max_age=CACHED_SECONDS, **options)
    return value.decode() if isinstance(value, bytes) else str(value)


@lru_cache(maxsize=len(SERVICES))
def _provider(service: str) -> Any:
    """Powertools' reader of one of the services. It keeps what it has read, and the clock."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider

    client: Any = aws.secrets_client(service)
    return SecretsProvider(boto3_client=client) if service == "secretsmanager" else SSMProvider(boto3_client=client)


def _unavailable() -> SecretUnavailableError:
    return SecretUnavailableError(
        "A secret that the agent needs cannot be read. Whoever runs the endpoint finds its name in the log; sending "
        "the request again does not help."
    )


aws.on_restore(forget)
