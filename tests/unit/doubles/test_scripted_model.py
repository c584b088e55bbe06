"""The scripted model, played to a real Strands agent."""

import asyncio
import copy
from typing import Any

import pytest
from pydantic import BaseModel
from strands import Agent, tool
from strands.types.exceptions import ContextWindowOverflowException, EventLoopException, ModelThrottledException

from tests.doubles.scripted_model import (
    HangUp,
    Pause,
    Redact,
    ScriptedModel,
    ScriptExhaustedError,
    Stop,
    overflow,
    reasoning,
    throttled,
    tool_use,
)


@tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def agent_with(model: ScriptedModel, **options: Any) -> Agent:
    return Agent(model=model, tools=[add], callback_handler=None, retry_strategy=None, **options)


def data_of(event: dict[str, Any]) -> list[str]:
    return [event["data"]] if "data" in event else []


def raised_by(agent: Agent, prompt: str = "Hi") -> BaseException:
    """Return what the model raised, without the wrapper that later model calls of a turn get."""
    with pytest.raises(Exception) as caught:
        agent(prompt)
    problem = caught.value
    return problem.original_exception if isinstance(problem, EventLoopException) else problem


def test_texts_are_played_in_order_and_requests_are_recorded_as_they_were() -> None:
    model = ScriptedModel("First.", "Second.")
    agent = agent_with(model, system_prompt="Be brief.")

    replies = [str(agent(prompt)).strip() for prompt in ("one", "two")]
    agent.messages[0]["content"][0]["text"] = "changed later"

    assert replies == ["First.", "Second."]
    assert model.requests[0].texts == ["one"]
    assert model.requests[1].texts == ["one", "First.", "two"]
    assert model.requests[0].system_prompt == "Be brief."
    assert [spec["name"] for spec in model.requests[0].tool_specs] == ["add"]
    assert model.unplayed == 0


def test_text_is_streamed_in_pieces() -> None:
    model = ScriptedModel("word by word")
    pieces: list[str] = []
    agent = Agent(
        model=model, callback_handler=lambda **event: pieces.append(event["data"]) if "data" in event else None
    )

    agent("Hi")

    assert pieces == ["word ", "by ", "word"]


def test_one_reply_may_call_several_tools_and_reason() -> None:
    model = ScriptedModel(
        [
            reasoning("Two sums.", signature="signed"),
            "Let me see.",
            tool_use("add", a=1, b=2),
            tool_use("add", a=3, b=4),
        ],
        "3 and 7.",
    )
    agent = agent_with(model)

    result = agent("1 + 2? 3 + 4?")

    assert result.stop_reason == "end_turn"
    first_reply = agent.messages[1]["content"]
    assert first_reply[0]["reasoningContent"]["reasoningText"] == {"text": "Two sums.", "signature": "signed"}
    assert [block["toolUse"]["input"] for block in first_reply[2:]] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    results = [block["toolResult"]["content"][0]["text"] for block in model.requests[1].messages[-1]["content"]]
    assert results == ["3", "7"]


@pytest.mark.parametrize(
    ("problem", "kind"),
    [(throttled(), ModelThrottledException), (overflow(), ContextWindowOverflowException), (KeyError("x"), KeyError)],
)
def test_an_exception_is_raised_instead_of_a_reply(problem: Exception, kind: type[Exception]) -> None:
    agent = Agent(
        model=ScriptedModel(copy.copy(problem)), callback_handler=None, retry_strategy=None, conversation_manager=None
    )

    assert isinstance(raised_by(agent), kind)


def test_an_exception_may_interrupt_a_reply() -> None:
    pieces: list[str] = []
    model = ScriptedModel(["Half an ans", ConnectionError("gone")], "Whole.")
    agent = Agent(
        model=model, callback_handler=lambda **event: pieces.append(event.get("data", "")), retry_strategy=None
    )

    problem = raised_by(agent)

    assert isinstance(problem, ConnectionError)
    assert "".join(pieces) == "Half an ans"
    assert str(agent("again")).strip() == "Whole."


def test_a_redaction_rewrites_what_the_user_said() -> None:
    model = ScriptedModel(["No.", Redact(user="[gone]", assistant="[blocked]"), Stop("guardrail_intervened")])
    agent = agent_with(model)

    result = agent("my secret")

    assert result.stop_reason == "guardrail_intervened"
    assert [message["content"] for message in agent.messages] == [[{"text": "[gone]"}], [{"text": "[blocked]"}]]


def test_hanging_up_ends_the_stream_without_stop_reason_or_usage() -> None:
    model = ScriptedModel(["Half an ans", HangUp(), "never said"])

    result = agent_with(model)("Hi")

    assert "never" not in str(result)
    assert result.metrics.accumulated_usage["totalTokens"] == 0


def test_usage_is_what_the_script_says() -> None:
    result = agent_with(ScriptedModel("Hello.", input_tokens=100, output_tokens=20))("Hi")

    assert result.metrics.accumulated_usage == {"inputTokens": 100, "outputTokens": 20, "totalTokens": 120}


def test_thinking_waits_on_the_given_clock() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    model = ScriptedModel(["One.", Pause(5), "Two."], think_seconds=60, sleep=sleep)
    agent_with(model)("Hi")

    assert waited == [60, 5]


def test_a_function_answers_from_the_request() -> None:
    model = ScriptedModel(otherwise=lambda request: f"You said {request.texts[-1]}.")
    agent = agent_with(model)

    assert [str(agent(word)).strip() for word in ("a", "b", "c")] == ["You said a.", "You said b.", "You said c."]


def test_one_call_too_many_fails_the_test() -> None:
    agent = agent_with(ScriptedModel("Only this."))
    agent("Hi")

    assert isinstance(raised_by(agent, "more"), ScriptExhaustedError)


def test_a_stateful_model_keeps_the_conversation_and_leaves_its_response_id() -> None:
    model = ScriptedModel("One.", "Two.", stateful=True)
    agent = Agent(model=model, callback_handler=None)

    agent("a")
    agent("b")

    assert agent.messages == []
    assert model.requests[1].texts == ["b"]
    assert model.requests[1].model_state == {"response_id": "resp_1"}


def test_structured_output_validates_the_scripted_reply() -> None:
    class Person(BaseModel):
        name: str

    async def ask(model: ScriptedModel) -> Any:
        prompt: Any = [{"role": "user", "content": [{"text": "Who?"}]}]
        return [event["output"] async for event in model.structured_output(Person, prompt)]

    assert asyncio.run(ask(ScriptedModel('{"name": "Ada"}'))) == [Person(name="Ada")]
    assert asyncio.run(ask(ScriptedModel(tool_use("Person", name="Ada")))) == [Person(name="Ada")]


def test_a_block_no_model_sends_is_refused() -> None:
    problem = raised_by(agent_with(ScriptedModel({"image": {}})))

    assert isinstance(problem, ValueError)
