"""The reply to a turn that is over, from what is stored of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionCorruptError
from agent_sessions.turn_request import stop_reason_of
from agent_sessions.values import json_pieces
from lambda_src.answers import errors
from lambda_src.answers.error_answers import CONTEXT_TOO_LONG
from lambda_src.content import shown
from lambda_src.turns.orchestrators.results import kept_with
from lambda_src.turns.turn_events import Completed, Restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent_sessions.turn_request import TurnRecord
    from agent_sessions.types import SessionMessage

    ReadMessage = Callable[[int], SessionMessage | None]

PROMPT_REFUSED = (
    "The model refused what this prompt holds beside text. It stays in the conversation, and the model is not shown it "
    "again; left_out names it."
)

_ANSWERS = {"end_turn", "max_tokens", "stop_sequence", "guardrail_intervened", "content_filtered"}
"""The reasons with which a model stops at the turn's last message."""

_NO_USAGE = {
    "input_tokens": 0,
    "output_tokens": 0,
    "total_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_write_input_tokens": 0,
}
_UNKNOWN_REPLY = {"interrupts": [], "usage": _NO_USAGE}


@dataclass(frozen=True)
class Replay:
    """The request has been answered: this is its reply."""

    restored: Restored
    reply: Completed


def replay_of(found: TurnRecord, agent_id: str, read: ReadMessage) -> Replay | None:
    """The reply of a turn that was answered; ``None`` when it was not, as far as anybody can tell.

    Args:
        found: What is stored of the turn.
        agent_id: Whose turn it is.
        read: Reads a message of the agent's conversation.

    Raises:
        SessionCorruptError: The reply is not there any more.
    """
    outcome = found.outcome or {}
    if "reply" in outcome:
        return _replay(found, agent_id, read, outcome["reply"])
    if (outcome and "failed" not in outcome) or found.last_id is None:
        return None
    # The last message may be stored although the agent's record, written beside it, is not.
    last = _record(read, found.last_id)
    stop_reason, run = stop_reason_of(last), kept_with(last.to_message())
    if stop_reason is None or (stop_reason not in _ANSWERS and run is None):
        return None
    return _replay(found, agent_id, read, {**_UNKNOWN_REPLY, **(run or {}), "stop_reason": stop_reason})


def _replay(found: TurnRecord, agent_id: str, read: ReadMessage, reply: dict[str, Any]) -> Replay | None:
    """The stored reply; ``None`` if the turn was cut off before its last message, and another stands in its place."""
    message, run = reply.get("message"), None
    if message is None:
        if found.last_id is None:
            raise _gone()
        stored = _record(read, found.last_id).to_message()
        message, run = shown(stored), kept_with(stored)
        if reply.get("digest") not in {None, digest_of(message)}:
            return None
    return Replay(
        Restored(agent_id, reply.get("restored_messages", restored_messages_of(found)), found.turn_id),
        Completed(
            message,
            reply["stop_reason"],
            reply["interrupts"],
            reply["usage"],
            reply.get("left_out", []),
            None if run is None else run["nodes"],
        ),
    )


def restored_messages_of(turn: TurnRecord) -> int:
    """How many messages the agent remembered when the turn began, as its first message says."""
    return turn.first_id or 0 if turn.restored_messages is None else turn.restored_messages


def _record(read: ReadMessage, message_id: int) -> SessionMessage:
    record = read(message_id)
    if record is None:
        raise _gone()
    return record


def _gone() -> SessionCorruptError:
    return SessionCorruptError("the stored reply is not there any more")


def refusal_in(outcome: dict[str, Any]) -> errors.EndpointError | None:
    """The error for the caller, if the outcome says that the model refused the prompt."""
    match outcome:
        case {"refused": errors.ContextTooLongError.slug}:
            return errors.ContextTooLongError(CONTEXT_TOO_LONG, left_out=outcome.get("left_out"))
        case {"refused": _}:
            return errors.PromptRefusedError(PROMPT_REFUSED, left_out=outcome.get("left_out"))
        case _:
            return None


def digest_of(value: dict[str, Any]) -> str:
    """The digest of a message's or a request's JSON text with sorted keys, by which it is recognised."""
    return _digest(json_pieces(value, sort_keys=True, ensure_ascii=True, allow_nan=True))


def digest(text: str) -> str:
    """The first 32 hex digits of a text's SHA-256: they name the text and reveal nothing of it."""
    return _digest([text.encode("utf-8", "surrogatepass")])


def _digest(pieces: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()[:32]
