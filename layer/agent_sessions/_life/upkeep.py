"""What a turn does for its session's life: it writes nothing after the life's end, and lets nothing grow too old."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from agent_sessions._life.session_age import oldest_in, used_until, with_used_until
from agent_sessions._records.record_format import encode, is_erased, kit_of, parse
from agent_sessions.exceptions import SessionException, SessionNotFoundError, SessionStorageError, named
from agent_sessions.expiry import is_expired, renewal_due, renewal_required, slack_days
from agent_sessions.object_store import PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_sessions._life.renewal import Renewal
    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records, Version

logger = logging.getLogger(__name__)

SAME_TURN = timedelta(minutes=1)
"""A process renews again after so long, or when it must: orchestrators store their state after each node."""


class Upkeep:
    """Watches over the life of one open session.

    Args:
        records: Where the records are.
        layout: How they are named.
        life: Knows the session's life.
        session_id: The session, begun or found.
        time_left: Seconds until the turn's caller has to be answered.
        told: Told, when a renewal has ended, how many objects it has renewed, and whether it failed.
        clock: Seconds by this machine. Only differences count, and only to keep a turn from being late or slow.
    """

    def __init__(
        self,
        records: Records,
        layout: Layout,
        life: SessionLife,
        session_id: str,
        *,
        time_left: Callable[[], float] | None = None,
        told: Callable[[int, bool], object] = lambda _renewed, _failed: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._layout = layout
        self._life = life
        self._session_id = session_id
        self._time_left = time_left or _no_end
        self._told = told
        self._clock = clock
        self._last_contact = clock()
        self._held_back = False  # whether the session's record says that writes are no use of it
        self._turn_before: datetime | None = None  # when that turn wrote last; known after this turn's first write
        self._renewal: Renewal | None = None
        self._renewed_at: datetime | None = None  # when the last renewal began

    # --- life -------------------------------------------------------------------------------------------

    def note_created(self, key: str, version: Version) -> None:
        """An object was created. That is a use, if it was in time.

        A caller that opens the session after its expiry begins a new life, unless a turn wrote in time. So a turn whose
        first message comes too late deletes that message: its session is gone.

        Raises:
            SessionNotFoundError: The session has expired since it was opened.
        """
        if not self._life.find_later_use(self._session_id, version.written_at, but=key):
            self._records.take_back(key, version)
            raise self._expired()
        self.note_use(version.written_at)

    def note_use(self, at: datetime) -> None:
        """A turn has written at this time."""
        age = self._life.age(self._session_id)
        self._turn_before = self._turn_before or age.last_used
        age.last_used = age.seen_at = max(age.last_used, at)
        self._last_contact = self._clock()

    def note_earlier_use(self, at: datetime) -> None:
        """An earlier turn has written at this time, or has renewed what it wrote."""
        age = self._life.age(self._session_id)
        age.last_used = max(age.last_used, at)

    def before_update(self) -> None:
        """An object is about to be replaced, and this turn has created none that could be deleted again.

        Raises:
            SessionNotFoundError: The session has expired since it was opened.
        """
        ttl_days = self._life.ttl_days
        if not ttl_days or self._clock() - self._last_contact < ttl_days * 86_400 / 2:
            return
        # By this machine's clock it may be too late; the storage's clock decides.
        found = self._records.get(self._layout.session(self._session_id))
        now = found.stored.read_at if found is not None else None
        if now is None or not self._life.find_later_use(self._session_id, now):
            raise self._expired()

    def before_writing(self) -> None:
        """This turn is about to write.

        A turn's write makes the session live on. If objects in it are too old for that, only a turn that succeeds and
        renews them may do so. The record says this before anything else is written.

        Raises:
            SessionStorageError: The record could not be written.
        """
        age, ttl_days = self._life.age(self._session_id), self._life.ttl_days
        if self._held_back or not self._records.objects.removes_by_age or not age.adopted:
            return
        now = age.seen_at + timedelta(seconds=max(0.0, self._clock() - self._last_contact))
        # If the session has expired, the first write finds out.
        if renewal_required(age.oldest, now, ttl_days) and not is_expired(age.last_used, now, ttl_days):
            self._held_back = True
            self._hold_back()

    def _hold_back(self) -> None:
        key = self._layout.session(self._session_id)
        record = parse(key, self._records.objects.get(key))
        while record is not None and self._life.is_current(self._session_id, record) and not is_erased(record):
            oldest = oldest_in(record)
            if (
                used_until(record) is not None
                or oldest is None
                or not renewal_required(oldest, record.stored.read_at, self._life.ttl_days)
            ):
                return  # another process has said so, or has renewed what was too old
            until = oldest + timedelta(days=slack_days(self._life.ttl_days))
            kit = with_used_until(kit_of(record.content), until, oldest)
            body, _ = encode(key, {**record.content, "kit": kit}, self._records.incarnation(self._session_id) or "")
            try:
                self._records.put(key, body, Unchanged(record.stored.etag))
            except PreconditionFailedError as error:
                record = parse(key, error.found)
            else:
                return

    def _expired(self) -> SessionNotFoundError:
        return SessionNotFoundError(
            f"session_id={self._session_id} | the session has expired since it was opened, nothing was stored; "
            "open it again to begin anew",
            session_id=self._session_id,
            key=self._layout.session(self._session_id),
        )

    # --- renewal ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to renew objects of the session beside the turn, if that is due."""
        age = self._life.age(self._session_id)
        due = self._records.objects.removes_by_age and renewal_due(age.oldest, age.last_used, self._life.ttl_days)
        if due and self._renewal is None and not self._has_just_renewed():
            from agent_sessions._life.renewal import Renewal

            self._renewed_at = age.last_used
            unused = age.last_used - (self._turn_before or age.last_used)
            self._renewal = Renewal(
                self._records,
                self._layout,
                self._life,
                self._session_id,
                unused=max(unused, timedelta()),
                time_left=self._time_left,
                clock=self._clock,
            )
            self._renewal.start()

    @property
    def is_renewing(self) -> bool:
        """Whether this turn renews objects."""
        return self._renewal is not None

    def _has_just_renewed(self) -> bool:
        """Whether this process renewed so recently that it was in the same turn, perhaps of a graph."""
        age = self._life.age(self._session_id)
        if self._renewed_at is None or age.last_used - self._renewed_at >= SAME_TURN:
            return False
        return not (age.adopted and renewal_required(age.oldest, age.last_used, self._life.ttl_days))

    def finish(self) -> None:
        """Wait for the end of a renewal that was due, even if it became due during the turn.

        Raises:
            SessionException: The renewal failed, and some objects are too old for the turn to succeed without it.
            SessionStorageError: The same, when the time ran out (code ``RenewalUnfinished``).
        """
        self.start()
        renewal, self._renewal = self._renewal, None
        self._turn_before, self._held_back = None, False
        if renewal is None:
            return
        age = self._life.age(self._session_id)
        try:
            is_enough = renewal.wait()
        except SessionException as error:
            self._told(renewal.renewed, True)
            if age.adopted and renewal_required(age.oldest, age.last_used, self._life.ttl_days):
                raise
            logger.warning("session_id=<%s> | not renewed, the next turn goes on: %s", self._session_id, named(error))
            return
        self._told(renewal.renewed, not is_enough)
        if not is_enough:
            raise SessionStorageError(
                f"session_id={self._session_id} | the session is long and has not been used for long: what it is made "
                "of has to be renewed first, and the time did not suffice; the next turn goes on from there",
                code="RenewalUnfinished",
                session_id=self._session_id,
                key=self._layout.session(self._session_id),
            )

    def stop(self) -> None:
        """Stop everything that is under way."""
        renewal, self._renewal = self._renewal, None
        self._turn_before, self._held_back = None, False
        if renewal is not None:
            with contextlib.suppress(Exception):  # the turn has failed already, and its error is raised
                renewal.stop()
            self._told(renewal.renewed, False)


def _no_end() -> float:
    return math.inf
