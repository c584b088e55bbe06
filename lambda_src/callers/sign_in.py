"""Where people sign in: what the chat page has to know of an issuer, from its OpenID configuration."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lambda_src.callers.issuer import is_safe
from lambda_src.callers.issuer_keys import ALGORITHMS, IssuerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FRESH_SECONDS = 600.0
"""After that the configuration is fetched again. While the issuer does not answer, the last one is used."""

RETRY_SECONDS = 5.0
"""Between two attempts: anybody may ask for the page, and costs the issuer no more than that."""


@dataclass(frozen=True)
class SignInAddresses:
    """An issuer's addresses (OpenID Connect Discovery 1.0, RP-Initiated Logout 1.0, RFC 8414).

    Attributes:
        authorization_endpoint: Where somebody signs in.
        token_endpoint: Where a code becomes tokens.
        end_session_endpoint: Where somebody signs out; ``None`` where there is no such place.
        revocation_endpoint: Where a refresh token is given back (RFC 7009); ``None`` where there is no such place.
        id_token_algorithms: With which ID tokens may be signed.
    """

    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None
    revocation_endpoint: str | None = None
    id_token_algorithms: tuple[str, ...] = ()


class SignIn:
    """Knows where people sign in; safe to share between threads.

    Args:
        issuer: The issuer's identifier.
        fetch: Gets its OpenID configuration; raises ``IssuerError``.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, issuer: str, fetch: Callable[[], Mapping[str, Any]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._known: SignInAddresses | None = None
        self._error = IssuerError("not asked yet")
        self._next_try_at = -math.inf

    def addresses(self) -> SignInAddresses:
        """The addresses.

        Raises:
            IssuerError: The issuer does not answer, or its configuration cannot be used.
        """
        with self._lock:
            if self._clock() >= self._next_try_at:
                self._ask()
            if self._known is None:
                raise IssuerError(str(self._error))
            return self._known

    def _ask(self) -> None:
        try:
            self._known = addresses_in(self._fetch(), self._issuer)
        except IssuerError as error:
            self._error = error
            self._next_try_at = self._clock() + RETRY_SECONDS
        else:
            self._next_try_at = self._clock() + FRESH_SECONDS


def addresses_in(configuration: Mapping[str, Any], issuer: str) -> SignInAddresses:
    """The addresses that an OpenID configuration names.

    Args:
        configuration: The issuer's own.
        issuer: Its identifier.

    Raises:
        IssuerError: One that is needed is missing, or none that may be used. What is optional is left out then.
    """

    def address(name: str) -> str | None:
        value = configuration.get(name)
        usable = isinstance(value, str) and is_safe(value, beside=issuer) and _is_plain(value)
        return value if usable else None

    authorization, token = address("authorization_endpoint"), address("token_endpoint")
    if authorization is None or token is None:
        raise IssuerError("the OpenID configuration: names no https address to sign in, or none for tokens")
    named = configuration.get("id_token_signing_alg_values_supported")
    algorithms = tuple(name for name in named if name in ALGORITHMS) if isinstance(named, list) else ()
    return SignInAddresses(
        authorization, token, address("end_session_endpoint"), address("revocation_endpoint"), algorithms
    )


def _is_plain(url: str) -> bool:
    """Whether an address can stand in a header: a blank, a comma or a semicolon in its host would end the entry."""
    return url.isascii() and not set(urlsplit(url).netloc) & set(" ;,'\"")
