"""A turn that was accepted, seen by whoever does not take it: to come, refused, or never heard of again.

Once it has begun it is a turn like any other: see ``following``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lambda_src.answers import errors
from lambda_src.turn_resource import following
from lambda_src.turn_resource.turn_ids import BEGUN_WITHIN_SECONDS
from lambda_src.turn_resource.turn_status import RUNNING, TurnState, cut_off

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.accepted_turns import AcceptedTurn, AcceptedTurns
    from agent_sessions.session_store import SessionStore
    from lambda_src.turn_resource.following import FollowedTurn
    from lambda_src.turns.turn_events import TurnEvent


def find_turn(store: SessionStore, session_id: str, agent_id: str, turn_id: str) -> FollowedTurn | AwaitedTurn:
    """Find a turn of a session, begun or still to come.

    Args:
        store: Where the owner's sessions are.
        session_id: The session.
        agent_id: The agent to look at first.
        turn_id: The turn.

    Raises:
        SessionNotFoundError: There is no such session.
        NotFoundError: There is no such turn, or it is forgotten.
    """

    def begun(known: AcceptedTurn | None = None) -> FollowedTurn:
        wanted = (known.taken_as if known is not None else None) or turn_id
        return following.find(store, session_id, agent_id, lambda turn: turn.turn_id == wanted)

    try:
        return begun()
    except errors.NotFoundError:
        turns = store.accepted_turns(session_id)
        accepted = turns.read(turn_id)
        if accepted is None or accepted.taken_as is not None:
            return begun(accepted)  # it may have begun since we looked
        return AwaitedTurn(turns, accepted, begun)


def state_of_accepted(turn: AcceptedTurn) -> TurnState:
    """What is to be said of a turn that has not begun."""
    if turn.refusal is not None:
        return TurnState("failed", problem=_error_of(turn.refusal))
    if turn.is_cancelled:
        return TurnState("cancelled")  # who takes it finds the wish, and does nothing but note that
    return RUNNING if _may_begin(turn) else cut_off()


def is_over(turn: AcceptedTurn) -> bool:
    """Whether nobody will take this turn any more, so that its request can be accepted again."""
    return turn.taken_as is not None or turn.refusal is not None or not _may_begin(turn)


def _may_begin(turn: AcceptedTurn) -> bool:
    return time.time() - turn.accepted_at < BEGUN_WITHIN_SECONDS


def refusal_for(error: errors.EndpointError) -> dict[str, Any]:
    """What to store of the answer that a turn was refused with."""
    more = {name: value for name, value in error.extensions.items() if value is not None}
    return {"kind": error.slug, "detail": error.detail, "more": more}


def _error_of(refusal: dict[str, Any]) -> errors.EndpointError:
    kinds = {kind.slug: kind for kind in errors.all_errors()}
    kind = kinds.get(str(refusal.get("kind")), errors.InternalError)
    more = refusal.get("more")
    return kind(str(refusal.get("detail")), **(more if isinstance(more, dict) else {}))


class AwaitedTurn:
    """A turn that was accepted and has not begun.

    Args:
        turns: The session's accepted turns.
        accepted: What is known of this one.
        begun: Finds it once it has begun, and raises ``NotFoundError`` until then.
    """

    def __init__(
        self, turns: AcceptedTurns, accepted: AcceptedTurn, begun: Callable[[AcceptedTurn | None], FollowedTurn]
    ) -> None:
        self.session_id = turns.session_id
        self.agent_id = accepted.agent_id
        self.turn_id = accepted.turn_id
        self.request_id: str | None = None
        self._turns = turns
        self._accepted = accepted
        self._begun = begun

    def state(self) -> TurnState:
        """Whether the turn is still to come."""
        return state_of_accepted(self._accepted)

    def reply(self, state: TurnState) -> None:
        """There is no reply yet."""

    def cancel(self) -> bool:
        """Have it stop as soon as it begins. Returns whether it has not begun yet."""
        return self._turns.ask_to_cancel(self.turn_id)

    def has_told(self, message_id: int) -> bool:  # noqa: ARG002
        """Whether a follower can have seen this message: nothing has been told yet."""
        return False

    def follow(
        self,
        watch: Callable[[TurnEvent], object],
        *,
        after_id: int = -1,
        goes_on: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], object] = time.sleep,
    ) -> dict[str, Any]:
        """Wait for its beginning, then tell of it: see :meth:`FollowedTurn.follow`. Waiting costs a read a second.

        Raises:
            SessionNotFoundError: The session was erased meanwhile.
        """
        accepted: AcceptedTurn | None = self._accepted
        while accepted is not None and not is_over(accepted):
            if not goes_on():
                raise following.FollowedNoLongerError
            sleep(following.LOOK_SECONDS)
            accepted = self._turns.read(self.turn_id)
        try:
            turn = self._begun(accepted)  # what is stored of a turn itself counts more than what its record says
        except errors.NotFoundError:
            if accepted is None:
                raise
            nobody_took_it = errors.TurnCutOffError("The turn was cancelled before it began, and nobody took it.")
            raise (state_of_accepted(accepted).problem or nobody_took_it) from None
        return turn.follow(watch, after_id=after_id, goes_on=goes_on, sleep=sleep)
