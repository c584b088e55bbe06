"""What became of a turn, decided from what is stored of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lambda_src.answers import errors
from lambda_src.turns.replays import Replay, refusal_in, replay_of
from lambda_src.turns.time_limit import out_of_time

if TYPE_CHECKING:
    from agent_sessions._objects.turn_finding import StoredTurn
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
    """Of a turn that nobody goes on with by itself."""
    detail = "The turn was cut off. What it stored is kept. Sent again with its Idempotency-Key, the request goes on."
    return TurnState("cut-off", problem=errors.TurnCutOffError(detail))


def state_of(found: StoredTurn, read: ReadMessage, *, session_in_use: bool) -> TurnState:
    """Decide what became of a turn.

    Args:
        found: What is stored of it.
        read: Reads a message of its agent.
        session_in_use: Whether anybody holds the session's lease. Then it is taken to be this turn, until the
            conversation goes on without it.

    Raises:
        SessionCorruptError: Its reply is not there any more.
    """
    outcome = found.turn.outcome or {}
    if session_in_use and (lacks_last_message(found, read) or not (outcome or found.has_ended)):
        return RUNNING
    if lacks_last_message(found, read):
        return cut_off()  # the next turn stores it, from the copy in the agent's record
    replay = replay_of(found.turn, found.agent_id, read)
    if replay is not None:
        return TurnState("cancelled" if replay.reply.stop_reason == "cancelled" else "answered", replay)
    if refusal := refusal_in(outcome):
        return TurnState("failed", problem=refusal)
    if "unanswered" in outcome:
        return TurnState("failed", problem=out_of_time())
    if "failed" in outcome:
        return TurnState("failed", problem=_failure(outcome["failed"]))
    return cut_off()


def lacks_last_message(found: StoredTurn, read: ReadMessage) -> bool:
    """Whether the message that a turn has answered with is not stored: it is written together with what says so."""
    reply = (found.turn.outcome or {}).get("reply", {})
    last_id = found.turn.last_id
    return bool(reply) and "message" not in reply and last_id is not None and read(last_id) is None


def _failure(slug: object) -> errors.EndpointError:
    """The answer of a kind. What its caller was told besides is not stored."""
    kinds = {kind.slug: kind for kind in errors.all_errors()}
    kind = kinds.get(slug, errors.InternalError) if isinstance(slug, str) else errors.InternalError
    return kind("The turn failed. What it stored is kept; the log says why.")
