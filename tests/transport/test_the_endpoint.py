"""The endpoint's own handler under the real runtime client: HTTP answers as streams, plain events as ever."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.working_tree import working_tree_function
from tests.doubles.bedrock_server import BedrockServer
from tests.endpoint.function import http_event


@pytest.fixture
def bedrock() -> Iterator[BedrockServer]:
    with BedrockServer("Hello Ada.", otherwise="Again.") as server:
        yield server


def test_every_http_answer_goes_through_the_prelude(tmp_path: Path, bedrock: BedrockServer) -> None:
    endpoint = working_tree_function(tmp_path, bedrock.url)
    turn = http_event("POST", "/sessions/a/messages", {"prompt": "I am Ada."})

    answered, missing, erased = (
        endpoint.invoke(event)
        for event in (turn, http_event("GET", "/sessions/b"), http_event("DELETE", "/sessions/a"))
    )

    for outcome, status in ((answered, 200), (missing, 404), (erased, 204)):
        assert outcome.error is None
        assert outcome.streamed is not None
        assert outcome.streamed.prelude["statusCode"] == status
        assert outcome.streamed.prelude["headers"]["Cache-Control"] == "no-store"
    assert json.loads(answered.value["body"])["message"]["content"] == [{"text": "Hello Ada."}]
    assert json.loads(missing.value["body"])["status"] == 404
    assert erased.streamed is not None
    assert erased.streamed.body == b""


def test_a_plain_events_reply_and_its_error_are_posted_as_before(tmp_path: Path, bedrock: BedrockServer) -> None:
    endpoint = working_tree_function(tmp_path, bedrock.url)

    reply = endpoint.invoke({"owner": "nightly", "session_id": "a", "prompt": "I am Ada.", "request_id": "r"})
    refused = endpoint.invoke({"owner": "nightly", "session_id": "a"})

    assert (reply.error, reply.streamed) == (None, None)
    assert reply.value["message"]["content"] == [{"text": "Hello Ada."}]
    assert (refused.error, refused.value["errorType"]) == ("error", "BadRequestError")


def test_without_streaming_answers_are_posted_whole(tmp_path: Path, bedrock: BedrockServer) -> None:
    endpoint = working_tree_function(tmp_path, bedrock.url, STREAMING="false")

    outcome = endpoint.invoke(http_event("GET", "/health"))

    assert outcome.streamed is None
    assert outcome.value["statusCode"] == 200
