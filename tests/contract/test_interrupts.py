"""The contract for interrupts: asked in one process, answered in another."""

from typing import Any

import pytest
from strands import Agent
from strands.hooks import BeforeToolCallEvent, HookProvider, HookRegistry

from tests.contract.agents import add, conversation, model_of, open_agent, stored_ids
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import tool_use


class AskFirst(HookProvider):
    """Asks a person before each call of a tool."""

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        registry.add_callback(BeforeToolCallEvent, self.ask)

    def ask(self, event: BeforeToolCallEvent) -> None:
        answer = event.interrupt(f"approve-{event.tool_use['toolUseId']}", reason={"tool": event.tool_use["name"]})
        if answer != "yes":
            event.cancel_tool = f"not approved: {answer}"


def asking(subject: Subject, *script: Any) -> Agent:
    return open_agent(subject, *script, tools=[add], hooks=[AskFirst()])


def answers(result: Any, response: str) -> list[Any]:
    return [
        {"interruptResponse": {"interruptId": interrupt.id, "response": response}}
        for interrupt in result.interrupts or []
    ]


@pytest.mark.parametrize(("response", "shown"), [("yes", "3"), ("no", "not approved: no")])
def test_an_interrupt_is_answered_in_another_process(managers: Subject, response: str, shown: str) -> None:
    first = asking(managers, tool_use("add", a=1, b=2))
    asked = first("1+2?")
    assert asked.stop_reason == "interrupt"

    second = asking(managers, "Done.")
    result = second(answers(asked, response))

    assert result.stop_reason == "end_turn"
    tool_result = model_of(second).requests[0].messages[-1]["content"][0]["toolResult"]
    assert tool_result["content"][0]["text"] == shown
    assert stored_ids(managers) == [0, 1, 2, 3]
    assert conversation(asking(managers)) == conversation(second)


def test_the_pending_question_is_seen_by_every_process_until_it_is_answered(managers: Subject) -> None:
    asked = asking(managers, tool_use("add", a=1, b=2))("1+2?")

    for _ in range(2):
        waiting = asking(managers)
        assert waiting._interrupt_state.activated
        assert list(waiting._interrupt_state.interrupts) == [interrupt.id for interrupt in asked.interrupts or []]
        assert [interrupt.reason for interrupt in waiting._interrupt_state.interrupts.values()] == [{"tool": "add"}]

    asking(managers, "Done.")(answers(asked, "yes"))

    assert not asking(managers)._interrupt_state.activated


def test_a_plain_prompt_while_a_question_is_pending_is_refused_and_nothing_is_lost(managers: Subject) -> None:
    asked = asking(managers, tool_use("add", a=1, b=2))("1+2?")

    with pytest.raises(TypeError):
        asking(managers, "never")("Something else")

    result = asking(managers, "Done.")(answers(asked, "yes"))
    assert result.stop_reason == "end_turn"


def test_two_questions_of_one_turn_are_both_restored(managers: Subject) -> None:
    asked = asking(managers, [tool_use("add", a=1, b=2), tool_use("add", a=3, b=4)])("1+2, 3+4?")
    assert len(asked.interrupts or []) == 2

    second = asking(managers, "3 and 7.")
    second(answers(asked, "yes"))

    results = [block["toolResult"]["content"][0]["text"] for block in second.messages[2]["content"]]
    assert results == ["3", "7"]
    assert conversation(asking(managers)) == conversation(second)
