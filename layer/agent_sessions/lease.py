"""A lease on a session: one caller at a time takes a turn, others wait or are told when to come back.

    with SessionLease(store, "chat", holder="nightly report", wait_seconds=5):
        agent("...")

A lease is a courtesy, not the protection. Its holder may be paused (a frozen container, a stopped process) for longer
than the lease lasts, and wake up believing that it still holds it; no lease can see that in time. The message log
protects a session: a turn's first message is created under a condition, and a late writer is refused there. The lease
saves the work of a turn that would be refused.

In a bucket the lease is an object. It is renewed while it is held, and can be taken over once it has run out by the
storage's clock: the callers' clocks do not matter. In a folder it is a lock on a file, which the operating system
releases when its process dies.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from typing import TYPE_CHECKING, Protocol, Self

from agent_sessions._storage.record_claim import RecordClaim
from agent_sessions.claims import LeaseTerms, Refusal
from agent_sessions.exceptions import SessionBusyError, SessionStorageError, named
from agent_sessions.locks import Event, Lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from agent_sessions._records.layout import Layout
    from agent_sessions.object_store import ObjectStore

logger = logging.getLogger(__name__)

DURATION_SECONDS = 30.0
"""How long a lease lasts without renewal: a killed holder keeps others waiting no longer."""

RENEW_SECONDS = 10.0
"""How often a lease is renewed: two renewals may fail before it runs out."""

MAX_DURATION_SECONDS = 900.0
"""A Lambda invocation lasts no longer, so nobody needs a longer lease."""

_FIRST_POLL_SECONDS = 0.1
_LAST_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 2.0


class LeasePlace(Protocol):
    """Where sessions live: a ``SessionStore``, or one of this package's session managers."""

    @property
    def objects(self) -> ObjectStore:
        """Where the objects live."""

    @property
    def layout(self) -> Layout:
        """How they are named."""


class SessionLease:
    """The exclusive use of one session, while it is renewed.

    It creates no session. A session's erasure also erases its lease.

    Args:
        place: Where the session lives.
        session_id: The session; it need not be there yet.
        holder: Who asks, in words for callers that are refused meanwhile. No secrets: it is stored.
        wait_seconds: How long the context manager waits for another holder; 0 does not wait.
        duration_seconds: How long the lease lasts without renewal; more than 0, at most 900.
        renew_seconds: How often a thread renews it while it is held; ``None`` leaves renewing to the caller.
        on_lost: Called once, from that thread, when another holder has taken the lease over.
        clock: Monotonic seconds, for waiting and for how long this holder may believe it has the lease.
        sleep: Waits so many seconds.

    Raises:
        InvalidIdentifierError: The id cannot be a session's.
        ValueError: The duration or the interval is out of bounds.
    """

    def __init__(
        self,
        place: LeasePlace,
        session_id: str,
        *,
        holder: str,
        wait_seconds: float = 0.0,
        duration_seconds: float = DURATION_SECONDS,
        renew_seconds: float | None = RENEW_SECONDS,
        on_lost: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not 0 < duration_seconds <= MAX_DURATION_SECONDS:
            raise ValueError(
                f"duration_seconds={duration_seconds} | must be above 0 and at most {MAX_DURATION_SECONDS}"
            )
        if renew_seconds is not None and not 0 < renew_seconds < duration_seconds:
            raise ValueError(f"renew_seconds={renew_seconds} | must be above 0 and below duration_seconds")
        self.session_id = session_id
        self.key = place.layout.lease(session_id)
        self._terms = LeaseTerms(holder, duration_seconds, uuid.uuid4().hex)
        objects = place.objects
        self._claim = objects.claim(self.key, self._terms) or RecordClaim(objects, self.key, self._terms)
        self._wait_seconds = wait_seconds
        self._renew_seconds = renew_seconds
        self._on_lost = on_lost
        self._clock = clock
        self._sleep = sleep
        self._held = False
        self._lost = False
        self._good_until = 0.0
        self.waited_seconds = 0.0
        """How long :meth:`acquire` waited for another holder."""
        self._released = Event()
        self._renewing = Lock()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether this holder may believe that nobody else holds the lease.

        Two holders never believe it at once, if their clocks run at the same speed: the holder counts from before it
        sends the write, the storage from when the write arrives.
        """
        return self._held and not self.lost

    @property
    def lost(self) -> bool:
        """Whether another holder has taken the lease over, or may have, because it could not be renewed in time."""
        if self._lost or not self._held:
            return self._lost
        return not self._claim.stands() or (self._claim.runs_out and self._clock() >= self._good_until)

    @property
    def found_unfinished(self) -> bool:
        """Whether the holder before did not give the lease back: it died, or left something unwritten."""
        return self._claim.found_unfinished

    @property
    def took_over(self) -> bool:
        """Whether the holder before did not give the lease back at all: it died, or was stopped.

        In a folder this is the same as :attr:`found_unfinished`.
        """
        return self._claim.took_over

    def is_taken(self) -> bool:
        """Whether somebody holds the lease at this moment. This neither claims it nor waits.

        Raises:
            SessionStorageError: The storage failed.
        """
        return self._claim.look() is not None

    def acquire(self, *, wait_seconds: float = 0.0) -> None:
        """Take the lease, or take it over when its holder has let it run out.

        Args:
            wait_seconds: How long to wait for the holder at most.

        Raises:
            SessionBusyError: Another holder has it. The error says who, and when it runs out at the latest.
            SessionStorageError: The storage failed.
        """
        if self._held:
            raise RuntimeError(f"session_id={self.session_id} | this lease is held already")
        give_up_at = self._clock() + wait_seconds
        poll = _FIRST_POLL_SECONDS
        refused_at: float | None = None
        while True:
            asked_at = self._clock()
            refusal = self._claim.take()
            if refusal is None:
                break
            now = self._clock()
            refused_at = now if refused_at is None else refused_at
            self.waited_seconds = now - refused_at
            left = give_up_at - now
            if left <= 0:
                raise self._busy(refusal)
            # The jitter keeps waiting callers from asking at the same moment.
            pause = random.uniform(0.5, 1.0) * poll  # noqa: S311 - no secret
            self._sleep(min(pause, left, max(refusal.remaining_seconds, _FIRST_POLL_SECONDS)))
            poll = min(2 * poll, _LAST_POLL_SECONDS)
        if refused_at is not None:
            self.waited_seconds = asked_at - refused_at
        self._good_until = asked_at + self._terms.duration_seconds
        self._held, self._lost = True, False
        self._released.clear()
        if self._renew_seconds is not None and self._claim.runs_out:
            self._thread = threading.Thread(target=self._keep, name="session-lease", daemon=True)
            self._thread.start()

    def renew(self) -> bool:
        """Renew the lease now.

        Returns:
            Whether this holder still has it. If the storage fails, it has, until its time runs out.
        """
        with self._renewing:
            if not self._held or self.lost:
                return False
            asked_at = self._clock()
            try:
                renewed = self._claim.renew()
            except SessionStorageError as error:
                logger.warning("session_id=<%s> | the lease could not be renewed: %s", self.session_id, named(error))
                return not self.lost
            if renewed:
                self._good_until = asked_at + self._terms.duration_seconds
            else:
                self._lost = True
            return renewed

    def release(self, *, whole: bool = True) -> None:
        """Give the lease back. Nothing keeps running, and no trace of the lease is left.

        Args:
            whole: Whether everything that was begun has been written. If not, a note of that is left for the next
                holder.
        """
        if not self._held:
            return
        self._held = False
        self._released.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
            if self._thread.is_alive():
                # A renewal hangs in the storage. Whatever it writes runs out by itself, as after a crash.
                logger.warning("session_id=<%s> | the lease is left to run out", self.session_id)
                return
            self._thread = None
        try:
            self._claim.give_back(whole=whole)
        except SessionStorageError as error:
            # The lease runs out by itself. The holder's work is done and must not fail for this.
            logger.warning("session_id=<%s> | the lease is left to run out: %s", self.session_id, named(error))

    def __enter__(self) -> Self:
        """Take the lease, waiting at most ``wait_seconds`` of the constructor."""
        self.acquire(wait_seconds=self._wait_seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back."""
        self.release(whole=not isinstance(error, SessionStorageError))

    def _keep(self) -> None:
        interval = self._renew_seconds or RENEW_SECONDS
        while not self._released.wait(interval):
            if self.renew():
                continue
            if self._released.is_set():
                return
            self._lost = True
            logger.warning("session_id=<%s> | the lease is lost", self.session_id)
            if self._on_lost is not None:
                self._on_lost()
            return

    def _busy(self, refusal: Refusal) -> SessionBusyError:
        who = f": {refusal.holder}" if refusal.holder else ""
        return SessionBusyError(
            f"session_id={self.session_id} | another caller holds the session{who}",
            retry_after_seconds=refusal.remaining_seconds,
            holder=refusal.holder,
            session_id=self.session_id,
            key=self.key,
        )
