"""Callers with a token of an OpenID Connect issuer (RFC 6750, RFC 9068): is it one of this endpoint's, and whose is it?

PyJWT checks signature, time, issuer and audience; the rest is here. Only ``auth=jwt`` imports this module. Nothing of a
token goes into a log line or an answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from agent_sessions.owner import owner_prefix
from lambda_src.answers.errors import IssuerUnavailableError, UnauthenticatedError
from lambda_src.answers.logs import logger
from lambda_src.callers.issuer_keys import ALGORITHMS, KeysUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_src.callers.issuer_keys import IssuerKeys

LEEWAY_SECONDS = 60
"""How far the clocks of issuer and endpoint may differ."""

MAX_TOKEN_CHARACTERS = 16_384
_BEARER = re.compile(r"bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)", re.ASCII | re.IGNORECASE)
_SCHEME = re.compile(r"bearer\b", re.ASCII | re.IGNORECASE)
_ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})  # RFC 9068, 2.1
_TOKEN_TYPES = _ACCESS_TOKEN_TYPES | {"jwt"}
_OF_ID_TOKENS = frozenset({"at_hash", "c_hash", "nonce"})  # OpenID Connect Core, 2 and 3.3.2.11
_REQUIRED = ("exp", "iss", "sub")
# The most exact first: some are subclasses of others.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "The token has expired."),
    (jwt.ImmatureSignatureError, "The token is not valid yet."),
    (jwt.InvalidIssuerError, "Another issuer made the token."),
    (jwt.InvalidAudienceError, "The token is for another audience."),
    (jwt.MissingRequiredClaimError, "The token lacks a claim; exp, iss and sub are needed, and aud or client_id."),
    (jwt.InvalidAlgorithmError, "The token is signed with an algorithm that is not allowed."),
    (jwt.InvalidSignatureError, "The token's signature does not hold."),
)
_UNREADABLE = "The token cannot be read."


@dataclass(frozen=True)
class TokenRules:
    """What a token has to say.

    Attributes:
        issuer: ``iss``, letter by letter.
        audiences: One of them has to be in ``aud``; none: ``aud`` does not matter.
        client_ids: One of them has to be ``client_id``; none: it does not matter.
    """

    issuer: str
    audiences: tuple[str, ...] = ()
    client_ids: tuple[str, ...] = ()


class TokenCheck:
    """Tells who sent a token.

    Args:
        rules: What a token has to say.
        keys: Its issuer's keys.
    """

    def __init__(self, rules: TokenRules, keys: IssuerKeys) -> None:
        self._rules = rules
        self._keys = keys

    def owner_of(self, authorization: str | None) -> str:
        """The key prefix of the sessions of whoever sent a token.

        Args:
            authorization: The request's header ``Authorization``.

        Raises:
            UnauthenticatedError: There is no token, or none of this endpoint's.
            IssuerUnavailableError: The keys that would tell cannot be had.
        """
        authorization = (authorization or "").strip(" \t")
        if not _SCHEME.match(authorization):
            raise UnauthenticatedError("Send an access token: Authorization: Bearer <token>.", challenge="Bearer")
        sent = _BEARER.fullmatch(authorization)
        if sent is None or len(sent[1]) > MAX_TOKEN_CHARACTERS:
            raise _refused("Authorization must be one access token: Bearer <token>.")
        subject = self._subject_of(sent[1])
        try:
            return owner_prefix(self._rules.issuer, subject)
        except ValueError:
            raise _refused("The token's subject is no name.") from None

    def _subject_of(self, token: str) -> str:
        try:
            header = jwt.get_unverified_header(token)
            key = self._key_for(header)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._rules.issuer,
                audience=self._rules.audiences or None,
                leeway=LEEWAY_SECONDS,
                options={
                    "require": list(_REQUIRED),
                    "verify_aud": bool(self._rules.audiences),
                    "enforce_minimum_key_length": True,
                },
            )
        except KeysUnavailableError as error:
            raise IssuerUnavailableError(
                "The keys of the token's issuer cannot be had now. Send the request again later.",
                retry_after_seconds=error.retry_after_seconds,
            ) from None
        except (
            *(jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError),
            *(NotImplementedError, UnsupportedAlgorithm),  # of a key that PyJWT or cryptography cannot use
        ) as error:
            reasons = (reason for kind, reason in _REASONS if isinstance(error, kind))
            raise _refused(next(reasons, _UNREADABLE)) from None
        if problem := problem_with_kind(header, claims, self._rules):
            raise _refused(problem)
        return str(claims["sub"])

    def _key_for(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:  # before a key is looked for: what is not allowed costs no fetch
            raise jwt.InvalidAlgorithmError
        if not isinstance(key_id, str) or not key_id:
            raise _refused("The token does not say which key has signed it (kid).")
        found = self._keys.find(key_id)
        if found is None:
            raise _refused("The token's issuer has no such key.")
        # A key that names no algorithm can be used with each of its kind.
        return jwt.PyJWK(dict(found), None if found.get("alg") else algorithm)


def problem_with_kind(header: Mapping[str, Any], claims: Mapping[str, Any], rules: TokenRules) -> str | None:
    """Why a token that its issuer has signed is no access token for this endpoint's clients; ``None`` if it is one.

    An ID token tells a client who has signed in. It is not for APIs: any client of the issuer has some. A logout token
    (OpenID Connect Back-Channel Logout 1.0) tells a client who has signed out; its claim ``events`` is what it tells.

    Args:
        header: The token's header.
        claims: What it says; issuer, time and audience have been checked.
        rules: What it has to say.
    """
    token_type = header.get("typ")
    if "events" in claims or (token_type is not None and str(token_type).lower() not in _TOKEN_TYPES):
        return "Send the access token, not one of another type: typ is JWT or at+jwt, and it tells of no events."
    # Amazon Cognito says token_use, Keycloak typ; at_hash and c_hash tie an ID token to others, nonce to a sign-in.
    use = claims.get("token_use")
    if use not in (None, "access") or claims.get("typ") == "ID" or not claims.keys().isdisjoint(_OF_ID_TOKENS):
        return "Send the access token, not the ID token."
    if not rules.client_ids:
        return None
    client = claims.get("client_id")
    if not isinstance(client, str) or client not in rules.client_ids:
        return "The token was made for another client."
    if not rules.audiences and use is None and str(token_type).lower() not in _ACCESS_TOKEN_TYPES:
        return "The token does not say that it is an access token (token_use, or typ at+jwt)."
    return None


def _refused(reason: str) -> UnauthenticatedError:
    logger.warning("token refused", extra={"reason": reason})
    return UnauthenticatedError(reason, challenge=f'Bearer error="invalid_token", error_description="{reason}"')
