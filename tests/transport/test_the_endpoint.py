"""The endpoint's own handler under the real runtime client: HTTP answers as streams, plain events as ever."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.packaging.interpreters import Interpreter
from tests.deploy.lambda_process import ROOT, DeployedFunction
from tests.deploy.runtime_api import Outcome
from tests.doubles.bedrock_server import BedrockServer
from tests.endpoint.function import http_event
from tests.transport.conftest import INSTALLED


class Endpoint:
    """The handler of this working tree; a process for each event."""

    def __init__(self, folder: Path, bedrock: BedrockServer, **environment: str) -> None:
        layer = folder / "layer" / "python"
        layer.mkdir(parents=True)
        for package in (ROOT / "lambda_src", ROOT / "layer" / "agent_sessions"):
            (layer / package.name).symlink_to(package)
        configuration = {
            "FunctionName": "endpoint",
            "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:endpoint:live",
            "Version": "1",
            "MemorySize": 512,
            "Timeout": 60,
            "Handler": "lambda_src.handler.lambda_handler",
        }
        variables = {
            "SESSION_STORE": f"file://{folder}/sessions",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
            **environment,
        }
        python = Interpreter(Path(sys.executable), "3")
        self._function = DeployedFunction(configuration, folder, [folder / "layer"], python, INSTALLED, variables)

    def ask(self, event: Any) -> Outcome:
        return self._function.invoke(event)


@pytest.fixture
def bedrock() -> Iterator[BedrockServer]:
    with BedrockServer("Hello Ada.", otherwise="Again.") as server:
        yield server


def test_every_http_answer_goes_through_the_prelude(tmp_path: Path, bedrock: BedrockServer) -> None:
    endpoint = Endpoint(tmp_path, bedrock)
    turn = http_event("POST", "/sessions/a/messages", {"prompt": "I am Ada."})

    answered, missing, erased = (
        endpoint.ask(event) for event in (turn, http_event("GET", "/sessions/b"), http_event("DELETE", "/sessions/a"))
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


def test_a_plain_events_reply_and_its_error_are_posted_as_ever(tmp_path: Path, bedrock: BedrockServer) -> None:
    endpoint = Endpoint(tmp_path, bedrock)

    reply = endpoint.ask({"owner": "nightly", "session_id": "a", "prompt": "I am Ada.", "request_id": "r"})
    refused = endpoint.ask({"owner": "nightly", "session_id": "a"})

    assert (reply.error, reply.streamed) == (None, None)
    assert reply.value["message"]["content"] == [{"text": "Hello Ada."}]
    assert (refused.error, refused.value["errorType"]) == ("error", "BadRequestError")


def test_without_streaming_answers_are_posted_whole(tmp_path: Path, bedrock: BedrockServer) -> None:
    endpoint = Endpoint(tmp_path, bedrock, STREAMING="false")

    outcome = endpoint.ask(http_event("GET", "/health"))

    assert outcome.streamed is None
    assert outcome.value["statusCode"] == 200
