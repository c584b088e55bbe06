"""The endpoint's own handler under the real runtime client: HTTP answers as streams, plain events as ever."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.runtime_api import RuntimeApi
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


def test_a_turn_whose_caller_does_not_read_is_stored_and_the_process_goes_on(tmp_path: Path) -> None:
    answer = ("x" * 50_000 + " ") * 40
    with BedrockServer(answer) as bedrock:
        endpoint = working_tree_function(tmp_path, bedrock.url, DEADLINE_MARGIN_SECONDS="1")
        turn = http_event("POST", "/sessions/a/messages", {"prompt": "Talk."}, headers={"accept": "text/event-stream"})
        with RuntimeApi(endpoint.configuration["FunctionArn"], timeout_seconds=15) as api:
            api.stall_after = 1
            api.offer(turn)
            process = endpoint.start(api.address)
            try:
                api.arrived.get(timeout=15)
                assert api.next_asked.wait(15)
                api.stall_after = None
                api.offer(http_event("GET", "/sessions/a/messages"))
                page = api.outcome(15)
            finally:
                process.kill()
                output = process.communicate()[0].decode()

    assert page is not None
    messages = json.loads(page.value["body"])["messages"]
    assert [item["message"]["content"] for item in messages] == [[{"text": "Talk."}], [{"text": answer}]]
    assert "TimeoutError" in output
