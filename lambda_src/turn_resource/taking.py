"""Taking a turn that was accepted before.

    accepted ──▶ the lease is held: does the record still stand? ──▶ first message ──▶ the record goes ──▶ …
                                │ no: the session was erased                │ refused: the record says with what
                                ▼                                           ▼
                         nothing is done                         Lambda may try it again

A wish to cancel stands in the record until the first message is stored. The record is deleted under a condition, so
that a wish which comes at that moment is not lost. After that it is a turn like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from agent_sessions.exceptions import SessionNotFoundError
from lambda_src.answers import errors
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.logs import logger
from lambda_src.runtime.event_loop import within
from lambda_src.turn_resource.accepted import refusal_for
from lambda_src.turns.turn_events import Restored

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from agent_sessions.session_store import SessionStore
    from lambda_src.turns.turn_events import TurnEvent

Opened = TypeVar("Opened")


class TakenTurn:
    """An accepted turn while it is taken.

    Args:
        store: Where the owner's sessions are.
        session_id: Which session.
        agent_id: Whose turn it is.
        turn_id: How the turn was called when it was accepted.
        remaining_seconds: Tells the time the function has left.
    """

    def __init__(
        self,
        store: SessionStore,
        session_id: str,
        agent_id: str,
        turn_id: str,
        remaining_seconds: Callable[[], float],
    ) -> None:
        self.turn_id = turn_id
        self._store = store
        self._session_id = session_id
        self._agent_id = agent_id
        self._remaining_seconds = remaining_seconds
        self._turns = store.accepted_turns(session_id)
        self._begun_as: str | None = None
        self._is_cancelled = False
        self._is_settled = False

    def __enter__(self) -> Self:
        """Nothing is done yet."""
        return self

    def look_up(self) -> None:
        """Look whether the turn is still wanted. The caller holds the session's lease.

        Raises:
            NotFoundError: The session was erased, or has expired, since the turn was accepted.
        """
        try:
            accepted = self._turns.read(self.turn_id)
            is_known = accepted is not None or self._has_begun_before()
        except SessionNotFoundError:
            accepted, is_known = None, False
        self._is_settled = accepted is None
        self._is_cancelled = accepted is not None and accepted.is_cancelled
        if not is_known:
            raise errors.NotFoundError("The session was erased since this turn was accepted. Nothing was done.")

    def checked(self, session: Opened) -> Opened:
        """The session that was opened for the turn, if it is still the one in which the turn was accepted.

        Raises:
            NotFoundError: It was erased after :meth:`look_up`, and this one has been begun in its place.
        """
        self.look_up()
        return session

    def _has_begun_before(self) -> bool:
        """Whether the turn's messages tell of it: an earlier try has begun it, or it was delivered twice."""
        reader = self._store.turns(self._session_id)
        return reader.find(self._agent_id, lambda turn: turn.turn_id == self.turn_id) is not None

    def note(self, event: TurnEvent) -> None:
        """Hear of what happens in the turn. Returns at once."""
        if isinstance(event, Restored):
            self._begun_as = event.turn_id

    def is_cancelled(self, agent_id: str, turn_id: str) -> bool:
        """Whether the turn is to stop. Costs a read, and once, when the turn has begun, three requests."""
        if self._begun_as is not None and not self._is_settled:
            self._settle()
        return self._is_cancelled or self._store.is_asked_to_cancel(self._session_id, agent_id, turn_id)

    def _settle(self) -> None:
        """Remove the record of the acceptance: the turn has begun, and its messages tell what becomes of it."""
        if self._begun_as == self.turn_id:
            removed = self._turns.remove(self.turn_id)
            self._is_cancelled = self._is_cancelled or (removed is not None and removed.is_cancelled)
        else:  # the same request was taken without being accepted
            self._turns.note_taken_as(self.turn_id, str(self._begun_as))
        self._is_settled = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the record as it has to be. The turn is over: its answer must not be lost for this."""
        if self._begun_as is not None:
            if not self._is_settled:
                self._do_in_time(self._settle)
        elif error is not None:
            self._do_in_time(lambda: self._turns.refuse(self.turn_id, refusal_for(answer_for(error))))

    def _do_in_time(self, work: Callable[[], object]) -> None:
        try:
            within(self._remaining_seconds() / 2, work)
        except SessionNotFoundError:
            pass  # the record has gone with its session
        except Exception as failure:  # noqa: BLE001 - see above
            logger.warning(
                "the record of an accepted turn could not be changed",
                extra={"session_id": self._session_id, "turn_id": self.turn_id, **diagnosis(failure)},
            )
