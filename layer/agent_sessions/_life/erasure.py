"""The end of a session's life: closed first, then swept in steps.

    session.json   live ──mark──▶ marked ─────────────────────▶ gone
    what is below                 │ step │ step │ … │ nothing │
    who reads      finds it       nobody, from here on

The mark is one conditional write. From then on every reader finds the session gone, and so does every turn, except one
that begins a new life in its place: that turn sweeps first, too. A step lists about a thousand objects, asks whether
the mark still stands, and deletes what it has listed, each object only if nobody has written it since. So neither a
delayed step nor its repetition touches a life that has begun meanwhile. What cannot be deleted is passed, and named
when everything else is gone.

What has not been swept when the time is up stays closed. The next caller that erases or opens the session goes on.
"""
# Over 300 lines: closing, sweeping and reporting are one order, which a crash may cut anywhere.

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any

from agent_sessions._life.look_alikes import is_anothers
from agent_sessions._life.recent_markers import RECENT, dated, day_of, erase_markers, with_recent
from agent_sessions._records.record_format import Record, decode, encode, is_erased, life_of, parse
from agent_sessions.exceptions import (
    SessionBusyError,
    SessionCorruptError,
    SessionNotFoundError,
    SessionStorageError,
    named,
)
from agent_sessions.object_store import (
    Absent,
    Expectation,
    PreconditionFailedError,
    StoredObject,
    Unchanged,
)
from agent_sessions.session_pages import ErasureReport, ErasureStage
from agent_sessions.sweeps import Sweeping, all_but
from agent_sessions.types import Session, SessionType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import ListedObject
    from agent_sessions.sweeps import Swept

logger = logging.getLogger(__name__)

COUNTED = 1_000
"""What is left is counted up to this number: one listing."""

SWEEP_SECONDS = 5.0
"""How long a turn erases what was there before it. After that its caller is told to come back."""

BUSY_SECONDS = 1.0
"""When it makes sense to come back."""

VAIN_STEPS = 20
"""After so many steps in a row that delete nothing, because somebody writes everything anew, the erasure fails."""


class SessionErasure:
    """One erasure of a session. It is run once; another thread can see how far it has come.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        clock: Seconds.
    """

    def __init__(
        self, records: Records, layout: Layout, session_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._records = records
        self._objects = records.objects
        self._layout = layout
        self._session_id = session_id
        self._key = layout.session(session_id)
        self._folder = layout.session_folder(session_id)
        self._clock = clock
        self._abandoned = threading.Event()
        self._mark: str | None = None  # the ETag of the mark that stands; ``None`` where no record does
        self._superseded = False
        self._kit: dict[str, Any] = {}  # what the record that the mark replaces says of markers
        self._seen_at: datetime | None = None  # the storage's time
        self._leases = 0  # how many erased objects were leases, which make no session
        self.stage = ErasureStage.OPEN
        self.erased = 0

    def abandon(self) -> None:
        """Send nothing more, not even the repetition of a request that hangs."""
        self._abandoned.set()

    def run(self, *, within_seconds: float | None = None) -> ErasureReport:
        """Close the session, and sweep it.

        Args:
            within_seconds: When to stop sweeping, at the end of a step; one step is always taken. ``None``: when
                nothing is left.

        Raises:
            SessionNotFoundError: There is nothing of the session.
            SessionStorageError: The storage failed, or something could not be deleted; the error names what is left.
        """
        ends = None if within_seconds is None else self._clock() + within_seconds
        with self._objects.only_while(lambda: not self._abandoned.is_set()):
            self._close()
            if not self._erase_markers(ends) or not self._sweep(ends):
                return ErasureReport(self.erased, self._count_left())
            self._open_the_place()
        return ErasureReport(self.erased, 0)

    # --- closing ----------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Mark the session's record, even if others write to it meanwhile.

        Without the mark, the remains of an erasure that ends early would look like a session that a lifecycle rule has
        damaged, and would be restored.
        """
        found = self._objects.get(self._key)
        if self._would_erase_another(found):
            raise self._not_found()
        while self.stage is not ErasureStage.CLOSED and not self._superseded:
            if found is not None:
                self._kit, self._seen_at = kit_in(self._key, found), found.read_at
            if found is not None and is_mark(self._key, found):
                self._mark, self.stage = found.etag, ErasureStage.CLOSED
            elif found is None and not self._find_more_than_a_lease():
                return  # no session can be found here, but older versions of one may be left
            else:
                found = self._replace(found)

    def _find_more_than_a_lease(self) -> bool:
        """Look for more than a lease, and count it. Without conditional deletes a lease that was given back stays."""
        lease = self._layout.lease(self._session_id)
        listed = list(islice(self._objects.list(self._folder), COUNTED))
        keys = [entry.key for entry in listed[:2]]
        self._leases = keys.count(lease)
        if listed:
            self._kit, self._seen_at = of_remains(listed), max(entry.last_modified for entry in listed)
        return keys not in ([], [lease])

    def _would_erase_another(self, found: StoredObject | None) -> bool:
        """Whether the session here has another name, which the store does not tell from this one."""
        record = None
        with contextlib.suppress(SessionCorruptError):  # if it is damaged, its folder's name has to do
            record = parse(self._key, found)
        if record is None:
            return not self._objects.is_named_exactly(self._folder)
        return is_anothers(self._objects, self._layout, self._session_id, record)

    def _not_found(self) -> SessionNotFoundError:
        return SessionNotFoundError(f"Session {self._session_id} does not exist", key=self._key)

    def _replace(self, found: StoredObject | None) -> StoredObject | None:
        """Put the mark in the place of what was found. Returns what is there instead, if anything is."""
        self.stage = ErasureStage.CLOSING
        try:
            self._mark = put_mark(
                self._records, self._layout, self._session_id, expecting(found), **markers_of(self._kit)
            )
        except PreconditionFailedError as error:
            self.stage = ErasureStage.OPEN
            if found is not None and error.found is not None and not goes_on(self._key, found, error.found):
                # The life that was to be erased is gone, and the next one has begun in its place.
                self._superseded = True
            return error.found
        self.stage = ErasureStage.CLOSED
        return None

    # --- sweeping ---------------------------------------------------------------------------------------

    def _is_late(self, ends: float | None) -> bool:
        return ends is not None and self._clock() >= ends

    def _erase_markers(self, ends: float | None) -> bool:
        """Erase the session's markers. Returns whether none is left; if not, the mark says for another call which."""
        if self._seen_at is None:
            return True

        def is_to_end() -> bool:
            return self._abandoned.is_set() or self._is_late(ends)

        left = erase_markers(
            self._objects, self._layout, self._session_id, self._kit, self._seen_at, time_is_up=is_to_end
        )
        if left is not None and self._mark is not None:
            with contextlib.suppress(PreconditionFailedError):  # somebody else goes on, or begins anew
                self._mark = put_mark(
                    self._records, self._layout, self._session_id, Unchanged(self._mark), **markers_of(left)
                )
        return left is None

    def _sweep(self, ends: float | None) -> bool:
        """Delete everything below the session except the mark.

        Returns:
            Whether nothing is left. If the next life has begun, nothing of this one is left.

        Raises:
            SessionStorageError: Something could not be deleted; everything else is.
        """
        sweeping = Sweeping(self._sweep_step)
        while not self._superseded and sweeping.take_step() and not self._superseded:
            if sweeping.vain_steps >= VAIN_STEPS:
                raise SessionStorageError(
                    f"session_id={self._session_id} | what is to be erased is written anew all the time",
                    code="StillWritten",
                    key=self._key,
                )
            if self._is_late(ends):
                return False
        if sweeping.left.count and not self._superseded:
            raise sweeping.left.error(f"session_id={self._session_id}", session_id=self._session_id)
        return True

    def _sweep_step(self, behind: str) -> Swept:
        step = self._objects.sweep(self._folder, all_but([self._key]), still=self._still_stands, behind=behind)
        self.erased += len(step.gone)
        return step

    def _still_stands(self) -> bool:
        """Whether the listed objects may be deleted: the session is still closed, or there is still no record of it."""
        found = self._objects.get(self._key)
        if found is None:
            # Another caller may have finished the erasure. Then no life has begun yet.
            self._mark = None
            return True
        if not is_mark(self._key, found):
            self._superseded = True
            return False
        self._mark = found.etag  # perhaps of a caller that erases or begins anew at the same time
        return True

    def _count_left(self) -> int:
        try:
            listed = sum(entry.key != self._key for entry in islice(self._objects.list(self._folder), COUNTED))
        except SessionStorageError as error:
            logger.warning("session_id=<%s> | what is left could not be counted: %s", self._session_id, named(error))
            return 1
        return max(listed, 1)  # older versions may be left, which a listing does not show

    def _open_the_place(self) -> None:
        """Delete the mark, and with it the last of the session."""
        if self.stage is ErasureStage.OPEN and self.erased <= self._leases and not self._superseded:
            raise self._not_found()
        if self._mark is not None and not self._superseded:
            self._objects.delete_version(self._key, self._mark)
            # On a disk, empty folders; in a bucket that once kept versions, the mark's delete marker. If there is a
            # lease now, its holder is beginning the next life.
            keep = [self._layout.lease(self._session_id)]
            self._objects.erase_some(self._folder, keep=keep, still=self._still_stands)
        self._records.forget(self._session_id, self._folder)
        self.stage = ErasureStage.ERASED


def put_mark(records: Records, layout: Layout, session_id: str, expect: Expectation, **noted: Any) -> str:
    """Say in a session's record that its life has ended.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        expect: What is there now.
        noted: What the mark is to say besides.

    Returns:
        The mark's ETag.

    Raises:
        PreconditionFailedError: The record is not as expected.
    """
    key = layout.session(session_id)
    mark = Session(session_id=session_id, session_type=SessionType.AGENT, kit={"erased": True, **noted})
    body, _ = encode(key, mark.to_dict(), uuid.uuid4().hex)
    return records.objects.put(key, body, expect).etag


def kit_in(key: str, found: StoredObject | None) -> dict[str, Any]:
    """What stands under ``kit`` of a session's record or mark; nothing where it is missing or cannot be read.

    If there can be markers of the session, it says since when.
    """
    with contextlib.suppress(SessionCorruptError):
        record = parse(key, found)
        return {} if record is None else dated(record)
    return {}


def of_remains(listed: Sequence[ListedObject]) -> dict[str, Any]:
    """What a record would say of markers that was lost, as far as objects of the session's tell."""
    return with_recent({}, day=day_of(min(entry.last_modified for entry in listed)))


def markers_of(kit: dict[str, Any]) -> dict[str, Any]:
    """What a mark is to say of a session's markers, so that whoever goes on finds them."""
    return {RECENT: kit[RECENT]} if RECENT in kit else {}


def expecting(found: StoredObject | None) -> Expectation:
    """What to expect at a write after this was found."""
    return Unchanged(found.etag) if found is not None else Absent()


def goes_on(key: str, before: StoredObject, after: StoredObject) -> bool:
    """Whether a session's record is still of the same life, or of one that somebody else is erasing."""
    try:
        was, now = (Record(key, decode(key, stored), stored) for stored in (before, after))
    except SessionCorruptError:
        return False  # its writer knows more
    return is_erased(now) or life_of(was.content) == life_of(now.content)


def sweep_for_next_life(
    records: Records,
    layout: Layout,
    session_id: str,
    found: StoredObject | None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Erase what is left of a life. The mark keeps its place until the next life begins there.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        found: The record of the life that ends; ``None`` when there is none.
        clock: Seconds.

    Returns:
        The ETag of the mark in whose place the next life begins.

    Raises:
        PreconditionFailedError: Another caller has begun a life here.
        SessionBusyError: There is more to erase than a turn has time for. What has been erased is gone; the place is
            closed, and the next caller goes on.
        SessionStorageError: Something could not be deleted; the error names it.
    """
    key, folder = layout.session(session_id), layout.session_folder(session_id)
    ends = clock() + SWEEP_SECONDS
    kit, seen_at = kit_in(key, found), None if found is None else found.read_at
    if found is None and (listed := list(islice(records.objects.list(folder), COUNTED))):
        kit, seen_at = of_remains(listed), max(entry.last_modified for entry in listed)
    # Mark only what was found: another caller may have begun a new life in its place since.
    mark = put_mark(records, layout, session_id, expecting(found), **markers_of(kit))
    busy = SessionBusyError(
        f"session_id={session_id} | what was stored under this id before is still being erased",
        retry_after_seconds=BUSY_SECONDS,
        holder="the erasure of what was stored under this id before",
        key=key,
    )
    if seen_at is not None:
        left = erase_markers(records.objects, layout, session_id, kit, seen_at, time_is_up=lambda: clock() >= ends)
        if left is not None:
            put_mark(records, layout, session_id, Unchanged(mark), **markers_of(left))
            raise busy

    def stands() -> bool:
        record = records.objects.get(key)
        return record is not None and record.etag == mark

    # A caller that begins a session may hold its lease already.
    chosen = all_but([key, layout.lease(session_id)])
    sweeping = Sweeping(lambda behind: records.objects.sweep(folder, chosen, still=stands, behind=behind))
    while sweeping.take_step():
        if clock() >= ends:
            raise busy
    if sweeping.left.count:
        raise sweeping.left.error(f"session_id={session_id}", session_id=session_id)
    records.forget(session_id, folder)
    return mark


def is_mark(key: str, stored: StoredObject) -> bool:
    """Whether what lies at a session's key says that its life has ended."""
    try:
        return is_erased(Record(key, decode(key, stored), stored))
    except SessionCorruptError:
        return False
