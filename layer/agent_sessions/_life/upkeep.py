"""What a turn does for its session's life: nothing is written after the end of it, and nothing in it grows too old."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from agent_sessions._life.renewal import Renewal
from agent_sessions.exceptions import SessionException, SessionNotFoundError, named
from agent_sessions.expiry import renewal_due, renewal_required

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records, Version

logger = logging.getLogger(__name__)


class Upkeep:
    """Watches over the life of one open session.

    Args:
        records: Where the records are.
        layout: How they are named.
        life: Knows the session's life.
        session_id: The session, begun or found.
        clock: Seconds by this machine. Only how much passes on it counts, and only to save a turn from being late.
    """

    def __init__(
        self,
        records: Records,
        layout: Layout,
        life: SessionLife,
        session_id: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._layout = layout
        self._life = life
        self._session_id = session_id
        self._clock = clock
        self._last_contact = clock()
        self._renewal: Renewal | None = None

    # --- life -------------------------------------------------------------------------------------------

    def created(self, key: str, version: Version) -> None:
        """An object has been created: a use, if it was in time.

        Whoever opens the session after its expiry begins a new life, unless a turn wrote to it in time. So a turn
        whose first message comes too late takes it back; it is of a session that is gone.

        Raises:
            SessionNotFoundError: The session has expired since it was opened.
        """
        if self._life.has_expired_since(self._session_id, version.written_at, but=key):
            self._records.take_back(key, version)
            raise self._expired()
        self.used(version.written_at)

    def used(self, at: datetime) -> None:
        """A turn has written."""
        age = self._life.age(self._session_id)
        age.last_used = max(age.last_used, at)
        self._last_contact = self._clock()

    def before_update(self) -> None:
        """An object is about to be replaced without a new one before it, which could be taken back.

        Raises:
            SessionNotFoundError: The session has expired since it was opened.
        """
        ttl_days = self._life.ttl_days
        if not ttl_days or self._clock() - self._last_contact < ttl_days * 86_400 / 2:
            return
        # This machine's clock says that it may be too late; the storage's decides.
        found = self._records.get(self._layout.session(self._session_id))
        now = found.stored.read_at if found is not None else None
        if now is None or self._life.has_expired_since(self._session_id, now):
            raise self._expired()

    def _expired(self) -> SessionNotFoundError:
        return SessionNotFoundError(
            f"session_id={self._session_id} | the session has expired since it was opened, nothing was stored; "
            "open it again to begin anew",
            session_id=self._session_id,
            key=self._layout.session(self._session_id),
        )

    # --- renewal ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to renew the session's objects beside the turn, if that is due."""
        age = self._life.age(self._session_id)
        due = self._records.objects.removes_by_age and renewal_due(age.marked_at, age.last_used, self._life.ttl_days)
        if due and self._renewal is None:
            self._renewal = Renewal(self._records, self._layout, self._life, self._session_id)
            self._renewal.start()

    def finish(self) -> None:
        """Return when a renewal that was due, perhaps only since the turn began, has come to its end.

        Raises:
            SessionException: It failed, and the objects are too old for the turn to succeed without it.
        """
        self.start()
        renewal, self._renewal = self._renewal, None
        if renewal is None:
            return
        try:
            renewal.wait()
        except SessionException as error:
            age = self._life.age(self._session_id)
            if age.marked_at is not None and not renewal_required(age.marked_at, age.last_used, self._life.ttl_days):
                logger.warning(
                    "session_id=<%s> | objects not renewed, the next turn will: %s", self._session_id, named(error)
                )
                return
            raise

    def stop(self) -> None:
        """Leave nothing under way."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            with contextlib.suppress(Exception):  # the turn has failed already, and its error is raised
                renewal.stop()
