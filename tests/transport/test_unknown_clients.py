"""A runtime client that is not as it was: the function says so when it starts, and nothing is half replaced."""

from pathlib import Path

import pytest

from tests.deploy.working_tree import INSTALLED
from tests.transport.conftest import Start
from tests.transport.process import Process

HANDLER = "def handler(event, context):\n    return {'statusCode': 200, 'body': 'x'}\n"
INSTALL = """
from lambda_src.runtime import transport
transport.install(streaming={streaming}, report=print)
"""
CLIENT = (
    "from awslambdaric import bootstrap, lambda_runtime_client as client, lambda_runtime_marshaller as marshaller\n"
)
CHANGES = {
    "another argument of the marshaller": (
        "marshaller.LambdaMarshaller.marshal_response = lambda self, response, how: None",
        "LambdaMarshaller.marshal_response",
    ),
    "another argument of the client": (
        "client.LambdaRuntimeClient.post_invocation_result = lambda self, invoke_id, stream: None",
        "LambdaRuntimeClient.post_invocation_result",
    ),
    "no such class": ("del client.LambdaRuntimeClient", "not started by awslambdaric"),
    "no such method": ("del marshaller.LambdaMarshaller.marshal_response", "LambdaMarshaller.marshal_response"),
    "another marshaller": ("client.LambdaRuntimeClient.marshaller = object()", "another marshaller"),
    "another way": ("bootstrap.handle_event_request = lambda *_: None", "goes another way"),
    "no address": ("client.LambdaRuntimeClient.__init__ = lambda self: None", "address of the Runtime API"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_client_that_is_not_as_it_was_stops_the_start_and_says_what_to_do(change: str, tmp_path: Path) -> None:
    source, difference = CHANGES[change]
    process = Process(HANDLER, tmp_path / "f", INSTALLED, head=CLIENT + source + INSTALL.format(streaming=True))

    outcome = process.outcome()
    printed = process.end()

    assert outcome.error == "init/error"
    assert outcome.value["errorType"] == "UnknownRuntimeError"
    assert difference in outcome.value["errorMessage"]
    assert "streaming=false" in outcome.value["errorMessage"]
    assert "streaming=false" in printed


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_replaced_when_anything_is_not_as_it_was(change: str, tmp_path: Path) -> None:
    # Given a function that looks at the classes after the refusal.
    source, _ = CHANGES[change]
    look = """
def classes():
    return [(name, found) for module in (client, marshaller) for name, found in vars(module).items()
            if isinstance(found, type)]

from lambda_src.runtime import transport
kept = {name: dict(vars(owner)) for name, owner in classes()}
try:
    transport.install(streaming=True, report=print)
except transport.UnknownRuntimeError:
    print("replaced", {name for name, owner in classes() if dict(vars(owner)) != kept[name]}, flush=True)
"""
    process = Process(HANDLER, tmp_path / "f", INSTALLED, head=f"{CLIENT}{source}\n{look}raise SystemExit\n")

    assert "replaced set()" in process.wait()


def test_without_streaming_nothing_is_replaced_and_answers_are_posted_whole(tmp_path: Path) -> None:
    process = Process(HANDLER, tmp_path / "f", INSTALLED, head=INSTALL.format(streaming=False))

    outcome = process.ask()
    process.end()

    assert outcome.streamed is None
    assert outcome.value == {"statusCode": 200, "body": "x"}


def test_installed_twice_an_answer_is_sent_once(start: Start) -> None:
    process = start("transport.install(streaming=True, report=report)\n" + HANDLER)

    outcome = process.ask()

    assert outcome.streamed is not None
    assert outcome.streamed.body == b"x"
    assert process.api.refused == []


def test_no_kind_of_client_is_left_behind(start: Start) -> None:
    # Newer releases have one for several invocations at once, too. It would be given what it cannot post.
    source = """
from awslambdaric import lambda_runtime_client as module
clients = [found for found in vars(module).values() if hasattr(found, "post_invocation_result")
           and isinstance(found, type)]
print("posts in", {found.post_invocation_result.__module__ for found in clients}, flush=True)
"""
    process = start(source + HANDLER)

    process.ask()

    assert "posts in {'lambda_src.runtime.transport'}" in process.end()
