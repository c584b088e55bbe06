"""Runs one turn on a session: takes the lease, keeps within the function's time, gives the lease back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from agent_sessions.exceptions import SessionStorageError
from agent_sessions.lease import SessionLease
from lambda_src.answers import errors
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.logs import logger
from lambda_src.metrics import recorded, table
from lambda_src.runtime.event_loop import AbandonedError, within
from lambda_src.turns.time_limit import TimeLimit, out_of_time
from lambda_src.turns.turn import run_turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from agent_sessions.session_store import SessionStore
    from lambda_src.settings import Settings
    from lambda_src.turns.turn_events import TurnEvent


class SessionUse:
    """Holds a session's lease for a turn.

    The lease is taken before the session is restored, so that the restore finds what the caller before has left. What
    the restore reads may be asked for meanwhile: it counts if the lease was free.

    Args:
        store: Where the owner's sessions are.
        session_id: Which of them.
        settings: How long to wait for another caller, and what to keep of the function's time.
        remaining_seconds: Tells the time the function has left.
        request_id: Names this request to callers that are refused while it runs.
        reads_ahead: Whether the session may be asked for while the lease is being taken. What was read is used if the
            lease was free, and a turn that was ended in between is found out by this one's first message. So it has to
            have one.
    """

    def __init__(
        self,
        store: SessionStore,
        session_id: str,
        settings: Settings,
        remaining_seconds: Callable[[], float],
        request_id: str,
        *,
        reads_ahead: bool = False,
    ) -> None:
        self._store = store
        self._session_id = session_id
        self._settings = settings
        self._remaining_seconds = remaining_seconds
        self._lease = SessionLease(store, session_id, holder=f"request {request_id}", on_lost=self._note_loss)
        self._sessions: list[RepositorySessionManager] = []
        self._abandoned = threading.Event()
        self._deciding = threading.Lock()
        self._holds_lease = False
        self._reads_ahead = reads_ahead
        self._read_ahead: Any = None  # what the store has asked for, until the session is opened
        self.limit = self._limit()

    @property
    def found_unfinished(self) -> bool:
        """Whether the turn before was cut off."""
        return self._lease.found_unfinished

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            OutOfTimeError: The function has no time left for a turn.
            SessionBusyError: Another caller holds the lease, and has not given it back within the wait.
            SessionStorageError: The storage failed.
        """
        if self.limit.seconds <= 0:
            raise errors.OutOfTimeError("The function has no time left for a turn; nothing was done.")
        if self._reads_ahead:
            self._read_ahead = self._store.read_ahead(self._session_id, self._settings.agent_id)
        try:
            try:
                within(self.limit.last_seconds, self._take_lease)
            except BaseException:
                if self._read_ahead is not None:
                    self._read_ahead.close()
                raise
            finally:
                recorded.add(table.LEASE_WAIT, 1000 * self._lease.waited_seconds)
        except AbandonedError:
            with self._deciding:
                if not self._holds_lease:
                    self._abandoned.set()
                    raise out_of_time() from None
        if self._lease.took_over:
            recorded.add(table.LEASES_TAKEN_OVER)
        self.limit = self._limit()
        return self

    def _take_lease(self) -> None:
        self._lease.acquire(wait_seconds=min(self._settings.lease_wait_seconds, self.limit.seconds))
        with self._deciding:
            self._holds_lease = not self._abandoned.is_set()
        if not self._holds_lease:
            self._lease.release()  # too late: nobody uses it, and nobody else gives it back

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back. If this turn may have left something unwritten, the next turn is told to look closer."""
        whole = error is None or answer_for(error).status < errors.InternalError.status
        try:
            # A hanging storage must not keep the reply back, so this gets half of the time that is left.
            within(self._remaining_seconds() / 2, lambda: self._lease.release(whole=whole))
        except Exception as failure:  # noqa: BLE001 - the turn is over, and its reply must not be lost for this
            # The lease runs out by itself, or with its process.
            logger.warning(
                "the lease could not be given back", extra={"session_id": self._session_id, **diagnosis(failure)}
            )

    def open_session(self) -> RepositorySessionManager:
        """Open the session, making it when there is none."""
        # The reply waits for every write, and the model's first word for the turn's first: neither holds up its call.
        read_ahead, self._read_ahead = self._read_ahead, None
        with recorded.restoring():
            session = self._store.session_manager(
                self._session_id,
                durability="turn",
                fence="effects",
                lease=self._lease,
                time_left=lambda: self._limit().seconds,
                recent=True,
                **({"read_ahead": read_ahead} if read_ahead is not None else {}),
            )
        _measure(session)
        self._sessions.append(session)
        if self._abandoned.is_set():
            raise out_of_time()
        return session

    def run(self, turn: AsyncIterator[TurnEvent], watch: Callable[[TurnEvent], object] | None = None) -> dict[str, Any]:
        """Take the turn.

        Args:
            turn: Its events.
            watch: Gets each of them as it happens.

        Raises:
            EndpointError: When there is no reply.
        """
        try:
            return run_turn(self._session_id, turn, self.limit, watch)
        except AbandonedError:
            # The turn may wake up in this process's next invocation. By then the session is somebody else's.
            self._abandoned.set()
            recorded.note_cut_off()
            for session in self._sessions:
                session.stop(SessionStorageError("the turn was abandoned", code="Abandoned"))
            raise out_of_time() from None

    def _limit(self) -> TimeLimit:
        return TimeLimit.within(self._remaining_seconds(), self._settings.deadline_margin_seconds)

    def _note_loss(self) -> None:
        # The turn goes on: if another writer has come meanwhile, the turn's next message is refused.
        logger.warning("the lease was lost", extra={"session_id": self._session_id})


def _measure(session: Any) -> None:
    """Have a session's restores and renewals counted. It was opened for one turn."""
    record = recorded.current()
    if record is None:
        return

    def measured(restore: Callable[..., None]) -> Callable[..., None]:
        def restore_measured(*args: Any, **kwargs: Any) -> None:
            with recorded.restoring():
                restore(*args, **kwargs)

        return restore_measured

    def note_renewal(renewed: int, failed: bool) -> None:
        record.add(table.RENEWALS, renewed)
        record.add(table.RENEWALS_FAILED, failed)

    session.initialize = measured(session.initialize)
    session.initialize_multi_agent = measured(session.initialize_multi_agent)
    session.watch_renewals(note_renewal)
