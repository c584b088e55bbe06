"""Turns without HTTP: what Step Functions, EventBridge and ``aws lambda invoke`` send and get."""

from collections.abc import Callable
from typing import Any

import pytest

from agent_sessions.exceptions import SessionConflictError, SessionStorageError
from agent_sessions.owner import owner_prefix
from tests.doubles.scripted_model import ScriptedModel, throttled
from tests.endpoint.function import ACCOUNT, ALICE, Context, Function, text_of

Scripted = Callable[..., tuple[Function, ScriptedModel]]
EVENT = {"owner": "nightly-report", "session_id": "chat", "prompt": "Hi", "request_id": "execution-1"}


def raised(function: Function, event: Any, **context: Any) -> tuple[str, str]:
    """The class name and message that Lambda reports for an event."""
    with pytest.raises(Exception) as caught:
        function.invoke(event, Context(**context))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return type(caught.value).__name__, str(caught.value)


def test_a_plain_event_takes_a_turn_and_returns_the_reply(scripted: Scripted) -> None:
    function, _ = scripted("Hello.", "Hello again.")

    first = function.invoke(EVENT)
    function.cold_start()
    second = function.invoke({**EVENT, "prompt": [{"text": "Again"}], "request_id": "execution-2"})

    assert text_of(first) == "Hello."
    assert first["restored_messages"] == 0
    assert second["restored_messages"] == 2
    assert set(first) == {
        "session_id",
        "agent_id",
        "turn_id",
        "message",
        "stop_reason",
        "interrupts",
        "usage",
        "restored_messages",
    }


@pytest.mark.parametrize(
    "owner",
    [{"issuer": ACCOUNT, "subject": ALICE.unique_id}, owner_prefix(ACCOUNT, ALICE.unique_id)],
)
def test_an_event_can_name_an_owner_who_also_calls_over_http(owner: Any, scripted: Scripted) -> None:
    function, _ = scripted("Hello.", "Reminder sent.")
    function.reply("Hi", caller=ALICE)

    reply = function.invoke({**EVENT, "owner": owner})

    assert reply["restored_messages"] == 2


def test_an_owner_that_only_events_name_is_no_caller_over_http(scripted: Scripted) -> None:
    function, _ = scripted("One.", "Two.", "Three.")

    function.invoke({**EVENT, "owner": "local"})
    function.invoke({**EVENT, "owner": ALICE.unique_id})

    assert function.http("GET", "/sessions", caller=ALICE).json["session_ids"] == []
    assert function.invoke({**EVENT, "owner": "another"})["restored_messages"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"owner": ""},
        {"owner": None},
        {"owner": {"issuer": "x"}},
        {"session_id": "a/b"},
        {"session_id": 7},
        {"request_id": ""},
        {"prompt": ""},
        {"prompt": None},
        {"agent_id": ".."},
        {"unknown": True},
        {"interrupt_responses": [{"interrupt_id": "i", "response": 1}]},
    ],
)
def test_a_bad_event_is_raised_under_a_name_that_can_be_caught(change: dict[str, Any], scripted: Scripted) -> None:
    function, _ = scripted()

    name, message = raised(function, {**EVENT, **change})

    assert name == "BadRequestError"
    assert next(iter(change)) in message or "prompt or interrupt_responses" in message


@pytest.mark.parametrize("event", [None, [], "text", {}, {"requestContext": None}, {"requestContext": {}}])
def test_a_value_that_is_no_event_at_all_is_a_bad_request(event: Any, scripted: Scripted) -> None:
    function, _ = scripted()

    assert raised(function, event)[0] == "BadRequestError"


def test_failures_are_raised_under_their_own_names(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent_sessions.repository_session_manager import RepositorySessionManager

    function, _ = scripted(throttled(), OSError("no route"), otherwise="Fine.")

    assert raised(function, EVENT)[0] == "ModelThrottledError"
    assert raised(function, EVENT)[0] == "ModelFailedError"
    assert raised(function, EVENT, remaining_seconds=1)[0] == "OutOfTimeError"
    answers = {**EVENT, "request_id": "another", "interrupt_responses": [{"interrupt_id": "i", "response": 1}]}
    del answers["prompt"]
    assert raised(function, answers)[0] == "NoInterruptPendingError"
    assert raised(function, {**answers, "session_id": "none"})[0] == "NotFoundError"
    raised_below: list[tuple[Exception, str]] = [
        (SessionConflictError("stale"), "TurnConflictError"),
        (SessionStorageError("down", code="SlowDown"), "StorageFailedError"),
    ]
    for error, name in raised_below:

        def refuse(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(RepositorySessionManager, "append_message", refuse)
        assert raised(function, EVENT)[0] == name
    monkeypatch.undo()
    assert text_of(function.invoke(EVENT)) == "Fine."


def test_the_unforeseen_is_raised_without_its_words(scripted: Scripted) -> None:
    function, _ = scripted()

    def broken(session_manager: Any, settings: Any) -> Any:
        raise LookupError("a secret inside")

    function.build_agent = broken

    name, message = raised(function, EVENT)
    assert name == "InternalError"
    assert "secret" not in message
