"""The reply to a turn that is over, from what is stored of it."""

from typing import Any

import pytest

from agent_sessions.exceptions import SessionCorruptError
from agent_sessions.turn_request import TurnRecord
from agent_sessions.types import SessionMessage
from lambda_src.answers.errors import ContextTooLongError, PromptRefusedError
from lambda_src.turns.replays import digest_of, refusal_in, replay_of, restored_messages_of

ANSWER: Any = {"role": "assistant", "content": [{"text": "42"}]}
OTHER: Any = {"role": "user", "content": [{"text": "mine"}]}
REPLY = {"stop_reason": "end_turn", "interrupts": [], "usage": {}, "restored_messages": 6}


def record(outcome: dict[str, Any] | None, *, last_id: int | None = 1) -> TurnRecord:
    return TurnRecord("turn", "key", "body", 0, last_id, outcome)


def stored(message: Any, **kit: Any) -> Any:
    def read(message_id: int) -> SessionMessage | None:
        return SessionMessage(message, message_id, kit=kit or None) if message_id == 1 else None

    return read


def test_an_answered_turn_has_its_last_message_for_a_reply() -> None:
    replay = replay_of(record({"reply": {**REPLY, "digest": digest_of(ANSWER)}}), "default", stored(ANSWER))

    assert replay is not None
    assert replay.reply.message == ANSWER
    assert replay.reply.stop_reason == "end_turn"
    assert replay.restored.restored_messages == 6


def test_another_message_in_the_replys_place_is_not_the_reply() -> None:
    assert replay_of(record({"reply": {**REPLY, "digest": digest_of(ANSWER)}}), "default", stored(OTHER)) is None


def test_a_reply_that_is_gone_is_said_to_be_gone() -> None:
    with pytest.raises(SessionCorruptError):
        replay_of(record({"reply": REPLY}, last_id=7), "default", stored(ANSWER))


@pytest.mark.parametrize(("stop_reason", "is_answer"), [("end_turn", True), ("tool_use", False), ("cancelled", False)])
def test_without_an_outcome_the_last_message_is_the_reply_if_the_model_had_come_to_an_end(
    stop_reason: str, is_answer: bool
) -> None:
    replay = replay_of(record(None), "default", stored(ANSWER, stop_reason=stop_reason))

    assert (replay is not None) is is_answer


@pytest.mark.parametrize("outcome", [{"refused": "prompt-refused"}, {"cancelled": True}])
def test_a_turn_that_was_refused_or_cancelled_has_no_reply(outcome: dict[str, Any]) -> None:
    assert replay_of(record(outcome), "default", stored(ANSWER, stop_reason="end_turn")) is None


def test_the_error_of_a_refused_prompt_is_told_again() -> None:
    assert isinstance(refusal_in({"refused": "context-too-long"}), ContextTooLongError)
    assert isinstance(refusal_in({"refused": "prompt-refused"}), PromptRefusedError)
    assert refusal_in({"reply": REPLY}) is None


def test_a_turn_of_an_earlier_version_had_restored_what_lies_before_its_first_message() -> None:
    assert restored_messages_of(TurnRecord("turn", None, None, 8, 9, None)) == 8
    assert restored_messages_of(TurnRecord("turn", None, None, 8, 9, None, 4)) == 4
