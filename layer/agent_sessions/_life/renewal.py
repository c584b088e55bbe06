"""Renews the objects of a session in use, so that a lifecycle rule never finds an old one there.

See ``expiry`` for what follows from it. An object is renewed by writing what was read, under the condition that
nobody has written since; if somebody has, that has renewed it. The mark in the session's record comes last and says
when the renewal *began*: whatever was not renewed had been written since then. A crash before the mark repeats it all.

The work runs beside the turn, on the threads that wait for the store, without any of them waiting for another.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from agent_sessions._life.erasure import is_erased
from agent_sessions._life.session_age import marked_at, with_mark
from agent_sessions._records.layout import lasts_with_session
from agent_sessions._records.records import Record, encode, kit_of, parse
from agent_sessions.expiry import renewal_due
from agent_sessions.object_store import PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records

logger = logging.getLogger(__name__)

WORKERS = 8
"""Objects renewed at once. It leaves threads and connections for the turn's own writes."""


class Renewal:
    """One renewal of a session.

    Args:
        records: Where the records are.
        layout: How they are named.
        life: Knows the session's life, and learns of the new mark.
        session_id: The session, begun or found.
    """

    def __init__(self, records: Records, layout: Layout, life: SessionLife, session_id: str) -> None:
        self._records = records
        self._objects = records.objects
        self._layout = layout
        self._life = life
        self._session_id = session_id
        self._key = layout.session(session_id)
        self._lock = threading.Lock()
        self._todo: deque[str] = deque()
        self._working = 0
        self._renewed = 0
        self._failure: BaseException | None = None
        self._stopped = False
        self._done: Future[None] = Future()

    def start(self) -> None:
        """Begin, beside the caller."""
        self._submit(self._survey)

    def wait(self) -> None:
        """Return when every object has been renewed, and the mark says so.

        Raises:
            SessionException: The storage failed. The mark is as it was.
        """
        self._done.result()

    def stop(self) -> None:
        """Renew nothing more, and return when nothing is on its way."""
        self._stopped = True
        self._done.exception()

    def _submit(self, step: Callable[[], None]) -> None:
        def run() -> None:
            try:
                step()
            except BaseException as error:  # noqa: BLE001 - it is raised to whoever waits
                self._done.set_exception(error)

        self._objects.submit(run)

    def _survey(self) -> None:
        """Find out what is to be renewed: every object written before this moment."""
        record = self._current(parse(self._key, self._objects.get(self._key)))
        if record is None:
            self._done.set_result(None)
            return
        mark = marked_at(record)
        if mark is not None and not renewal_due(mark, record.stored.read_at, self._life.ttl_days):
            self._conclude(mark)  # another process has been faster
            return
        folder = self._layout.session_folder(self._session_id)
        began = record.stored.read_at
        self._todo.extend(
            entry.key
            for entry in self._objects.list(folder)
            if entry.last_modified < began and lasts_with_session(entry.key[len(folder) :])
        )
        if not self._todo:
            self._put_mark(record, began)
            return
        self._working = min(WORKERS, len(self._todo))
        for _ in range(self._working):
            self._submit(lambda: self._work(record, began))

    def _work(self, record: Record, began: datetime) -> None:
        try:
            while (key := self._next()) is not None:
                self._renew(key, began)
        except BaseException as error:  # noqa: BLE001 - the last worker raises it to whoever waits
            self._failure = self._failure or error
        with self._lock:
            self._working -= 1
            if self._working:
                return
        if self._failure is not None:
            self._done.set_exception(self._failure)
        elif self._stopped:
            self._done.set_result(None)
        else:
            self._put_mark(record, began)

    def _next(self) -> str | None:
        with self._lock:
            return None if self._stopped or self._failure or not self._todo else self._todo.popleft()

    def _renew(self, key: str, began: datetime) -> None:
        found = self._objects.get(key)
        if found is None or found.last_modified >= began:
            return  # deleted or written since it was listed
        try:
            self._objects.put(key, found.body, Unchanged(found.etag))
        except PreconditionFailedError:
            return  # written by somebody at this moment, which renewed it, or deleted
        with self._lock:
            self._renewed += 1

    def _put_mark(self, found: Record, began: datetime) -> None:
        record: Record | None = found
        while record is not None:
            content = {**record.content, "kit": with_mark(kit_of(record.content), began)}
            body, _ = encode(self._key, content, self._records.incarnation(self._session_id) or "")
            try:
                self._objects.put(self._key, body, Unchanged(record.stored.etag))
            except PreconditionFailedError as error:
                # Another renewal has come to its end, or the session to its own.
                record = self._current(parse(self._key, error.found))
                mark = marked_at(record) if record is not None else None
                if mark is not None and mark >= began:
                    began = mark
                    break
            else:
                break
        logger.info("session_id=<%s>, renewed=<%d> | objects renewed", self._session_id, self._renewed)
        self._conclude(began)

    def _conclude(self, mark: datetime) -> None:
        self._life.age(self._session_id).marked_at = mark
        self._done.set_result(None)

    def _current(self, record: Record | None) -> Record | None:
        """The session's record if it is of this process's life, which nobody is erasing.

        Where it is missing, only opening the session can tell damage from an erasure.
        """
        if record is None or is_erased(record) or not self._life.is_current(self._session_id, record):
            logger.warning("session_id=<%s> | not renewed: its record is gone, or another's", self._session_id)
            return None
        return record
