"""One id leads from a request to its answer, its log, its metrics, its problem and what became of its turn."""

import json
from typing import Any

import pytest

from tests.doubles.s3_server import S3Server
from tests.endpoint.function import Context, http_event
from tests.metrics.load import Load


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


def sent(load: Load, request_id: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
    event = http_event(method, path, body, headers=headers)
    return load.function.invoke(event, Context(remaining_seconds=60, aws_request_id=request_id))


def test_a_reply_its_log_and_metrics_and_its_turn_have_one_id(s3: S3Server, capfd: pytest.CaptureFixture[str]) -> None:
    load = Load(s3)

    answer = sent(load, "the-first", "POST", "/sessions/chat/messages", {"prompt": "Say hello"})
    written = lines(capfd)
    turn_id = json.loads(answer["body"])["turn_id"]
    view = json.loads(sent(load, "the-second", "GET", f"/sessions/chat/turns/{turn_id}")["body"])

    assert answer["headers"]["X-Request-Id"] == "the-first"
    assert {line["request_id"] for line in written} == {"the-first"}
    assert {line["message"] for line in written} >= {"turn completed", "request answered", "request measured"}
    assert view["request_id"] == "the-first"


def test_a_turn_that_failed_names_its_request_in_the_problem_and_in_what_became_of_it(s3: S3Server) -> None:
    load = Load(s3)

    refused = sent(load, "the-first", "POST", "/sessions/chat/messages", {"prompt": "break"})
    stored = s3.objects("sessions")
    mark = next(json.loads(body) for key, body in stored.items() if key.endswith("message_0.json"))["kit"]["turn"]
    view = json.loads(sent(load, "the-second", "GET", f"/sessions/chat/turns/{mark['id']}")["body"])

    assert refused["headers"]["X-Request-Id"] == json.loads(refused["body"])["request_id"] == "the-first"
    assert mark["request"] == view["request_id"] == view["problem"]["request_id"] == "the-first"


def test_a_stream_begins_with_the_id(s3: S3Server) -> None:
    load = Load(s3)

    answer = sent(
        load, "the-first", "POST", "/sessions/chat/messages", {"prompt": "Say hello"}, accept="text/event-stream"
    )
    answer.close()
    answer.wait()

    assert answer.headers["X-Request-Id"] == "the-first"


def test_an_accepted_turn_keeps_the_id_of_the_request_that_accepted_it(
    s3: S3Server, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load(s3, ASYNC_FUNCTION="agent:live")
    events: list[bytes] = []
    monkeypatch.setattr(
        load.function.part("turn_resource.without_caller"), "invoke", lambda _, event: events.append(event)
    )

    accepted = sent(
        load, "the-first", "POST", "/sessions/chat/messages", {"prompt": "Say hello"}, prefer="respond-async"
    )
    lines(capfd)
    load.function.invoke(json.loads(events[0]), Context(remaining_seconds=60, aws_request_id="lambda-s-own"))

    written = lines(capfd)
    turn_id = json.loads(accepted["body"])["turn_id"]
    view = json.loads(sent(load, "the-second", "GET", f"/sessions/chat/turns/{turn_id}")["body"])
    assert {(line["request_id"], line["invocation_id"]) for line in written} == {("the-first", "lambda-s-own")}
    assert {line["message"] for line in written} == {"turn completed", "request measured"}
    assert view["request_id"] == "the-first"
