"""Fetches an issuer's keys: by its OpenID configuration (OpenID Connect Discovery 1.0), or from where it is told.

The issuer is believed for what it says itself, over TLS, and for nothing else: a redirect is refused, wherever it
leads, and so is a configuration that names another issuer.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3

from lambda_src.callers.issuer_keys import ALGORITHMS, IssuerError
from lambda_src.runtime.event_loop import AbandonedError, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_src.callers.issuer_keys import Jwk

FETCH_SECONDS = 5.0
"""How long a fetch may take, both requests together, however slowly an answer comes."""

_CONNECT_SECONDS = 2.0
_MAX_BYTES = 512 * 1024
_OK = 200
_REDIRECT = re.compile(r"3\d\d")
_KEY_TYPES = ("RSA", "EC", "OKP")
"""Public keys. A symmetric one (``oct``) is nobody's to publish."""


class Issuer:
    """Where an issuer's keys are.

    Args:
        issuer: Its identifier, a URL.
        jwks_url: Where its keys are, if that is known; else its OpenID configuration says so.
        configuration_url: Where its OpenID configuration is, if not below its identifier.
    """

    def __init__(self, issuer: str, jwks_url: str | None = None, configuration_url: str | None = None) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._configuration_url = configuration_url or f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        # Without `retries` a redirect is an answer, and an error is said at once.
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=FETCH_SECONDS), retries=False, maxsize=1
        )

    def configuration(self) -> Mapping[str, Any]:
        """Get the issuer's OpenID configuration.

        Raises:
            IssuerError: There is no answer, or it is another issuer's.
        """
        try:
            return within(FETCH_SECONDS, self._configuration)
        except AbandonedError:
            raise IssuerError(f"no answer within {FETCH_SECONDS:g} seconds") from None

    def fetch(self) -> Mapping[str, Jwk]:
        """Get all public keys that can sign, by their ids.

        Raises:
            IssuerError: There is no answer, or none that can be used.
        """
        try:
            return within(FETCH_SECONDS, self._fetch)
        except AbandonedError:
            raise IssuerError(f"no answer within {FETCH_SECONDS:g} seconds") from None

    def _fetch(self) -> Mapping[str, Jwk]:
        url = self._jwks_url or self._discover()
        keys = keys_in(self._get(url, "the keys"))
        if not keys:
            raise IssuerError("the keys: none that can be used")
        return keys

    def _configuration(self) -> Mapping[str, Any]:
        configuration = self._get(self._configuration_url, "the OpenID configuration")
        if configuration.get("issuer") != self._issuer:
            raise IssuerError("the OpenID configuration: of another issuer than jwt_issuer says, letter by letter")
        return configuration

    def _discover(self) -> str:
        jwks_url = self._configuration().get("jwks_uri")
        if not isinstance(jwks_url, str) or not is_safe(jwks_url, beside=self._issuer):
            raise IssuerError("the OpenID configuration: names no https address of its keys")
        return jwks_url

    def _get(self, url: str, what: str) -> Mapping[str, Any]:
        try:
            response = self._http.request(
                "GET", url, headers={"Accept": "application/json"}, redirect=False, preload_content=False
            )
            try:
                if _REDIRECT.fullmatch(str(response.status)):
                    raise IssuerError(f"{what}: redirected, which is not followed")
                if response.status != _OK:
                    raise IssuerError(f"{what}: status {response.status}")
                content = response.read(_MAX_BYTES + 1)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise IssuerError(f"{what}: {type(error).__name__}") from None
        if len(content) > _MAX_BYTES:
            raise IssuerError(f"{what}: larger than {_MAX_BYTES} bytes")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise IssuerError(f"{what}: no JSON") from None
        if not isinstance(document, dict):
            raise IssuerError(f"{what}: no JSON object")
        return document


def keys_in(document: Mapping[str, Any]) -> dict[str, Jwk]:
    """The public keys of a JSON Web Key Set that can sign, by their ids. What is no key is left out."""
    found: dict[str, Jwk] = {}
    listed = document.get("keys")
    for key in listed if isinstance(listed, list) else []:
        if not isinstance(key, dict) or key.get("kty") not in _KEY_TYPES or key.get("use", "sig") != "sig":
            continue
        if key.get("alg") is not None and key["alg"] not in ALGORITHMS:
            continue
        if isinstance(key.get("kid"), str):
            found.setdefault(key["kid"], key)
    return found


def is_safe(url: str, *, beside: str) -> bool:
    """Whether an issuer's address may be used: over TLS, or as openly as an issuer on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    allowed = {"https", urlsplit(beside).scheme}
    return parts.scheme in allowed and bool(parts.hostname) and "@" not in parts.netloc
