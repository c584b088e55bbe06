"""A lease that is an object: written under conditions, and taken over when it has run out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from agent_sessions.claims import LeaseTerms, Refusal, holder_in, read_claim, was_given_back
from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from agent_sessions.object_store import ObjectStore, StoredObject

CLOCK_RESOLUTION_SECONDS = 1.0
"""S3's clock shows whole seconds: it may call two moments up to a second apart the same."""

_LONGEST_BELIEVED_SECONDS = 900.0
_UNKNOWN_DURATION_SECONDS = 30.0


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
        self.took_over = False

    def take(self) -> Refusal | None:
        """See :meth:`Claim.take`. It costs one write if the lease is free, else one more read."""
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
                # Replace exactly the claim that has run out: if two callers see that, one gets it.
                expect = Unchanged(found.etag)
                continue
            before = None if found is None else read_claim(found.body)
            self.found_unfinished = before is not None and before.get("whole") is not True
            self.took_over = before is not None and not was_given_back(before)
            return None

    def look(self) -> Refusal | None:
        """See :meth:`Claim.look`. It costs one read."""
        found = self._objects.get(self._key)
        if found is None:
            return None
        claimed = read_claim(found.body)
        remaining = _remaining_seconds(found, claimed)
        return Refusal(holder_in(claimed), remaining) if remaining > 0 else None

    def stands(self) -> bool:
        """See :meth:`Claim.stands`. Only time ends the claim, and the lease watches that."""
        return True

    def renew(self) -> bool:
        """See :meth:`Claim.renew`."""
        etag = self._etag
        while True:
            try:
                self._etag = self._objects.put(self._key, self._terms.body(), Unchanged(etag)).etag
            except PreconditionFailedError as error:
                # An earlier renewal of ours may have been applied although its answer was lost.
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
        """Delete our claim under another ETag: a renewal may have been applied although its answer was lost."""
        found = self._objects.get(self._key)
        if found is not None and read_claim(found.body).get("lease_id") == self._terms.lease_id:
            self._objects.delete_current(self._key, found.etag, instead=given_back)


def _remaining_seconds(found: StoredObject, claimed: dict[str, Any]) -> float:
    """How long a claim lasts from the moment it was read, by the storage's clock."""
    duration = claimed.get("duration_seconds")
    if not isinstance(duration, (int, float)) or isinstance(duration, bool) or not duration >= 0:
        duration = _UNKNOWN_DURATION_SECONDS
    if duration == 0:
        return 0.0  # given back, with a note
    age = (found.read_at - found.last_modified).total_seconds()
    return min(duration, _LONGEST_BELIEVED_SECONDS) + CLOCK_RESOLUTION_SECONDS - age
