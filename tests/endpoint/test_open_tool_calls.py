"""A turn that ends between a tool's call and its result, and whose request comes again with its key."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from strands import ToolContext, tool

from tests.doubles.s3_server import Fault, S3Server
from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, text_of
from tests.endpoint.test_repeats import KEYED, said

Paying = tuple[Function, S3Server, ScriptedModel, list[str]]


@pytest.fixture
def paying() -> Iterator[Paying]:
    """An agent that pays with a tool; the list names the turn of each payment."""
    with S3Server(buckets=["sessions"]) as s3:
        environment = {**CREDENTIALS, "SESSION_STORE": "s3://sessions/p", "AWS_ENDPOINT_URL_S3": s3.url}
        function = Function({**environment, "AGENT_MODEL": "scripted:script", "LEASE_WAIT_SECONDS": "0"})
        model = function.models["script"] = ScriptedModel(tool_use("pay"), otherwise="Paid.")
        paid: list[str] = []

        @tool(context=True)
        def pay(tool_context: ToolContext) -> str:
            """Pay."""
            assert s3.log.wait_for(lambda entries: any(entry.verb == "PUT" and is_call(entry.key) for entry in entries))
            paid.append(tool_context.invocation_state["turn_id"])
            return "paid"

        with_tool(function, pay)
        yield function, s3, model, paid


def with_tool(function: Function, pay: Any) -> None:
    """Start a process whose agent has the tool."""
    function.cold_start()
    build_agent = function.part("agent").build_agent

    def build(session_manager: Any, settings: Any) -> Any:
        agent = build_agent(session_manager, settings)
        agent.tool_registry.register_tool(pay)
        return agent

    function.part("agent").build_agent = build


def is_call(key: str | None) -> bool:
    """Whether an object holds the message with the tool's call."""
    return key is not None and key.endswith("/message_1.json")


def refused_result(function: Function, s3: S3Server) -> None:
    """The result is not stored, though the tool has run and the process lives."""
    s3.faults.add(Fault("error", verb="PUT", key="*/message_2.json", code="AccessDenied", times=None))
    assert function.say("pay 100", **KEYED).problem == "storage-refused"
    s3.faults.clear()


def killed_process(function: Function, s3: S3Server) -> None:
    """The session is as it was when the tool's call had just been stored, and nobody renews its lease."""
    then: dict[str, bytes] = {}

    def note(_: object) -> None:
        then.update(s3.objects("sessions"))

    s3.faults.add(Fault("call", verb="PUT", key="*/message_2.json", callback=note))
    function.reply("pay 100", **KEYED)
    for key in s3.objects("sessions"):
        s3.client().delete_object(Bucket="sessions", Key=key)
    for key, body in then.items():
        s3.client().put_object(Bucket="sessions", Key=key, Body=body)
    assert any(key.endswith("/lease.json") for key in then)
    s3.clock.set(time.time() + 60)


cut_off_there = pytest.mark.parametrize("cut_off", [refused_result, killed_process], ids=["refused", "killed"])


@cut_off_there
def test_a_repeat_goes_on_with_the_tool_and_does_not_ask_the_model_for_its_call_again(
    cut_off: Callable[[Function, S3Server], None], paying: Paying
) -> None:
    function, s3, model, paid = paying
    cut_off(function, s3)
    assert said(function) == ["user: pay 100", "assistant: "]
    asked = len(model.requests)

    reply = function.reply("pay 100", **KEYED)

    assert text_of(reply) == "Paid."
    assert said(function) == ["user: pay 100", "assistant: ", "user: ", "assistant: Paid."]
    assert len(model.requests) == asked + 1
    assert paid == [reply["turn_id"]] * 2  # it runs again, and knows for which turn
    assert function.reply("pay 100", **KEYED) == reply
    assert len(paid) == 2


@cut_off_there
def test_another_request_goes_on_behind_it_and_the_tool_does_not_run(
    cut_off: Callable[[Function, S3Server], None], paying: Paying
) -> None:
    function, s3, _, paid = paying
    cut_off(function, s3)

    reply = function.reply("What now?")

    assert text_of(reply) == "Paid."
    assert said(function)[-2:] == ["user: What now?", "assistant: Paid."]
    assert len(paid) == 1
