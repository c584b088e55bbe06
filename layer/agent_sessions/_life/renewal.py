"""Renews objects of a session in use, so that a lifecycle rule never finds an old one there.

See ``expiry`` for what follows from it, and ``renewal_share`` for how many objects a turn renews. The oldest come
first. To renew an object, its bytes are written again, if nobody has written it since they were read; if somebody has,
that write has renewed it. After every hundred objects the session's record says how far this has come. So even a turn
that fails, runs out of time or dies has moved it on.

The steps follow one another; what stands in braces is done at once:

    read the record → list → {read and write 100 objects} → write the record → {100 objects} → write the record → …

A crash before the record is written repeats those hundred. If nobody has looked at a range of keys yet, its keys are
listed first, to learn how many there are and how old.

The work runs beside the turn, on the threads that wait for the store. None of these waits for another.
"""
# Over 300 lines: one renewal from its first look to its last write, on a thread of its own.

from __future__ import annotations

import logging
import math
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._life import key_listing
from agent_sessions._life.key_listing import KeyListing
from agent_sessions._life.renewal_share import Share, share_of
from agent_sessions._life.session_age import ages_in, is_adopted, with_ages
from agent_sessions._records.background import submit
from agent_sessions._records.layout import lasts_with_session
from agent_sessions._records.record_format import Record, encode, is_erased, kit_of, parse
from agent_sessions.expiry import renewal_due, renewal_required
from agent_sessions.locks import Lock
from agent_sessions.object_store import PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from agent_sessions._life.object_ages import ObjectAges, Range
    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records

logger = logging.getLogger(__name__)

WORKERS = 8
"""Objects renewed at once. This leaves threads and connections for the turn's own writes."""

STEP_OBJECTS = 100
"""Objects renewed between two writes of the session's record: a crash loses at most half a second's work."""

MOST_PAGES = 40
"""Listing requests that a turn spends on unknown ranges: two to three seconds. The next turn goes on."""

SECONDS_TO_CLOSE = 1.0
"""No step begins in the last seconds: the step under way must end and the record must be written."""


class _Step(NamedTuple):
    """Objects that are renewed together.

    after: The key after which they lie, below the session's folder.
    last: The last key that was looked at, also below that folder.
    objects: How many objects of the session lie there.
    keys: The keys to renew, in order, each with the number of objects up to it.
    """

    after: str
    last: str
    objects: int
    keys: list[tuple[str, int]]


class Renewal:
    """What one turn renews of its session.

    Args:
        records: Where the records are.
        layout: How they are named.
        life: Knows the session's life, and learns how old its objects can be from now on.
        session_id: The session, begun or found.
        unused: How long ago the turn before was.
        time_left: Seconds until the turn's caller has to be answered.
        clock: Seconds; only their differences count.
    """

    def __init__(
        self,
        records: Records,
        layout: Layout,
        life: SessionLife,
        session_id: str,
        *,
        unused: timedelta,
        time_left: Callable[[], float] = lambda: math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._objects = records.objects
        self._life = life
        self._session_id = session_id
        self._unused = unused
        self._time_left = time_left
        self._clock = clock
        self._key = layout.session(session_id)
        self._folder = layout.session_folder(session_id)
        self._listing = KeyListing(self._objects, self._folder)
        self._lock = Lock()
        self._stopped = False
        self._failure: BaseException | None = None
        self._done: Future[bool] = Future()
        # Known from the record on:
        self._record: Record
        self._ages: ObjectAges
        self._began: datetime
        self._started = 0.0
        self._adopted = True
        self._share: Share | None = None
        self._pages = 0
        self._renewed = 0
        self._unsaved = False
        # Of the step under way:
        self._step = _Step("", "", 0, [])
        self._todo: deque[int] = deque()
        self._finished: set[int] = set()
        self._working = 0

    def start(self) -> None:
        """Begin, beside the caller."""
        self._submit(self._begin)

    def wait(self) -> bool:
        """Wait until this turn's share has been renewed, and the session's record says so.

        Returns:
            Whether that was enough. It was not if the time ran out before all was renewed that the turn needs to
                succeed.

        Raises:
            SessionException: The storage failed. The record says what had been renewed by then, if it could be written.
        """
        return self._done.result()

    def stop(self) -> None:
        """Renew nothing more, and return when no write is on its way."""
        self._stopped = True
        self._done.exception()

    @property
    def renewed(self) -> int:
        """How many objects have been renewed so far."""
        return self._renewed

    def _submit(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is raised to whoever waits
                self._done.set_exception(error)

        submit(self._objects, run)

    # --- what to do next --------------------------------------------------------------------------------

    def _begin(self) -> None:
        record = self._current(parse(self._key, self._objects.get(self._key)))
        if record is None:
            self._done.set_result(True)
            return
        self._record, self._began, self._started = record, record.stored.read_at, self._clock()
        self._ages, self._adopted = ages_in(record), is_adopted(record)
        self._go_on()

    def _go_on(self) -> None:
        """Begin the next step, or end when the turn has done its share."""
        while not self._is_over():
            unseen = self._ages.first_unseen()
            if unseen is not None and self._pages < MOST_PAGES:
                self._look_at(*unseen)
                continue
            after, oldest = self._ages.next_range()
            most = self._most(oldest)
            if not most:
                break
            step = self._next_step(after, oldest, min(most, STEP_OBJECTS))
            if step.keys:
                self._take(step)
                return
            self._learn(step.after, step.last, self._began, step.objects)
        self._conclude()

    def _is_over(self) -> bool:
        if self._stopped or self._time_left() < SECONDS_TO_CLOSE:
            return True
        return not renewal_due(self._ages.oldest, self._began, self._life.ttl_days)

    def _most(self, oldest: Range) -> int:
        """How many objects the turn may still renew; ``0`` when it has done enough."""
        if self._share is None:
            self._share = share_of(self._ages, self._began, self._unused, self._life.ttl_days, adopted=self._adopted)
        if self._is_required(oldest.since):
            return STEP_OBJECTS
        return self._share.left(self._renewed, self._clock() - self._started)

    def _is_required(self, since: datetime) -> bool:
        return self._adopted and renewal_required(since, self._began, self._life.ttl_days)

    def _look_at(self, after: str, unseen: Range) -> None:
        """Learn how many objects a range holds. If that is more than a page, learn the ages of the page's objects."""
        self._pages += 1
        page = islice(self._listing.behind(after), key_listing.PAGE)
        inside = [(name, entry) for name, entry in page if name <= unseen.last]
        lasting = [entry for name, entry in inside if lasts_with_session(name)]
        if len(inside) < key_listing.PAGE and not after:
            # The ages in a short session do not matter: it is renewed as a whole.
            self._learn(after, unseen.last, unseen.since, len(lasting))
            return
        oldest = min((entry.last_modified for entry in lasting), default=self._began)
        last = inside[-1][0] if len(inside) == key_listing.PAGE else unseen.last
        self._learn(after, last, min(oldest, self._began), len(lasting))

    def _next_step(self, after: str, within: Range, most: int) -> _Step:
        """The next objects to renew: in a range, after a key, and written before this renewal began."""
        keys: list[tuple[str, int]] = []
        last, count = after, 0
        for looked_at, (name, entry) in enumerate(self._listing.behind(after)):
            if name > within.last:
                break
            if looked_at == key_listing.PAGE or len(keys) == most:
                return _Step(after, last, count, keys)
            last = name
            if lasts_with_session(name):
                count += 1
                if entry.last_modified < self._began:
                    keys.append((name, count))
        return _Step(after, within.last, count, keys)

    def _learn(self, after: str, last: str, since: datetime, count: int) -> None:
        self._ages = self._ages.learned(after, last, since, count)
        self._unsaved = True

    # --- renewing ---------------------------------------------------------------------------------------

    def _take(self, step: _Step) -> None:
        self._step, self._todo, self._finished = step, deque(range(len(step.keys))), set()
        self._working = workers = min(WORKERS, len(step.keys))
        for _ in range(workers):
            self._submit(self._work)

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                self._renew(f"{self._folder}{self._step.keys[number][0]}")
                with self._lock:
                    self._finished.add(number)
        except BaseException as error:  # noqa: BLE001 - the last worker raises it to whoever waits
            self._failure = self._failure or error
        with self._lock:
            self._working -= 1
            if self._working:
                return
        self._end_step()

    def _next(self) -> int | None:
        with self._lock:
            return None if self._stopped or self._failure or not self._todo else self._todo.popleft()

    def _renew(self, key: str) -> None:
        found = self._objects.get(key)
        if found is None or found.last_modified >= self._began:
            return  # deleted or written since it was listed
        try:
            self._objects.put(key, found.body, Unchanged(found.etag))
        except PreconditionFailedError:
            return  # written by somebody at this moment, which renewed it, or deleted

    def _end_step(self) -> None:
        """Keep what has been renewed, up to the first object that was left out."""
        step = self._step
        whole = next(number for number in range(len(step.keys) + 1) if number not in self._finished)
        self._renewed += whole
        if whole == len(step.keys):
            self._learn(step.after, step.last, self._began, step.objects)
        elif whole:
            name, count = step.keys[whole - 1]
            self._learn(step.after, name, self._began, count)
        if self._failure is not None:
            # The caller is told of the first failure. A second one, of writing the record, would hide it.
            with suppress(Exception):
                self._save()
            self._done.set_exception(self._failure)
            return
        if self._save():
            self._go_on()

    # --- the session's record ---------------------------------------------------------------------------

    def _conclude(self) -> None:
        if self._unsaved and not self._save():
            return
        self._tell_age()
        if self._renewed:
            logger.info("session_id=<%s>, renewed=<%d> | objects renewed", self._session_id, self._renewed)
        self._done.set_result(not self._is_required(self._ages.oldest))

    def _save(self) -> bool:
        """Write into the session's record how old its objects can be by now.

        Returns:
            Whether the session still lives. If not, the caller has been told that nothing is left to do.
        """
        record: Record | None = self._record
        while record is not None:
            too_old = renewal_required(self._ages.oldest, self._began, self._life.ttl_days)
            self._adopted = self._adopted or not too_old
            kit = with_ages(kit_of(record.content), self._ages, adopted=self._adopted, too_old=too_old)
            body, _ = encode(
                self._key, {**record.content, "kit": kit}, self._records.incarnation(self._session_id) or ""
            )
            try:
                written = self._objects.put(self._key, body, Unchanged(record.stored.etag))
            except PreconditionFailedError as error:
                # Another renewal has written its progress, or the session has ended.
                record = self._current(parse(self._key, error.found))
                if record is not None:
                    self._ages, self._adopted = self._ages.joined(ages_in(record)), is_adopted(record)
                continue
            stored = record.stored._replace(body=body, etag=written.etag, last_modified=written.at)
            self._record, self._unsaved = Record(self._key, {**record.content, "kit": kit}, stored), False
            self._tell_age()
            return True
        self._done.set_result(True)
        return False

    def _tell_age(self) -> None:
        age = self._life.age(self._session_id)
        age.oldest, age.adopted = self._ages.oldest, self._adopted

    def _current(self, record: Record | None) -> Record | None:
        """The session's record, if it is of this process's life and nobody is erasing it.

        If it is missing, only opening the session can tell damage from an erasure.
        """
        if record is None or is_erased(record) or not self._life.is_current(self._session_id, record):
            logger.warning("session_id=<%s> | not renewed: its record is gone, or another's", self._session_id)
            return None
        return record
