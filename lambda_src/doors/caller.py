"""Who is asking, and so whose sessions these are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent_sessions.owner import owner_prefix
from lambda_src.callers import on_behalf
from lambda_src.callers.iam import owner_of_principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_src.callers.tokens import TokenCheck
    from lambda_src.settings import Settings


def owner_of(event: Mapping[str, Any], settings: Settings) -> str:
    """The key prefix of the sessions that a request is about.

    Args:
        event: A Function URL event, its headers' names in lower case. Lambda wrote its ``requestContext``.
        settings: ``endpoint_auth`` says where callers come from.

    Raises:
        UnauthenticatedError: Nobody vouches for the caller.
        IssuerUnavailableError: Whether somebody vouches for the caller cannot be told now.
        OnBehalfRefusedError: The request names somebody to speak for, and the caller cannot.
    """
    named = _header(event, on_behalf.HEADER)
    match settings.endpoint_auth:
        case "none":
            on_behalf.refuse_on_behalf(named)
            return owner_prefix("none", "public")
        case "local":  # this machine stands for a caller with IAM
            return on_behalf.on_behalf(owner_prefix("local", "local"), named)
        case "iam":
            principal = owner_of_principal(event, identities_are_owners=settings.cognito_identity_owners)
            return on_behalf.on_behalf(principal, named)
        case "jwt":
            bearer = _token_check(settings).owner_of(_header(event, "authorization"))
            on_behalf.refuse_on_behalf(named)
            return bearer


def prepare(settings: Settings) -> None:
    """Do what the first request would otherwise wait for: import what checks tokens, if there will be any."""
    if settings.endpoint_auth == "jwt":
        _token_check(settings)


@lru_cache(maxsize=1)
def _token_check(settings: Settings) -> TokenCheck:
    # Late: with IAM nothing of it is imported.
    from lambda_src.callers.issuer import Issuer
    from lambda_src.callers.issuer_keys import IssuerKeys
    from lambda_src.callers.tokens import TokenCheck, TokenRules
    from lambda_src.runtime import aws

    issuer = str(settings.jwt_issuer)  # the settings are refused without one
    keys = IssuerKeys(Issuer(issuer, settings.jwt_jwks_url, settings.jwt_configuration_url).fetch)
    aws.on_restore(keys.forget)
    return TokenCheck(TokenRules(issuer, settings.jwt_audiences, settings.jwt_client_ids), keys)


def _header(event: Mapping[str, Any], name: str) -> str | None:
    headers = event.get("headers")
    value = headers.get(name) if isinstance(headers, dict) else None
    return value if isinstance(value, str) else None
