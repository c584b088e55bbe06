"""HTTP to a Function URL event and back, as AWS documents the format."""

import base64
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import LambdaFunctionUrlEvent

from local.function_url import Request, Response, event_from, payload_size, response_from

NOW = 1_700_000_000.25


def event_of(*arguments: Any, **options: Any) -> dict[str, Any]:
    return event_from(Request(*arguments, **options), "id-1", NOW)


def test_a_request_becomes_the_event_powertools_reads() -> None:
    event = event_of(
        "POST",
        "/sessions/a%20b/messages?limit=5&tag=x&tag=y&empty=",
        [("Host", "127.0.0.1:8000"), ("User-Agent", "curl"), ("X-Many", "1"), ("X-Many", "2"), ("Cookie", "a=1; b=2")],
        source_ip="127.0.0.1",
    )
    read = LambdaFunctionUrlEvent(event)

    assert read.http_method == "POST"
    assert read.raw_path == "/sessions/a%20b/messages"
    assert read.query_string_parameters == {"limit": "5", "tag": "x,y", "empty": ""}
    assert event["rawQueryString"] == "limit=5&tag=x&tag=y&empty="
    assert read.headers == {"host": "127.0.0.1:8000", "user-agent": "curl", "x-many": "1,2"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert read.request_context.http.source_ip == "127.0.0.1"
    assert read.request_context.http.user_agent == "curl"
    assert read.request_context.domain_name == "127.0.0.1:8000"
    assert read.request_context.request_id == "id-1"
    assert event["requestContext"]["time"] == "14/Nov/2023:22:13:20 +0000"
    assert event["requestContext"]["timeEpoch"] == 1_700_000_000_250
    assert "authorizer" not in event["requestContext"]


def test_without_query_and_body_there_are_none() -> None:
    event = event_of("GET", "/health")

    assert "queryStringParameters" not in event
    assert "body" not in event
    assert event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "text/plain", "application/a+json"]
)
def test_text_arrives_as_text(kind: str) -> None:
    event = event_of("POST", "/", [("Content-Type", kind)], "ä€😀".encode())

    assert (event["body"], event["isBase64Encoded"]) == ("ä€😀", False)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("content-type", "image/png")], b"\x89PNG"),
        ([("content-type", "application/x-www-form-urlencoded")], b"a=1"),
        ([("content-type", "application/json")], b"\xff\xfe"),
        ([], b"{}"),
    ],
)
def test_everything_else_arrives_as_base64(headers: list[tuple[str, str]], body: bytes) -> None:
    event = event_of("POST", "/", headers, body)

    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == body


def test_the_payload_is_measured_as_lambda_gets_it() -> None:
    body = b"\x00" * 3000
    bare, full = event_of("POST", "/"), event_of("POST", "/", (), body)

    assert payload_size(full) - payload_size(bare) > 4000


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {
                "statusCode": 201,
                "headers": {"Content-Type": "text/plain", "X-N": 1},
                "body": "ä",
                "cookies": ["a=1", "b=2"],
            },
            Response(
                201,
                [("content-type", "text/plain"), ("x-n", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2")],
                "ä".encode(),
            ),
        ),
        ({"statusCode": 204}, Response(204, [("content-type", "application/json")], b"")),
        (
            {"statusCode": 200, "headers": {}, "body": "AAE=", "isBase64Encoded": True},
            Response(200, [("content-type", "application/json")], b"\x00\x01"),
        ),
        ({"message": "hi"}, Response(200, [("content-type", "application/json")], b'{"message": "hi"}')),
        ("hi", Response(200, [("content-type", "application/json")], b"hi")),
    ],
)
def test_a_result_becomes_a_response(result: Any, expected: Response) -> None:
    assert response_from(result) == expected


@pytest.mark.parametrize(
    "result", [{"statusCode": 200, "body": {"not": "text"}}, {"statusCode": "many"}, {"x": object()}]
)
def test_a_result_without_meaning_is_an_error(result: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        response_from(result)
