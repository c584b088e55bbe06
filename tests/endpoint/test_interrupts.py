"""An agent that asks: the question is in the reply, the answer comes in a later invocation of another process."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.doubles.bedrock_server import BedrockServer, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import ALICE, Answer, Function, http_event, text_of
from tests.endpoint.test_conversation import on_bedrock


def asking_agent(session_manager: Any, settings: Any) -> Any:
    """An edited ``build_agent``: files are deleted only when somebody approves."""
    from strands import Agent, ToolContext, tool

    from lambda_src.models.providers import build_model

    @tool(context=True)
    def delete_file(name: str, tool_context: ToolContext) -> str:
        """Delete a file."""
        approved = tool_context.interrupt(f"delete-{name}", reason={"file": name})
        return f"deleted {name}" if approved == "yes" else f"kept {name}"

    return Agent(
        agent_id=settings.agent_id,
        model=build_model(settings),
        tools=[delete_file],
        session_manager=session_manager,
        callback_handler=None,
        retry_strategy=None,
    )


def asking(bedrock: BedrockServer, store: dict[str, str]) -> Function:
    function = on_bedrock(bedrock, store)
    function.build_agent = asking_agent
    return function


def respond(function: Function, *answers: tuple[str, Any], session_id: str = "chat") -> Answer:
    responses = [{"interrupt_id": interrupt_id, "response": response} for interrupt_id, response in answers]
    return function.http("POST", f"/sessions/{session_id}/messages", {"interrupt_responses": responses})


def results_of(request: Any) -> list[str]:
    """What the tools answered in a request's last message."""
    return [block["toolResult"]["content"][0]["text"] for block in request.messages[-1]["content"]]


def test_an_interrupt_is_answered_in_another_invocation(store: dict[str, str]) -> None:
    with BedrockServer(tool_use("delete_file", name="a"), "It is gone.", strict_roles=True) as bedrock:
        function = asking(bedrock, store)

        asked = function.reply("Delete a.")
        function.cold_start()
        answered = respond(function, (asked["interrupts"][0]["interrupt_id"], "yes"))

        assert asked["stop_reason"] == "interrupt"
        assert [(one["name"], one["reason"]) for one in asked["interrupts"]] == [("delete-a", {"file": "a"})]
        assert answered.status == 200, answered.text
        assert text_of(answered.json) == "It is gone."
        assert answered.json["interrupts"] == []
        assert results_of(bedrock.requests[1]) == ["deleted a"]
        assert len(function.http("GET", "/sessions/chat/messages").json["messages"]) == 4


def test_a_prompt_while_an_interrupt_is_pending_is_refused_and_says_which(store: dict[str, str]) -> None:
    with BedrockServer(tool_use("delete_file", name="a"), "It stays.", strict_roles=True) as bedrock:
        function = asking(bedrock, store)
        asked = function.reply("Delete a.")
        function.cold_start()

        refused = function.say("Hello?")
        answered = respond(function, (asked["interrupts"][0]["interrupt_id"], "no"))

        assert (refused.status, refused.problem) == (409, "interrupt-pending")
        assert refused.json["interrupts"] == asked["interrupts"]
        assert "retry-after" not in refused.headers
        assert text_of(answered.json) == "It stays."
        assert results_of(bedrock.requests[1]) == ["kept a"]


def test_an_answer_to_an_unknown_interrupt_names_the_pending_ones(store: dict[str, str]) -> None:
    with BedrockServer(tool_use("delete_file", name="a"), "Done.") as bedrock:
        function = asking(bedrock, store)
        interrupt_id = function.reply("Delete a.")["interrupts"][0]["interrupt_id"]
        function.cold_start()

        refused = respond(function, (interrupt_id, "yes"), ("made-up", "yes"))

        assert (refused.status, refused.problem) == (422, "invalid-request")
        assert refused.json["errors"][0]["location"] == "body.interrupt_responses.1.interrupt_id"
        assert interrupt_id in refused.json["errors"][0]["detail"]
        assert respond(function, (interrupt_id, "yes")).status == 200


def test_two_questions_can_be_answered_one_after_the_other(store: dict[str, str]) -> None:
    both = [tool_use("delete_file", name="a"), tool_use("delete_file", name="b")]
    with BedrockServer(both, "Both done.", strict_roles=True) as bedrock:
        function = asking(bedrock, store)
        asked = {one["name"]: one["interrupt_id"] for one in function.reply("Delete both.")["interrupts"]}
        function.cold_start()

        half = respond(function, (asked["delete-b"], "yes"))
        function.cold_start()
        twice = respond(function, (asked["delete-b"], "no"))
        whole = respond(function, (asked["delete-a"], "no"))

        assert set(asked) == {"delete-a", "delete-b"}
        assert half.status == 200, half.text
        assert [one["interrupt_id"] for one in half.json["interrupts"]] == [asked["delete-a"]]
        assert twice.problem == "invalid-request"
        assert text_of(whole.json) == "Both done."
        assert sorted(results_of(bedrock.requests[1])) == ["deleted b", "kept a"]


def test_answers_that_nobody_asked_for_are_refused(store: dict[str, str]) -> None:
    with BedrockServer("Hello.", "Fine.") as bedrock:
        function = asking(bedrock, store)
        function.reply("Hi")

        refused = respond(function, ("made-up", "yes"))

        assert (refused.status, refused.problem) == (409, "no-interrupt-pending")
        assert function.reply("And?")["restored_messages"] == 2


def test_answers_to_a_session_that_does_not_exist_do_not_make_it(store: dict[str, str]) -> None:
    with BedrockServer() as bedrock:
        function = asking(bedrock, store)

        assert respond(function, ("made-up", "yes")).problem == "not-found"
        assert function.http("GET", "/sessions").json["session_ids"] == []


@pytest.mark.parametrize("answer", [False, 0, "", [], {}])
def test_an_answer_may_be_empty_but_not_null(answer: Any, file_store: dict[str, str]) -> None:
    with BedrockServer(tool_use("delete_file", name="a"), "It stays.") as bedrock:
        function = asking(bedrock, file_store)
        interrupt_id = function.reply("Delete a.")["interrupts"][0]["interrupt_id"]

        assert respond(function, (interrupt_id, None)).problem == "invalid-request"
        assert respond(function, (interrupt_id, answer)).json["stop_reason"] == "end_turn"
        assert results_of(bedrock.requests[1]) == ["kept a"]


def test_the_same_interrupt_cannot_be_answered_twice_at_once(file_store: dict[str, str]) -> None:
    with BedrockServer(tool_use("delete_file", name="a")) as bedrock:
        function = asking(bedrock, file_store)
        interrupt_id = function.reply("Delete a.")["interrupts"][0]["interrupt_id"]

        assert respond(function, (interrupt_id, "yes"), (interrupt_id, "no")).problem == "invalid-request"


def test_an_agent_that_fails_after_the_answer_does_not_ask_again(store: dict[str, str]) -> None:
    script: list[Any] = [tool_use("delete_file", name="a"), ConnectionError(), "Right, it is gone."]
    with BedrockServer(*script, strict_roles=True) as bedrock:
        function = asking(bedrock, store)
        interrupt_id = function.reply("Delete a.")["interrupts"][0]["interrupt_id"]
        function.cold_start()

        assert respond(function, (interrupt_id, "yes")).problem == "model-failed"
        function.cold_start()

        assert text_of(function.reply("Is it gone?")) == "Right, it is gone."
        assert "deleted a" in json.dumps(bedrock.requests[-1].messages)


def test_question_and_answer_in_two_processes(file_store: dict[str, str]) -> None:
    # given two processes of the operating system, with nothing in common but the folder
    with BedrockServer(tool_use("delete_file", name="a"), "It is gone.", strict_roles=True) as bedrock:
        environment = {**CREDENTIALS, **file_store, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url}
        path = "/sessions/chat/messages"

        asked = in_process(environment, http_event("POST", path, {"prompt": "Delete a."}, caller=ALICE))
        answer = {"interrupt_id": asked["interrupts"][0]["interrupt_id"], "response": "yes"}
        answered = in_process(environment, http_event("POST", path, {"interrupt_responses": [answer]}, caller=ALICE))

        assert text_of(answered) == "It is gone."
        assert answered["restored_messages"] == 2


def in_process(environment: dict[str, str], event: Any) -> Any:
    """Run the handler once in a process of its own."""
    script = (
        "import json, sys\n"
        "import lambda_src.agent, lambda_src.handler\n"
        "from tests.endpoint.function import Context\n"
        "from tests.endpoint.test_interrupts import asking_agent\n"
        "lambda_src.agent.build_agent = asking_agent\n"
        "answer = lambda_src.handler.lambda_handler(json.load(sys.stdin), Context())\n"
        "print(answer['body'], file=sys.stderr)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(event),
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return json.loads(finished.stderr.strip().splitlines()[-1])
