"""What leaves a function's process under the real runtime client, as Lambda takes it.

``make transport-matrix`` runs these with every release of the client. What does not depend on it is in
``test_answers.py``.
"""

import json
import time

import pytest

from tests.transport.conftest import Start
from tests.transport.process import STREAM, pieces, returning


def test_a_streamed_answer_comes_as_prelude_nuls_and_pieces(start: Start) -> None:
    process = start(STREAM)

    outcome = process.ask({"http": True})

    assert outcome.error is None
    assert outcome.streamed is not None
    assert outcome.streamed.prelude == {
        "statusCode": 200,
        "headers": {"Content-Type": "text/event-stream", "X-Number": "7"},
        "cookies": ["a=1", "b=2"],
    }
    assert [piece for _, piece in outcome.streamed.pieces] == [b"one ", "zweié ".encode(), b"three"]
    assert outcome.streamed.trailers == {}
    assert process.api.refused == []


def test_a_piece_leaves_before_the_next_one_is_made(start: Start) -> None:
    # Given a body that makes its second piece only when somebody says so.
    process = start(
        pieces("""
yield b"first"
import pathlib
while not pathlib.Path(event["go"]).exists():
    time.sleep(0.01)
yield b"second"
""")
    )
    go = process.folder / "go"
    process.offer({"go": str(go)})

    # Then the prelude and the first are there already.
    assert process.api.arrived.get(timeout=20) == {"statusCode": 200, "headers": {}, "cookies": []}
    assert process.api.arrived.get(timeout=20) == b"first"
    go.touch()
    assert process.api.arrived.get(timeout=20) == b"second"
    assert process.outcome().error is None


def test_an_ordinary_answer_goes_through_the_prelude_too(start: Start) -> None:
    process = start(returning("{'statusCode': 201, 'headers': {'Location': '/x'}, 'body': '{\"a\": \"é\"}'}"))

    outcome = process.ask()

    assert outcome.streamed is not None
    assert outcome.streamed.prelude == {"statusCode": 201, "headers": {"Location": "/x"}, "cookies": []}
    assert json.loads(outcome.streamed.body) == {"a": "é"}


def test_a_plain_events_result_is_posted_as_before(start: Start) -> None:
    process = start(STREAM)

    outcomes = [process.ask(event) for event in (None, [1, 2], {"a": "é"}, "text", 3)]

    assert [outcome.value for outcome in outcomes] == [
        {"plain": event} for event in (None, [1, 2], {"a": "é"}, "text", 3)
    ]
    assert all(outcome.streamed is None for outcome in outcomes)


def test_an_error_of_the_handler_is_still_an_invocation_error(start: Start) -> None:
    process = start("def handler(event, context):\n    raise ValueError('no')\n")

    outcome = process.ask()

    assert outcome.error == "error"
    assert (outcome.value["errorType"], outcome.value["errorMessage"]) == ("ValueError", "no")


def test_a_body_that_fails_before_its_first_piece_is_an_invocation_error_without_its_words(start: Start) -> None:
    process = start(pieces("raise ValueError('my secret')\nyield b''"))

    outcome = process.ask()

    assert outcome.error == "error"
    assert outcome.value["errorType"] == "AnswerFailedError"
    assert "ValueError" in outcome.value["errorMessage"]
    assert "entry.py:" in outcome.value["errorMessage"]
    assert "my secret" not in json.dumps(outcome.value)
    assert "my secret" not in process.end()


def test_a_failure_in_the_middle_goes_into_the_trailers_without_its_words(start: Start) -> None:
    process = start(pieces("yield b'one'\nraise ValueError('my secret')"))

    outcome = process.ask()

    assert outcome.error is None
    assert outcome.streamed is not None
    assert outcome.streamed.body == b"one"
    assert outcome.streamed.trailers["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert outcome.streamed.failure["errorType"] == "ValueError"
    assert "entry.py:" in outcome.streamed.failure["errorMessage"]
    assert "my secret" not in json.dumps(outcome.streamed.failure)
    printed = process.end()
    assert "reported ValueError" in printed
    assert "my secret" not in printed


def test_a_caller_who_has_left_ends_neither_the_process_nor_the_work(start: Start) -> None:
    # Given a caller who leaves after two pieces of an endless body, whose work is over a moment after that.
    process = start(
        pieces("""
if not event:
    yield b"whole"
    return
try:
    while True:
        yield b"x" * 1000
finally:
    print("closed", flush=True)
""")
    )
    process.api.leave_after = 2

    left = process.ask(True)
    process.api.leave_after = None
    after = process.ask(False)

    # Then the next event is answered, and not before the body was closed and the work was over.
    assert left.error == "left"
    assert after.streamed is not None
    assert after.streamed.body == b"whole"
    printed = process.end()
    assert printed.index("closed") < printed.index("over") < printed.rindex("asked")
    assert "reported" in printed


@pytest.mark.parametrize("body", ['b"x" * 100_000', 'b"x"'], ids=["more than fits on the way", "all of it sent"])
def test_a_caller_who_does_not_read_holds_the_function_up_no_longer_than_its_time(start: Start, body: str) -> None:
    # Given a caller who reads one piece, stays, and reads no more.
    process = start(
        pieces(f"""
if not event:
    yield b"whole"
    return
try:
    for _ in range(1000 if len({body}) > 1 else 3):
        yield {body}
finally:
    print("closed", flush=True)
"""),
        timeout_seconds=3,
    )
    process.api.stall_after = 1

    process.offer(True)
    process.api.arrived.get(timeout=20)
    began = time.monotonic()
    assert process.api.next_asked.wait(10)
    took = time.monotonic() - began
    process.api.stall_after = None
    after = process.ask(False)

    # Then the next event is asked for before the function's time is up, and after the work was over.
    assert 1 < took < 3
    assert after.streamed is not None
    assert after.streamed.body == b"whole"
    printed = process.end()
    assert printed.index("closed") < printed.index("over") < printed.rindex("asked")
    assert "reported TimeoutError" in printed


def test_the_work_behind_a_body_is_over_before_the_next_event_is_asked_for(start: Start) -> None:
    process = start(pieces("yield b'one'"))

    process.ask()
    process.ask()

    printed = process.end()
    assert printed.index("over") < printed.rindex("asked")


def test_the_attempt_that_lambda_names_is_named_again(start: Start) -> None:
    # Releases that know of attempts hand their id to whoever posts the result; older ones know of none.
    asked = """
import inspect
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
told = "invocation_id" in inspect.getsource(LambdaRuntimeClient.wait_next_invocation)
"""
    process = start(asked + returning("{'statusCode': 200, 'body': str(told)}"))

    outcome = process.ask()

    assert outcome.streamed is not None
    attempt = outcome.streamed.headers.get("lambda-runtime-invocation-id")
    assert outcome.streamed.body == str(attempt is not None).encode()
    assert process.api.refused == []
