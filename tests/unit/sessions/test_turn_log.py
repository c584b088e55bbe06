"""Which request a turn answers: what the log of turns remembers, and what the messages still tell when it does not."""

from typing import Any

import pytest

from agent_sessions.turn_request import TURNS_KEPT, TurnLog, TurnRequest, turns_in
from agent_sessions.types import SessionMessage

ASSISTANT: Any = {"role": "assistant", "content": [{"text": "answer"}]}
PROMPT: Any = {"role": "user", "content": [{"text": "question"}]}
RESULT: Any = {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "status": "success", "content": []}}]}


def take_turn(log: TurnLog, name: str, first_id: int, outcome: dict[str, Any] | None = None) -> None:
    log.begin(TurnRequest(f"turn-{name}", f"key-{name}", f"body-{name}"), first_id)
    log.record_stored(first_id)
    log.record_stored(first_id + 1)
    if outcome is not None:
        log.conclude(outcome)
    log.end(first_id + 2)


def record(number: int, message: Any, turn: str | None = None) -> SessionMessage:
    stored = SessionMessage.from_message(message, number)
    stored.kit = None if turn is None else {"turn": {"id": f"turn-{turn}", "key": f"key-{turn}", "body": "b"}}
    return stored


def test_a_turn_is_found_by_its_key_with_its_messages_and_what_it_came_to() -> None:
    log = TurnLog()

    take_turn(log, "a", 0, {"usage": 1})

    found = log.find("key-a")
    assert found is not None
    assert (found.turn_id, found.first_id, found.last_id, found.outcome) == ("turn-a", 0, 1, {"usage": 1})
    assert log.find("key-b") is None


def test_what_is_stored_of_it_is_found_by_the_next_process() -> None:
    log = TurnLog()
    take_turn(log, "a", 0, {"usage": 1})

    next_process = TurnLog(log.to_kit())

    assert next_process.find("key-a") == log.find("key-a")
    assert next_process.known_below == 2


def test_as_many_turns_are_remembered_as_is_said_and_the_oldest_go() -> None:
    log = TurnLog()
    for number in range(TURNS_KEPT + 1):
        take_turn(log, str(number), 2 * number)

    assert log.find("key-0") is None
    assert log.find("key-1") is not None
    assert log.find(f"key-{TURNS_KEPT}") is not None


def test_only_the_first_message_of_a_turn_names_the_request() -> None:
    log = TurnLog()
    log.begin(TurnRequest("turn-a", "key-a", "body-a"), 0)

    first = log.mark_of(PROMPT)
    log.record_stored(0)
    log.stop_reason = "end_turn"

    assert first == {"turn": {"id": "turn-a", "key": "key-a", "body": "body-a"}}
    assert log.mark_of(RESULT) is None
    assert log.mark_of(ASSISTANT) == {"stop_reason": "end_turn"}


def test_a_turn_without_a_request_marks_nothing() -> None:
    assert TurnLog().mark_of(PROMPT) is None


@pytest.mark.parametrize(
    "stored", [None, 1, [], {"format": 2}, {"format": 1}, {"format": 1, "answered": [{}], "known_below": 0}]
)
def test_a_log_that_is_not_understood_counts_as_empty(stored: object) -> None:
    log = TurnLog(stored)

    assert log.known_below is None
    assert log.to_kit() is None


def test_messages_tell_which_turns_they_are_of_and_where_each_ends() -> None:
    found = turns_in(
        [
            record(0, PROMPT, "a"),
            record(1, ASSISTANT),
            record(2, RESULT),
            record(3, ASSISTANT),
            record(4, PROMPT),  # somebody else's turn, without a request
            record(5, ASSISTANT),
            record(6, PROMPT, "b"),
        ]
    )

    assert [(turn.turn_id, turn.first_id, turn.last_id) for turn in found] == [("turn-a", 0, 3), ("turn-b", 6, 6)]


def test_what_the_messages_tell_is_taken_over_once() -> None:
    log = TurnLog()
    take_turn(log, "a", 0)

    log.learn([record(0, PROMPT, "a"), record(1, ASSISTANT), record(2, PROMPT, "b")], 3)

    assert [turn.turn_id for turn in (log.find("key-a"), log.find("key-b")) if turn] == ["turn-a", "turn-b"]
    assert log.known_below == 3


def test_a_turn_is_remembered_where_nobody_has_looked_for_earlier_ones() -> None:
    log = TurnLog()
    take_turn(log, "a", 6)

    next_process = TurnLog(log.to_kit())

    assert next_process.find_by_id("turn-a") is not None
    assert next_process.known_below != 8  # whoever asks for another request still looks


def test_earlier_turns_that_are_found_later_push_no_later_one_out() -> None:
    log = TurnLog()
    take_turn(log, "new", 2 * TURNS_KEPT)

    log.learn([record(2 * number, PROMPT, str(number)) for number in range(TURNS_KEPT)], 2 * TURNS_KEPT + 2)

    assert log.find("key-new") is not None
    assert log.find("key-0") is None
    assert log.latest(lambda _: True) == log.find("key-new")
