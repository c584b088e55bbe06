"""What became of a turn, decided from what is stored of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lambda_src.answers import errors
from lambda_src.turns.replays import Replay, refusal_in, replay_of
from lambda_src.turns.time_limit import out_of_time

if TYPE_CHECKING:
    from agent_sessions.turn_reader import StoredTurn
    from lambda_src.turns.replays import ReadMessage

Status = Literal["running", "answered", "cancelled", "failed", "cut-off"]


@dataclass(frozen=True)
class TurnState:
    """What became of a turn.

    Attributes:
        status: In a word.
        replay: Its reply, when it was answered or cancelled.
        problem: What its caller was told instead, when it failed or was cut off.
    """

    status: Status
    replay: Replay | None = None
    problem: errors.EndpointError | None = None


RUNNING = TurnState("running")


def cut_off() -> TurnState:
    """The state of a turn that goes on only if its request is sent again."""
    detail = "The turn was cut off. What it stored is kept. Sent again with its Idempotency-Key, the request goes on."
    return TurnState("cut-off", problem=errors.TurnCutOffError(detail))


def state_of(found: StoredTurn, read: ReadMessage, *, session_in_use: bool) -> TurnState:
    """Decide what became of a turn.

    Args:
        found: What is stored of it.
        read: Reads a message of its agent.
        session_in_use: Whether anybody holds the session's lease. If so, this turn is taken to be running, until the
            conversation goes on without it.

    Raises:
        SessionCorruptError: The stored reply is not there any more.
    """
    outcome = found.turn.outcome or {}
    lacks_last = lacks_last_message(found, read)
    if session_in_use and (lacks_last or not (outcome or found.has_ended)):
        return RUNNING
    # If the last message is missing, the agent's record holds a copy of it. The next turn stores it.
    replay = None if lacks_last else replay_of(found.turn, found.agent_id, read)
    if replay is not None:
        return TurnState("cancelled" if replay.reply.stop_reason == "cancelled" else "answered", replay)
    problem = _failure_in(outcome)
    return cut_off() if problem is None else TurnState("failed", problem=problem)


def lacks_last_message(found: StoredTurn, read: ReadMessage) -> bool:
    """Whether the turn's answer is not stored: it is written together with the record that names it."""
    reply = (found.turn.outcome or {}).get("reply", {})
    last_id = found.turn.last_id
    return bool(reply) and "message" not in reply and last_id is not None and read(last_id) is None


def _failure_in(outcome: dict[str, Any]) -> errors.EndpointError | None:
    """The error that a failed turn's caller was told."""
    if "unanswered" in outcome:
        return out_of_time()
    if "failed" not in outcome:
        return refusal_in(outcome)
    # Of what the caller was told, only the kind is stored.
    kinds = {kind.slug: kind for kind in errors.all_errors()}
    kind = kinds.get(str(outcome["failed"]), errors.InternalError)
    return kind("The turn failed. What it stored is kept; the log says why.")
