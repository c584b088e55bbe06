"""How a lease is claimed: what every way has in common, and the claim that is an object, which runs out.

In a folder a lock on a file does better: see ``file_claim``.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from agent_sessions.object_store import ObjectStore, StoredObject

FORMAT = 1
"""Version of ``lease.json``."""

CLOCK_RESOLUTION_SECONDS = 1.0
"""S3 tells its time in whole seconds: of two moments up to a second apart it may call the later one the same."""

_LONGEST_BELIEVED_SECONDS = 900.0
_UNKNOWN_DURATION_SECONDS = 30.0


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

    def stands(self) -> bool:
        """Whether the claim has not been ended by somebody else, as far as that costs no request."""

    def renew(self) -> bool:
        """Make the claim last longer; ``False`` when it is another's."""

    def give_back(self, *, whole: bool) -> None:
        """End the claim. When not ``whole``, leave a note of that to whoever claims next."""


class RecordClaim:
    """A claim that is an object, judged by the storage's clock alone.

    Args:
        objects: Where the object lives.
        key: Its key.
        terms: What is claimed.
    """

    runs_out = True

    def __init__(self, objects: ObjectStore, key: str, terms: LeaseTerms) -> None:
        self._objects = objects
        self._key = key
        self._terms = terms
        self._etag = ""
        self.found_unfinished = False

    def take(self) -> Refusal | None:
        """See :meth:`Claim.take`. Costs one write when the lease is free, a read more when it is not."""
        expect: Expectation = Absent()
        found: StoredObject | None = None
        while True:
            try:
                self._etag = self._objects.put(self._key, self._terms.body(), expect).etag
            except PreconditionFailedError as error:
                found = error.found
                if found is None:
                    expect = Absent()  # given back at this moment
                    continue
                claimed = read_claim(found.body)
                remaining = _remaining_seconds(found, claimed)
                if remaining > 0 and claimed.get("lease_id") != self._terms.lease_id:
                    return Refusal(holder_in(claimed), remaining)
                # Exactly the claim that has run out: of two who see that, one gets it.
                expect = Unchanged(found.etag)
                continue
            self.found_unfinished = found is not None and read_claim(found.body).get("whole") is not True
            return None

    def stands(self) -> bool:
        """See :meth:`Claim.stands`. Only time ends it, which the lease keeps."""
        return True

    def renew(self) -> bool:
        """See :meth:`Claim.renew`."""
        etag = self._etag
        while True:
            try:
                self._etag = self._objects.put(self._key, self._terms.body(), Unchanged(etag)).etag
            except PreconditionFailedError as error:
                # An earlier renewal of ours may have been applied without our learning of it.
                if error.found is None or read_claim(error.found.body).get("lease_id") != self._terms.lease_id:
                    return False
                etag = error.found.etag
                continue
            return True

    def give_back(self, *, whole: bool) -> None:
        """See :meth:`Claim.give_back`."""
        given_back = self._terms.given_back(whole=whole)
        if whole:
            if not self._objects.delete_current(self._key, self._etag, instead=given_back):
                self._delete_own(given_back)
            self._objects.drop_empty_folder(self._key.rpartition("/")[0] + "/")
            return
        with contextlib.suppress(PreconditionFailedError):  # taken over already, or erased with the session
            self._objects.put(self._key, given_back, Unchanged(self._etag))

    def _delete_own(self, given_back: bytes) -> None:
        """A renewal may have been applied without our learning of it: then the claim is ours under another ETag."""
        found = self._objects.get(self._key)
        if found is not None and read_claim(found.body).get("lease_id") == self._terms.lease_id:
            self._objects.delete_current(self._key, found.etag, instead=given_back)


def read_claim(body: bytes) -> dict[str, Any]:
    """What a claim says; nothing when it cannot be understood."""
    try:
        claimed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return claimed if isinstance(claimed, dict) else {}


def _remaining_seconds(found: StoredObject, claimed: dict[str, Any]) -> float:
    """How long a claim lasts from the moment it was read, by the storage's clock."""
    duration = claimed.get("duration_seconds")
    if not isinstance(duration, (int, float)) or isinstance(duration, bool) or not duration >= 0:
        duration = _UNKNOWN_DURATION_SECONDS
    if duration == 0:
        return 0.0  # given back, with a note
    age = (found.read_at - found.last_modified).total_seconds()
    return min(duration, _LONGEST_BELIEVED_SECONDS) + CLOCK_RESOLUTION_SECONDS - age


def holder_in(claimed: dict[str, Any]) -> str | None:
    """Who holds a claim, where it says so."""
    holder = claimed.get("holder")
    return holder if isinstance(holder, str) and holder else None
