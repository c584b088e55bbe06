"""Answers of every kind, as they arrive: bytes, headers, and what goes wrong."""

from tests.transport.conftest import Start
from tests.transport.process import STREAM, pieces, returning


def test_a_binary_body_arrives_as_its_bytes(start: Start) -> None:
    process = start(returning("{'statusCode': 200, 'body': 'AAECAP8=', 'isBase64Encoded': True}"))

    outcome = process.ask()

    assert outcome.streamed is not None
    assert outcome.streamed.body == b"\0\1\2\0\xff"


def test_an_empty_answer_is_a_prelude_alone(start: Start) -> None:
    process = start(returning("{'statusCode': 204, 'body': ''}"))

    outcome = process.ask()

    assert outcome.streamed is not None
    assert outcome.streamed.prelude["statusCode"] == 204
    assert outcome.streamed.pieces == []


def test_an_answer_that_cannot_be_sent_is_an_invocation_error(start: Start) -> None:
    process = start(
        returning(
            "{'statusCode': 200, **({'headers': {'a b': 'x'}} if event else {'body': '?', 'isBase64Encoded': 1})}"
        )
    )

    for event in (True, False):
        outcome = process.ask(event)
        assert outcome.error == "error"
        assert outcome.streamed is None
        assert outcome.value["errorType"] == "AnswerFailedError"


def test_an_error_that_would_end_the_process_ends_only_the_answer(start: Start) -> None:
    process = start(pieces("if event: yield b'one'\nraise SystemExit(3)"))

    in_the_middle, at_the_start, again = (process.ask(event) for event in (True, False, True))

    assert in_the_middle.streamed is not None
    assert in_the_middle.streamed.failure["errorType"] == "SystemExit"
    assert at_the_start.error == "error"
    assert again.streamed is not None


def test_headers_and_cookies_hold_what_http_allows(start: Start) -> None:
    value = "{'statusCode': 200, 'headers': {'X-A': ' caf\\u00e9\\r\\nX-B: 1 '}, 'cookies': ['t=\\u20ac; Secure']}"
    process = start(returning(value))

    outcome = process.ask()

    assert outcome.streamed is not None
    assert outcome.streamed.prelude["headers"] == {"X-A": "caf%C3%A9%0D%0AX-B: 1"}
    assert outcome.streamed.prelude["cookies"] == ["t=%E2%82%AC; Secure"]


def test_a_large_answer_arrives_whole(start: Start) -> None:
    process = start(returning("{'statusCode': 200, 'body': '\\u00e9' * 4_000_000}"))

    outcome = process.ask()

    assert outcome.streamed is not None
    assert outcome.streamed.body == "é".encode() * 4_000_000


def test_an_answer_that_lambda_refuses_does_not_end_the_process(start: Start) -> None:
    process = start(STREAM)
    process.api.refuse_next = True

    process.offer({"http": True})
    after = process.ask("plain")

    assert after.value == {"plain": "plain"}
    assert len(process.api.refused) == 1
    assert "reported" in process.end()
