"""What a holder of a lease claims, and what every way to claim it does: part of what a store may offer.

An object store has one way for all (``_storage.record_claim``); a folder has a better one (``_storage.file_claim``).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

FORMAT = 1
"""Version of ``lease.json``."""


@dataclass(frozen=True)
class LeaseTerms:
    """What a holder claims.

    Attributes:
        holder: Who, in the holder's own words.
        duration_seconds: How long the claim lasts without renewal.
        lease_id: Tells this holder's claims from every other's.
    """

    holder: str
    duration_seconds: float
    lease_id: str

    def body(self) -> bytes:
        """The record of the claim. Each is unlike every other, so that a writer recognises its own."""
        return self._record(duration_seconds=self.duration_seconds)

    def given_back(self, *, whole: bool) -> bytes:
        """The record of a claim that has ended: it lasts for no time, and says whether everything was written."""
        return self._record(duration_seconds=0, whole=whole)

    def _record(self, **fields: Any) -> bytes:
        record = {"format": FORMAT, "lease_id": self.lease_id, "holder": self.holder, **fields}
        return json.dumps({**record, "nonce": uuid.uuid4().hex}).encode()


@dataclass(frozen=True)
class Refusal:
    """Somebody else holds the lease.

    Attributes:
        holder: Who, where the claim says so.
        remaining_seconds: When it has run out at the latest, unless it is renewed.
    """

    holder: str | None
    remaining_seconds: float


class Claim(Protocol):
    """One way to hold a lease."""

    found_unfinished: bool
    """Whether the claim before was not given back as whole."""

    @property
    def runs_out(self) -> bool:
        """Whether the claim must be renewed to last."""

    def take(self) -> Refusal | None:
        """Claim the lease, without waiting; ``None`` when it is this holder's now."""

    def look(self) -> Refusal | None:
        """Who holds the lease, without claiming it; ``None`` when nobody does."""

    def stands(self) -> bool:
        """Whether the claim has not been ended by somebody else, as far as that costs no request."""

    def renew(self) -> bool:
        """Make the claim last longer; ``False`` when it is another's."""

    def give_back(self, *, whole: bool) -> None:
        """End the claim. When not ``whole``, leave a note of that to whoever claims next."""


def read_claim(body: bytes) -> dict[str, Any]:
    """What a claim says; nothing when it cannot be understood."""
    try:
        claimed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return claimed if isinstance(claimed, dict) else {}


def holder_in(claimed: dict[str, Any]) -> str | None:
    """Who holds a claim, where it says so."""
    holder = claimed.get("holder")
    return holder if isinstance(holder, str) and holder else None
