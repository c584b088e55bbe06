"""Claims of a lease, and what every kind of claim does: part of what a store may offer.

Any object store can use one kind (``_storage.record_claim``); a folder has a better one (``_storage.file_claim``).
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
    """The terms of a claim.

    Attributes:
        holder: The holder, in its own words.
        duration_seconds: How long the claim lasts without renewal.
        lease_id: Tells this holder's claims from all others.
    """

    holder: str
    duration_seconds: float
    lease_id: str

    def body(self) -> bytes:
        """The JSON record of the claim. Each record is unique, so that a writer recognises its own."""
        return self._record(duration_seconds=self.duration_seconds)

    def given_back(self, *, whole: bool) -> bytes:
        """The JSON record of an ended claim: it lasts for no time, and says whether everything was written."""
        return self._record(duration_seconds=0, whole=whole)

    def _record(self, **fields: Any) -> bytes:
        record = {"format": FORMAT, "lease_id": self.lease_id, "holder": self.holder, **fields}
        return json.dumps({**record, "nonce": uuid.uuid4().hex}).encode()


@dataclass(frozen=True)
class Refusal:
    """Somebody else holds the lease.

    Attributes:
        holder: Who, if the claim says so.
        remaining_seconds: After so long the claim has run out, unless it is renewed.
    """

    holder: str | None
    remaining_seconds: float


class Claim(Protocol):
    """One way to hold a lease."""

    found_unfinished: bool
    """Whether the claim before this one was not given back as whole."""

    took_over: bool
    """Whether it was not given back at all: its holder died, or was stopped."""

    @property
    def runs_out(self) -> bool:
        """Whether the claim must be renewed to last."""

    def take(self) -> Refusal | None:
        """Claim the lease, without waiting; ``None`` when this holder has it now."""

    def look(self) -> Refusal | None:
        """Who holds the lease, without claiming it; ``None`` when nobody does."""

    def stands(self) -> bool:
        """Whether nobody else has ended the claim, as far as that costs no request."""

    def renew(self) -> bool:
        """Make the claim last longer; ``False`` when another holder has the lease."""

    def give_back(self, *, whole: bool) -> None:
        """End the claim. If not ``whole``, leave a note of that to the next holder."""


def read_claim(body: bytes) -> dict[str, Any]:
    """The content of a claim's JSON record; empty when it cannot be understood."""
    try:
        claimed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return claimed if isinstance(claimed, dict) else {}


def was_given_back(claimed: dict[str, Any]) -> bool:
    """Whether a claim was ended by its holder."""
    return claimed.get("duration_seconds") == 0


def holder_in(claimed: dict[str, Any]) -> str | None:
    """The holder of a claim, if it says so."""
    holder = claimed.get("holder")
    return holder if isinstance(holder, str) and holder else None
