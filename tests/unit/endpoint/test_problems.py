"""Problem documents: what of an error is told over HTTP, and in which header."""

import json
import math

import pytest

from lambda_src.answers import errors
from lambda_src.doors.problems import MEDIA_TYPE, headers, problem, response
from lambda_src.turns.time_limit import TimeLimit


def test_a_problem_names_its_kind_its_session_and_its_request() -> None:
    document = problem(errors.BadRequestError("No."), session_id="chat", request_id="r-1")

    assert document == {
        "type": "urn:agent-session-kit:problem:invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "No.",
        "session_id": "chat",
        "request_id": "r-1",
    }


def test_members_that_are_not_known_are_left_out() -> None:
    error = errors.BadRequestError("No.", known_agents=["a"], left_out=None)

    document = problem(error, session_id=None, request_id=None)

    assert document["known_agents"] == ["a"]
    assert "left_out" not in document


def test_headers_say_when_to_come_again_how_to_sign_and_what_is_allowed() -> None:
    assert headers(errors.InternalError("x", retry_after_seconds=3)) == {"Retry-After": "3"}
    assert "WWW-Authenticate" in headers(errors.UnauthenticatedError("x"))
    assert headers(errors.InternalError("x")) == {}


@pytest.mark.parametrize(("path", "session_id"), [("/sessions/chat/messages", "chat"), ("/health", None), (7, None)])
def test_the_whole_answer_names_the_session_of_its_path(path: object, session_id: str | None) -> None:
    answer = response(errors.InternalError("x"), path=path, request_id="r-1")

    assert answer["statusCode"] == 500
    assert answer["headers"]["Content-Type"] == MEDIA_TYPE
    assert json.loads(answer["body"])["session_id"] == session_id


def test_half_of_the_margin_is_for_the_orderly_stop_and_a_quarter_for_the_answer() -> None:
    assert TimeLimit.within(60, 8) == TimeLimit(52, 56, 58)
    assert TimeLimit(1, 2).last_seconds == math.inf
