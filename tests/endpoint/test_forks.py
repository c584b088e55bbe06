"""Forks over HTTP, under the deployed role."""

from typing import Any
from unittest import mock

import pytest

from agent_sessions import forking
from agent_sessions.exceptions import SessionStorageError
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function


@pytest.fixture
def function(s3_store: dict[str, str]) -> Function:
    function = Function({**CREDENTIALS, **s3_store, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(*(f"Reply {number}." for number in range(20)))
    return function


@pytest.fixture
def turns(function: Function) -> list[str]:
    """Three turns of the session ``chat``: their ids."""
    answers = [function.http("POST", "/sessions/chat/messages", {"prompt": f"Prompt {number}"}) for number in range(3)]
    return [answer.json["turn_id"] for answer in answers]


def fork(function: Function, body: dict[str, Any], *, key: str | None = None, session_id: str = "chat") -> Any:
    headers = {} if key is None else {"idempotency-key": key}
    return function.http("POST", f"/sessions/{session_id}/fork", body, headers=headers)


def said(function: Function, session_id: str) -> list[str]:
    page = function.http("GET", f"/sessions/{session_id}/messages").json
    return [entry["message"]["content"][0]["text"] for entry in page["messages"]]


def test_a_session_is_forked_before_a_turn_and_said_differently(function: Function, turns: list[str]) -> None:
    answer = fork(function, {"before_turn": turns[1]})

    new = answer.json["session_id"]
    assert (answer.status, answer.headers["location"]) == (201, f"/sessions/{new}")
    assert answer.json == {
        "session_id": new,
        "forked_from": "chat",
        "agent_id": "default",
        "before_message": 2,
        "message_count": 2,
        "state": "as then",
    }
    other = function.http("POST", f"/sessions/{new}/messages", {"prompt": "Another"})
    assert other.json["restored_messages"] == 2
    assert said(function, new) == ["Prompt 0", "Reply 0.", "Another", "Reply 3."]
    assert said(function, "chat")[2:4] == ["Prompt 1", "Reply 1."]
    assert function.http("GET", f"/sessions/{new}").json["fork"] == answer.json
    assert function.http("GET", "/sessions/chat").json["fork"] is None


def test_a_fork_can_begin_before_a_message_and_have_an_id_of_the_callers(function: Function, turns: list[str]) -> None:
    answer = fork(function, {"before_message": 4, "session_id": "mine", "agent_id": "default"})

    assert (answer.status, answer.json["session_id"], answer.json["message_count"]) == (201, "mine", 4)
    taken = fork(function, {"before_message": 4, "session_id": "chat"})
    assert (taken.status, taken.problem) == (409, "session-exists")


def test_a_fork_that_is_sent_again_under_its_key_is_one(function: Function, turns: list[str]) -> None:
    first, again = (fork(function, {"before_turn": turns[1]}, key="k") for _ in range(2))
    reused = fork(function, {"before_turn": turns[2]}, key="k")
    unkeyed = fork(function, {"before_turn": turns[1]})

    assert (again.status, again.json) == (201, first.json)
    assert (reused.status, reused.problem) == (422, "idempotency-key-reused")
    assert unkeyed.json["session_id"] != first.json["session_id"]
    assert len(function.http("GET", "/sessions").json["session_ids"]) == 3


def test_a_fork_that_is_sent_again_is_found_whatever_became_of_its_source(function: Function, turns: list[str]) -> None:
    body = {"before_message": 2}
    first = fork(function, body, key="k")

    function.http("POST", "/sessions/chat/messages", {"prompt": "Hi", "agent_id": "another"})
    assert fork(function, body, key="other").status == 422  # there are two agents now
    assert (fork(function, body, key="k").status, fork(function, body, key="k").json) == (201, first.json)
    function.http("DELETE", "/sessions/chat")
    assert fork(function, body, key="other").status == 404
    assert (fork(function, body, key="k").status, fork(function, body, key="k").json) == (201, first.json)
    function.http("DELETE", f"/sessions/{first.json['session_id']}")
    assert fork(function, body, key="k").status == 404


def test_an_id_is_taken_by_a_fork_that_another_request_has_made(function: Function, turns: list[str]) -> None:
    body = {"before_message": 2, "session_id": "mine"}
    first = fork(function, body, key="k")

    assert (fork(function, body, key="k").status, fork(function, body, key="k").json) == (201, first.json)
    for other in ("k2", None):
        taken = fork(function, body, key=other)
        assert (taken.status, taken.problem) == (409, "session-exists")


def test_a_fork_that_is_sent_again_while_it_is_made_is_told_to_come_again(function: Function, turns: list[str]) -> None:
    body, asked, again = {"before_message": 2}, list[Any](), list[Any]()
    is_unchanged = forking._Source.is_unchanged  # asked when everything is copied and nothing lives yet

    def send_again(source: Any, parts: Any) -> bool:
        asked.append(parts)
        if len(asked) == 2:
            raise SessionStorageError("the second request is still at work, or fails", code="SlowDown")
        if len(asked) == 1:
            again.append(fork(function, body, key="k"))
        return is_unchanged(source, parts)

    with mock.patch.object(forking._Source, "is_unchanged", send_again):
        first = fork(function, body, key="k")

    assert again[0].status == 503
    assert (first.status, first.problem, first.headers["retry-after"]) == (409, "session-busy", "1")
    assert function.http("GET", "/sessions").json["session_ids"] == ["chat"]
    assert fork(function, body, key="k").status == 201


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"before_message": 1}, 422, "fork-refused"),
        ({"before_message": 99}, 404, "not-found"),
        ({"before_turn": "0123456789abcdef"}, 404, "not-found"),
        ({"before_message": 2, "agent_id": "nobody"}, 404, "not-found"),
        ({}, 422, "invalid-request"),
        ({"before_message": 2, "before_turn": "0123456789abcdef"}, 422, "invalid-request"),
        ({"before_message": -1}, 422, "invalid-request"),
        ({"before_message": True}, 422, "invalid-request"),
        ({"before_message": "2"}, 422, "invalid-request"),
        ({"before_message": 2, "session_id": "a/b"}, 422, "invalid-request"),
    ],
)
def test_what_cannot_be_forked_is_refused_and_leaves_nothing(
    function: Function, turns: list[str], body: dict[str, Any], status: int, problem: str
) -> None:
    answer = fork(function, body)

    assert (answer.status, answer.problem) == (status, problem)
    assert function.http("GET", "/sessions").json["session_ids"] == ["chat"]


def test_another_owners_session_is_not_forked(function: Function, turns: list[str]) -> None:
    answer = function.http("POST", "/sessions/chat/fork", {"before_message": 2}, headers={"session-owner": "ada"})

    assert (answer.status, answer.problem) == (404, "not-found")
