"""The contract for tool results that are no JSON: the model is told, the turn goes on, the next one works."""

import asyncio
import collections
import datetime as dt
import decimal
import math
from typing import Any

import pytest
from strands import tool
from strands.hooks import AfterToolCallEvent

from agent_sessions.exceptions import UnstorableValueError
from tests.contract.agents import conversation, model_of, open_agent, stored_ids, texts
from tests.contract.pairing import pairing_errors
from tests.contract.strands_features import has_module
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import tool_use

UNSTORABLE: dict[str, Any] = {
    "a date": dt.date(2026, 11, 28),
    "a decimal": decimal.Decimal("1.5"),
    "a set": {"x"},
    "a tuple for a key": {(1, 2): "x"},
    "an object": object(),
    "two keys that are one": {1: "x", "1": "y"},
    "a long integer": 10**5000,
}

STORABLE: dict[str, tuple[Any, Any]] = {
    "not a number": (math.inf, math.inf),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "a tuple": ((1, 2), [1, 2]),
    "keys of several types": ({1: "x", None: "y"}, {"1": "x", "null": "y"}),
    "a counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
}


def returning(value: Any, calls: list[str] | None = None) -> Any:
    @tool
    def due() -> dict[str, Any]:
        """When it is due."""
        if calls is not None:
            calls.append("called")
        return {"status": "success", "content": [{"json": {"v": value}}]}

    return due


def results(messages: list[Any]) -> list[Any]:
    return [block["toolResult"] for message in messages for block in message["content"] if "toolResult" in block]


@pytest.mark.parametrize("value", UNSTORABLE.values(), ids=UNSTORABLE.keys())
def test_the_model_is_told_of_a_result_that_cannot_be_stored_and_the_turn_goes_on(
    our_managers: Subject, value: Any
) -> None:
    calls: list[str] = []
    agent = open_agent(our_managers, tool_use("due"), "I do not know.", "Fine.", tools=[returning(value, calls)])
    agent("When?")

    (shown,) = results(list(model_of(agent).requests[1].messages))
    assert shown["status"] == "error"
    assert shown["content"][0]["text"]
    assert calls == ["called"]
    restored = open_agent(our_managers, "Fine.")
    assert conversation(restored) == conversation(agent)
    assert pairing_errors(conversation(restored)) == []
    restored("And now?")
    assert stored_ids(our_managers) == [0, 1, 2, 3, 4, 5]


def test_the_model_reads_what_is_wrong_and_nothing_of_the_value(our_managers: Subject) -> None:
    agent = open_agent(our_managers, tool_use("due"), "I do not know.", tools=[returning([dt.date(1999, 12, 31)])])
    agent("When?")

    (shown,) = results(agent.messages)
    assert "content[0].json.v[0] (datetime.date)" in shown["content"][0]["text"]
    assert "1999" not in str(shown)


@pytest.mark.parametrize(("value", "restored"), STORABLE.values(), ids=STORABLE.keys())
def test_a_result_that_can_be_stored_reaches_the_model_and_storage(
    our_managers: Subject, value: Any, restored: Any
) -> None:
    agent = open_agent(our_managers, tool_use("due"), "Then.", tools=[returning(value)])
    agent("When?")

    (shown,) = results(list(model_of(agent).requests[1].messages))
    assert shown["content"] == [{"json": {"v": value}}]
    (kept,) = results(conversation(open_agent(our_managers)))
    assert kept["content"] == [{"json": {"v": restored}}]


def test_of_several_results_only_the_one_that_cannot_be_stored_is_replaced(our_managers: Subject) -> None:
    @tool
    def fine() -> str:
        """Works."""
        return "fine"

    reply: list[Any] = [tool_use("due"), tool_use("fine")]
    agent = open_agent(our_managers, reply, "Done.", tools=[returning({1}), fine])
    agent("Both?")

    by_status = {result["status"] for result in results(agent.messages)}
    assert by_status == {"error", "success"}
    assert pairing_errors(conversation(open_agent(our_managers))) == []


def test_a_listener_hears_the_result_that_the_model_is_told(our_managers: Subject) -> None:
    agent = open_agent(our_managers, tool_use("due"), "I do not know.", tools=[returning({1})])

    async def heard() -> list[Any]:
        return [event["message"] async for event in agent.stream_async("When?") if "message" in event]

    (result,) = results(asyncio.run(heard()))
    assert result["status"] == "error"


def test_a_result_that_a_hook_makes_unstorable_is_replaced_too(our_managers: Subject) -> None:
    agent = open_agent(our_managers, tool_use("add", a=1, b=1), "I do not know.")

    def spoil(event: AfterToolCallEvent) -> None:
        event.result = {**event.result, "content": [{"json": {"when": dt.date(2026, 11, 28)}}]}

    agent.hooks.add_callback(AfterToolCallEvent, spoil)
    agent("1+1?")

    (result,) = results(conversation(open_agent(our_managers)))
    assert result["status"] == "error"


@pytest.mark.skipif(
    not has_module("strands.agent._concurrency"), reason="this version of Strands has no AfterToolsEvent"
)
def test_results_that_a_hook_changes_all_at_once_are_replaced_too(our_managers: Subject) -> None:
    from strands.hooks import events

    if not hasattr(events, "AfterToolsEvent"):
        pytest.skip("this version of Strands has no AfterToolsEvent")
    agent = open_agent(our_managers, tool_use("add", a=1, b=1), "I do not know.")

    def spoil(event: Any) -> None:
        event.message["content"][0]["toolResult"]["content"] = [{"json": {1, 2}}]

    agent.hooks.add_callback(events.AfterToolsEvent, spoil)
    agent("1+1?")

    (shown,) = results(list(model_of(agent).requests[1].messages))
    assert shown["status"] == "error"
    assert conversation(open_agent(our_managers)) == conversation(agent)


def test_a_direct_tool_call_with_such_a_result_is_part_of_the_conversation(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "Hi.", "Fine.", tools=[returning(dt.date(2026, 11, 28))])
    agent("Hello")
    agent.tool.due()

    restored = open_agent(our_managers, "Fine.")
    assert conversation(restored) == conversation(agent)
    assert results(conversation(restored))[0]["status"] == "error"
    restored("And?")


def test_a_caller_who_sends_such_a_result_is_told_instead(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "Hello.", "Fine.")
    agent("Hi")
    result: Any = {"toolUseId": "t", "status": "success", "content": [{"json": {"v": decimal.Decimal(1)}}]}

    prompt: Any = [{"role": "user", "content": [{"toolResult": result}]}]
    with pytest.raises(UnstorableValueError) as caught:
        agent(prompt)

    assert caught.value.type_name == "decimal.Decimal"
    assert result["status"] == "success"
    agent("And?")
    assert texts(conversation(open_agent(our_managers))) == ["Hi", "Hello.", "And?", "Fine."]
