"""The public keys of a token's issuer: which are known, how long they are believed, and when they are fetched again.

    fetched ---- 10 min: used ---- 1 h: used, while the issuer does not answer ---- gone

A key id that is not known has the keys fetched again, at most once a minute: whoever sends made-up ids costs the issuer
no more than that. While there are no keys at all, every 5 seconds.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from lambda_src.answers.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Jwk: TypeAlias = "Mapping[str, Any]"
"""A JSON Web Key (RFC 7517), as the issuer has published it."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""All asymmetric: with a symmetric one, whoever knows the public key could sign."""

FRESH_SECONDS = 600.0
"""After that the keys are fetched again: a key that the issuer has withdrawn is not believed for longer."""

STALE_SECONDS = 3600.0
"""So long keys are used while the issuer does not answer."""

REFETCH_SECONDS = 60.0
RETRY_SECONDS = 5.0
"""Between two attempts while there are no keys."""


class IssuerError(Exception):
    """The issuer's keys could not be fetched. The message is for the log, and holds nothing of a token."""


class KeysUnavailableError(Exception):
    """Whether the issuer has this key is not known now.

    Args:
        retry_after_seconds: When they will be asked for again.
    """

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("the issuer's keys are not available")
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class _Known:
    keys: Mapping[str, Jwk] = field(default_factory=dict)
    fetched_at: float = -math.inf
    tried_at: float = -math.inf
    has_failed: bool = False


class IssuerKeys:
    """The keys of one issuer, for all threads of this process.

    Args:
        fetch: Gets all keys by their ids, in bounded time. Raises :class:`IssuerError`.
        now: Seconds on a clock that only goes forward.
    """

    def __init__(self, fetch: Callable[[], Mapping[str, Jwk]], now: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._now = now
        self._known = _Known()
        self._fetching = threading.Lock()

    def find(self, key_id: str) -> Jwk | None:
        """The key of this id; ``None`` when the issuer has none.

        Raises:
            KeysUnavailableError: The issuer does not answer, and what is known does not tell.
        """
        known = self._known
        age = self._now() - known.fetched_at
        if key_id in known.keys and age < FRESH_SECONDS:
            return known.keys[key_id]
        # Whoever has a key that may still be used does not wait for somebody else's fetch.
        may_use_old = key_id in known.keys and age < STALE_SECONDS
        if self._fetching.acquire(blocking=not may_use_old):
            try:
                self._fetch_if_due()
            finally:
                self._fetching.release()
        return self._answer(self._known, key_id)

    def forget(self) -> None:
        """Drop everything: this process was copied, and has slept for longer than its clock tells."""
        self._known = _Known()

    def _fetch_if_due(self) -> None:
        known, now = self._known, self._now()
        if now - known.tried_at < self._pause(known, now):
            return
        try:
            keys = self._fetch()
        except IssuerError as error:
            logger.warning("the issuer's keys could not be fetched", extra={"reason": str(error)})
            self._known = _Known(known.keys, known.fetched_at, self._now(), has_failed=True)
        else:
            now = self._now()
            self._known = _Known(keys, now, now)

    def _answer(self, known: _Known, key_id: str) -> Jwk | None:
        now = self._now()
        is_usable = now - known.fetched_at < STALE_SECONDS
        if is_usable and (key_id in known.keys or not known.has_failed):
            return known.keys.get(key_id)
        raise KeysUnavailableError(max(1, math.ceil(known.tried_at + self._pause(known, now) - now)))

    @staticmethod
    def _pause(known: _Known, now: float) -> float:
        return REFETCH_SECONDS if now - known.fetched_at < STALE_SECONDS else RETRY_SECONDS
