"""A run that was cut off, or that asks, goes on in another process: with the node that was next, and none again."""

from collections.abc import Callable
from typing import Any

import pytest
from strands.multiagent import GraphBuilder

from tests.contract.strands_features import needs_swarm_checkpoints
from tests.doubles.scripted_model import Pause, ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Answer, Context, Function, text_of
from tests.endpoint.orchestra import chain, fan, hand_over, models, node, sign, stamp, swarm
from tests.endpoint.test_orchestrators import asked, parts, said

KEYED: Any = {"headers": {"idempotency-key": "request-1"}}
BUILDERS = {"graph": chain, "swarm": swarm}
kinds = pytest.mark.parametrize("kind", ["graph", pytest.param("swarm", marks=needs_swarm_checkpoints)])


@pytest.fixture
def running(file_store: dict[str, str]) -> Callable[[Any], Function]:
    """A function on files whose builder makes an orchestrator."""
    return lambda build: Function({**CREDENTIALS, **file_store}, build_agent=build)


def respond(function: Function, interrupts: Any, response: Any = "yes", **options: Any) -> Answer:
    answers = [{"interrupt_id": one["interrupt_id"], "response": response} for one in interrupts]
    return function.http("POST", "/sessions/chat/messages", {"interrupt_responses": answers}, **options)


def scripts(kind: str, last: list[Any]) -> dict[str, ScriptedModel]:
    if kind == "graph":
        return models(first="First.", last=last)
    return models(first=[hand_over("last"), "First."], last=last)


# --- interrupts -----------------------------------------------------------------------------------------------


@kinds
def test_a_node_that_asks_is_answered_in_another_process_and_no_other_node_runs_again(running: Any, kind: str) -> None:
    nodes = scripts(kind, [tool_use("sign", document="it"), "Signed."])
    function = running(BUILDERS[kind](nodes, sign))

    question = function.reply("Sign it.", **KEYED)
    repeated = function.reply("Sign it.", **KEYED)
    function.cold_start()
    answer = respond(function, question["interrupts"])

    assert question["stop_reason"] == "interrupt"
    assert [(one["name"], one["reason"]) for one in question["interrupts"]] == [("sign", {"document": "it"})]
    assert ("last", "interrupted", None) in parts(question)
    assert repeated == question
    assert answer.status == 200, answer.text
    assert (text_of(answer.json), answer.json["interrupts"]) == ("Signed.", [])
    assert len(nodes["last"].requests) == 2
    assert said(function) == [
        *("user: Sign it.", "assistant: First." if kind == "graph" else said(function)[1]),
        *("user: sign: yes", "assistant: Signed."),
    ]


def test_a_prompt_while_a_node_waits_is_refused_and_says_what_it_asks(running: Any) -> None:
    function = running(chain(models(ask=[tool_use("sign", document="it"), "No."]), sign))
    question = function.reply("Sign it.")
    function.cold_start()

    refused = function.say("Hello?")

    assert (refused.status, refused.problem) == (409, "interrupt-pending")
    assert refused.json["interrupts"] == question["interrupts"]
    unknown = respond(function, [{"interrupt_id": "another"}])
    assert (unknown.status, unknown.problem) == (422, "invalid-request")
    assert text_of(respond(function, question["interrupts"], "no").json) == "No."
    assert respond(function, question["interrupts"]).problem == "no-interrupt-pending"


def test_two_nodes_that_ask_at_once_are_answered_together(running: Any) -> None:
    asks = [[tool_use("stamp", document=name), "Stamped."] for name in ("north", "south")]
    nodes = models(plan="Plan.", north=asks[0], south=asks[1])
    function = running(fan(nodes, stamp))

    question = function.reply("Sign both.")
    function.cold_start()
    answer = respond(function, question["interrupts"]).json

    assert len(question["interrupts"]) == 2
    assert {part["node_id"]: part["status"] for part in answer["nodes"]} == dict.fromkeys(nodes, "completed")
    assert asked(nodes) == {"plan": 1, "north": 2, "south": 2}


def test_an_answered_run_that_was_cut_off_goes_on_behind_the_node_that_had_asked(store: dict[str, str]) -> None:
    nodes = models(ask=[tool_use("sign", document="it"), "Signed."], send=[ConnectionError("no"), "Sent."])
    function = Function({**CREDENTIALS, **store}, build_agent=chain(nodes, sign))
    question = function.reply("Sign it.")

    failed = respond(function, question["interrupts"], **KEYED)
    function.cold_start()
    answer = respond(function, question["interrupts"], **KEYED)

    assert failed.problem == "model-failed"
    assert text_of(answer.json) == "Sent."
    assert asked(nodes) == {"ask": 2, "send": 2}
    assert respond(function, question["interrupts"], **KEYED).json == answer.json


@kinds
def test_the_tokens_of_an_answered_turn_are_those_of_its_own_nodes_in_every_process(running: Any, kind: str) -> None:
    to_ask, to_send = ([hand_over("ask")], [hand_over("send")]) if kind == "swarm" else ([], [])
    nodes = models(
        plan=[*to_ask, "Plan."],
        ask=[tool_use("sign", document="it"), *to_send, "Signed."],
        send=[["Se", Pause(30), "nt."], "Sent."],
    )
    function = running(BUILDERS[kind](nodes, sign))
    function.environment |= {"DEADLINE_MARGIN_SECONDS": "2"}
    question = function.reply("Sign it.")

    late = respond(function, question["interrupts"], context=Context(remaining_seconds=4), **KEYED)
    function.cold_start()
    answer = respond(function, question["interrupts"], **KEYED)

    assert (late.problem, text_of(answer.json)) == ("out-of-time", "Sent.")
    calls = 3 if kind == "swarm" else 2  # of `ask` and `send`; the one that was cut off has not said what it used
    assert answer.json["usage"]["total_tokens"] == calls * 19
    assert question["usage"]["total_tokens"] == (3 if kind == "swarm" else 2) * 19


def test_what_asks_inside_of_a_node_fails_its_turn_and_keeps_nobody_from_the_next_prompt(running: Any) -> None:
    nodes = models(inner=[tool_use("sign", document="it"), "Done."])

    def build(session_manager: Any, settings: Any) -> Any:
        graph = GraphBuilder()
        graph.add_node(swarm(nodes, sign)(None, settings), "team")
        graph.set_graph_id(settings.agent_id)
        graph.set_max_node_executions(5)
        graph.set_session_manager(session_manager)
        return graph.build()

    function = running(build)

    failed = function.say("Sign it.")
    function.cold_start()

    assert (failed.status, failed.problem) == (500, "internal-error")
    assert "Let a node of the outer orchestrator ask." in failed.json["detail"]
    assert text_of(function.reply("Then not.")) == "Done."


# --- out of time ----------------------------------------------------------------------------------------------


@kinds
def test_a_turn_that_runs_out_of_time_goes_on_with_the_node_that_was_stopped(running: Any, kind: str) -> None:
    nodes = scripts(kind, [["Half ", Pause(30), "an answer."], "Whole."])
    function = running(BUILDERS[kind](nodes))
    function.environment |= {"DEADLINE_MARGIN_SECONDS": "2"}

    late = function.say("Go", context=Context(remaining_seconds=4), **KEYED)
    function.cold_start()
    reply = function.reply("Go", **KEYED)

    assert (late.status, late.problem) == (504, "out-of-time")
    assert text_of(reply) == "Whole."
    assert parts(reply) == [("first", "completed", "First."), ("last", "completed", "Whole.")]
    assert len(nodes["first"].requests) == (1 if kind == "graph" else 2)
    assert said(function) == ["user: Go", "assistant: Whole."]
    total = sum(part["usage"]["total_tokens"] for part in reply["nodes"])
    assert reply["usage"]["total_tokens"] == total


def test_a_graph_that_goes_in_a_circle_is_not_answered_with_what_it_had_when_it_was_cut_off(running: Any) -> None:
    nodes = models(
        write=["A draft.", ["Bet", Pause(30), "ter."], "Better."], review=["Again.", "Good."], publish=["Published."]
    )

    def build(session_manager: Any, settings: Any) -> Any:
        graph = GraphBuilder()
        for name, model in nodes.items():
            graph.add_node(node(name, model), name)
        graph.add_edge("write", "review")
        graph.add_edge("review", "write", lambda state: "Again" in str(state.results.get("review")))
        graph.add_edge("review", "publish", lambda state: "Good" in str(state.results.get("review")))
        graph.set_entry_point("write")
        graph.set_graph_id(settings.agent_id)
        graph.set_max_node_executions(10)
        graph.set_session_manager(session_manager)
        return graph.build()

    function = running(build)
    function.environment |= {"DEADLINE_MARGIN_SECONDS": "2"}

    late = function.say("Go", context=Context(remaining_seconds=4), **KEYED)
    function.cold_start()
    reply = function.reply("Go", **KEYED)

    assert (late.status, late.problem) == (504, "out-of-time")
    assert (text_of(reply), reply["stop_reason"]) == ("Published.", "end_turn")
    assert asked(nodes) == {"write": 3, "review": 2, "publish": 1}
    assert parts(reply)[0] == ("write", "completed", "Better.")
    assert reply["usage"]["total_tokens"] == 5 * 19  # each visit of the turn but for the one that was cut off


def test_another_prompt_after_a_run_that_was_cut_off_begins_a_run_of_its_own(running: Any) -> None:
    nodes = models(first="First.", last=[ConnectionError("no"), "Whole."])
    function = running(chain(nodes))

    function.say("One")
    function.cold_start()
    reply = function.reply("Two")

    assert text_of(reply) == "Whole."
    assert nodes["first"].requests[-1].texts == ["Two"]
    assert "One" not in str(nodes["last"].requests[-1].texts)
    assert said(function)[0] == "user: One"
    assert said(function)[2:] == ["user: Two", "assistant: Whole."]


def test_without_a_caller_a_turn_of_a_graph_is_taken_as_any_other(running: Any) -> None:
    function = running(chain(models(a="One.", b="Two.")))
    event = {"owner": "nightly", "session_id": "chat", "prompt": "Go", "request_id": "r1"}

    reply = function.invoke(event)

    assert [part["node_id"] for part in reply["nodes"]] == ["a", "b"]
    assert function.invoke(event) == reply
