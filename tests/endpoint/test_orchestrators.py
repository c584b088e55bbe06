"""A builder that returns a graph or a swarm: a turn is one run, and the reply names each node's part."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from strands.hooks import BeforeNodeCallEvent

from tests.doubles.scripted_model import Pause, ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, text_of
from tests.endpoint.orchestra import chain, fan, hand_over, models, node, swarm

KEYED: Any = {"headers": {"idempotency-key": "request-1"}}


@pytest.fixture
def running(file_store: dict[str, str]) -> Callable[[Any], Function]:
    """A function on files whose builder makes an orchestrator."""
    return lambda build: Function({**CREDENTIALS, **file_store}, build_agent=build)


def asked(models: dict[str, ScriptedModel]) -> dict[str, int]:
    """How often each node's model was called."""
    return {name: len(model.requests) for name, model in models.items()}


def said(function: Function) -> list[str]:
    page = function.http("GET", "/sessions/chat/messages").json
    return [f"{item['message']['role']}: {text_of(item)}" for item in page["messages"]]


def parts(reply: Any) -> list[tuple[str, str, str | None]]:
    """Each node's id, status and last word."""
    return [(part["node_id"], part["status"], text_of(part) if part["message"] else None) for part in reply["nodes"]]


def test_a_turn_of_a_graph_is_one_run_and_the_reply_names_each_nodes_part(running: Any) -> None:
    function = running(chain(models(search="Three birds.", write="A text about birds.")))

    reply = function.reply("Birds?")

    assert text_of(reply) == "A text about birds."
    assert reply["stop_reason"] == "end_turn"
    assert parts(reply) == [("search", "completed", "Three birds."), ("write", "completed", "A text about birds.")]
    assert [part["usage"]["total_tokens"] for part in reply["nodes"]] == [19, 19]
    assert reply["usage"]["total_tokens"] == 38
    assert all(part["duration_ms"] >= 0 for part in reply["nodes"])


def test_a_turn_of_a_swarm_ends_with_the_agent_that_hands_over_to_nobody(running: Any) -> None:
    function = running(swarm(models(first=[hand_over("second"), "Over to you."], second="Done.")))

    reply = function.reply("Do it.")

    assert text_of(reply) == "Done."
    assert parts(reply) == [("first", "completed", "Over to you."), ("second", "completed", "Done.")]
    assert reply["usage"]["total_tokens"] == 57


def test_the_answer_of_a_graph_is_what_all_its_last_nodes_have_said(running: Any) -> None:
    function = running(fan(models(plan="A plan.", north="Snow.", south="Sun.")))

    reply = function.reply("Weather?")

    assert sorted(block["text"] for block in reply["message"]["content"]) == ["Snow.", "Sun."]


def test_the_conversation_is_what_was_asked_and_what_was_answered(running: Any) -> None:
    nodes = models(search="Three birds.", write=["One.", "Two."])
    function = running(chain(nodes))
    function.reply("Birds?")
    function.cold_start()

    second = function.reply("And fish?")

    assert said(function) == ["user: Birds?", "assistant: One.", "user: And fish?", "assistant: Two."]
    assert second["restored_messages"] == 2
    page = function.http("GET", "/sessions/chat/messages").json["messages"]
    assert page[3]["nodes"] == second["nodes"]
    assert "nodes" not in page[2]
    assert nodes["search"].requests[1].texts == ["And fish?"]  # a run begins anew


def test_of_a_long_conversation_a_window_is_restored_and_all_of_it_is_kept(running: Any) -> None:
    function = running(chain(models(a="Yes.")))
    function.cold_start()
    function.part("turns.orchestrators.conversing").WINDOW_MESSAGES = 4

    replies = [function.reply(f"{number}?") for number in range(5)]

    assert [reply["restored_messages"] for reply in replies] == [0, 2, 4, 4, 4]
    assert len(said(function)) == 10


def test_a_repeat_gets_the_stored_reply_and_no_node_runs(running: Any) -> None:
    nodes = models(search="Three birds.", write="A text.")
    function = running(chain(nodes))
    first = function.reply("Birds?", **KEYED)
    function.cold_start()

    assert function.reply("Birds?", **KEYED) == first
    assert asked(nodes) == {"search": 1, "write": 1}
    turn = function.http("GET", f"/sessions/chat/turns/{first['turn_id']}").json
    assert (turn["status"], turn["reply"]) == ("answered", first)


def test_an_orchestrator_of_ones_own_answers_with_what_it_returns(running: Any) -> None:
    from agent_sessions.multi_agent import MultiAgentBase

    class Echo(MultiAgentBase):
        def __init__(self, session_manager: Any, agent_id: str) -> None:
            from strands.hooks import HookRegistry, MultiAgentInitializedEvent

            self.id = agent_id
            hooks = HookRegistry()
            hooks.add_hook(session_manager)
            hooks.invoke_callbacks(MultiAgentInitializedEvent(self))

        async def invoke_async(self, task: Any, invocation_state: Any = None, **_: Any) -> Any:
            return f"{task[0]['text']} {len(invocation_state['turn_id'])}"

        def serialize_state(self) -> dict[str, Any]:
            return {}

        def deserialize_state(self, payload: dict[str, Any]) -> None:
            assert payload == {}

    function = running(lambda session_manager, settings: Echo(session_manager, settings.agent_id))

    reply = function.reply("Hello")

    assert text_of(reply) == "Hello 32"
    assert ("nodes" in reply, reply["usage"]["total_tokens"]) == (False, 0)
    assert text_of(function.reply("Again")) == "Again 32"


def test_what_an_orchestrator_of_ones_own_returns_has_ended_well_and_is_not_printed(
    running: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent_sessions.multi_agent import MultiAgentBase

    class Hidden(MultiAgentBase):
        def __init__(self, session_manager: Any, agent_id: str) -> None:
            from strands.hooks import HookRegistry, MultiAgentInitializedEvent

            self.id = agent_id
            hooks = HookRegistry()
            hooks.add_hook(session_manager)
            hooks.invoke_callbacks(MultiAgentInitializedEvent(self))

        async def invoke_async(self, task: Any, invocation_state: Any = None, **_: Any) -> Any:
            from strands import Agent
            from strands.multiagent.base import MultiAgentResult, NodeResult

            said = await Agent(model=ScriptedModel("Xyzzy, a secret.")).invoke_async(task)
            return MultiAgentResult(results={"only": NodeResult(result=said)})  # with Strands' default status

        def serialize_state(self) -> dict[str, Any]:
            return {}

        def deserialize_state(self, payload: dict[str, Any]) -> None:
            assert payload == {}

    function = running(lambda session_manager, settings: Hidden(session_manager, settings.agent_id))

    reply = function.reply("Hello")

    assert (text_of(reply), reply["stop_reason"]) == ("Xyzzy, a secret.", "end_turn")
    assert parts(reply) == [("only", "completed", "Xyzzy, a secret.")]
    assert said(function) == ["user: Hello", "assistant: Xyzzy, a secret."]
    assert "Xyzzy" not in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["node_timeout", "cancel_node"])
def test_a_run_that_meets_a_limit_of_its_own_is_a_reply_that_tells_how_far_it_came(running: Any, limit: str) -> None:
    nodes = models(first="First.", last=[["Half ", Pause(30), "an answer."]])

    def build(session_manager: Any, settings: Any) -> Any:
        graph = chain(nodes)(session_manager, settings)
        if limit == "node_timeout":
            graph.node_timeout = 0.5
        else:
            graph.hooks.add_callback(BeforeNodeCallEvent, forbid_last)
        return graph

    def forbid_last(event: BeforeNodeCallEvent) -> None:
        if event.node_id == "last":
            event.cancel_node = "not today"

    function = running(build)

    reply = function.reply("Go", **KEYED)

    assert (text_of(reply), reply["stop_reason"]) == ("First.", "failed")
    assert parts(reply) == [("first", "completed", "First."), ("last", "failed", None)]
    assert function.reply("Go", **KEYED) == reply


def test_the_graph_of_the_page_on_ones_own_agent_takes_turns(running: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "YOURS.md").read_text(encoding="utf-8")
    example = page.partition("## A graph or a swarm")[2].split("```")[1]
    function = running(None)
    function.environment["AGENT_MODEL"] = "scripted:both"
    function.models["both"] = ScriptedModel("Three birds.", "A text about birds.")
    function.cold_start()
    written: dict[str, Any] = {}
    exec(example, written)  # noqa: S102 - the page's own words
    function.part("agent").build_agent = written["build_agent"]

    reply = function.reply("Birds?")

    assert parts(reply) == [("search", "completed", "Three birds."), ("write", "completed", "A text about birds.")]


@pytest.mark.parametrize("build", [chain(models(a="A.")), swarm(models(a="A."))])
def test_a_builder_of_an_orchestrator_is_tried_before_anybody_calls_it(running: Any, build: Any) -> None:
    from local.agent_check import try_builders

    function = running(build)
    function.cold_start()

    assert try_builders([(None, build)], function.module.endpoint.settings) == []


# --- what cannot run --------------------------------------------------------------------------------------


def other_id(session_manager: Any, settings: Any) -> Any:
    return chain(models(a="A."))(session_manager, settings.model_copy(update={"agent_id": "another"}))


def without_session(session_manager: Any, settings: Any) -> Any:
    return swarm(models(a="A."))(None, settings)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (other_id, "build_agent has built the Graph 'another'; give it the id settings.agent_id"),
        (without_session, "build_agent has built a Swarm without the session manager; give it session_manager"),
        (
            lambda *_: "a graph",
            "build_agent has returned a str; it has to return a strands.Agent, or an orchestrator: a Graph, a Swarm or",
        ),
    ],
)
def test_what_cannot_take_a_turn_is_refused_with_what_is_allowed(
    running: Any, build: Any, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = running(build).say("Hi")

    assert (answer.status, answer.problem) == (500, "internal-error")
    assert reason in capfd.readouterr().out


@pytest.mark.parametrize("refused", [other_id, without_session])
def test_what_a_refused_orchestrator_has_opened_is_closed(running: Any, refused: Any) -> None:
    closed: list[str] = []

    def build(session_manager: Any, settings: Any) -> Any:
        orchestrator = refused(session_manager, settings)
        for node_id, part in orchestrator.nodes.items():
            part.executor.cleanup = partial(closed.append, node_id)
        return orchestrator

    assert running(build).say("Hi").status == 500
    assert closed == ["a"]


def test_what_closes_slowly_or_not_at_all_is_not_waited_for(running: Any, capfd: pytest.CaptureFixture[str]) -> None:
    opened = threading.Event()

    class Refused:
        """No agent, with a connection."""

        def cleanup(self) -> None:
            opened.wait(30)
            raise ConnectionError("away")

    function = running(lambda *_: Refused())
    function.cold_start()
    function.part("turns.closing").CLOSE_SECONDS = 0.01

    assert function.say("Hi").status == 500
    assert "an agent's tools take long to close" in capfd.readouterr().out
    opened.set()


def test_a_model_that_fails_in_a_node_has_its_answer_and_the_repeat_goes_on_with_that_node(running: Any) -> None:
    nodes = models(search="Three birds.", write=[ConnectionError("no"), "A text."])
    function = running(chain(nodes))

    failed = function.say("Birds?", **KEYED)
    function.cold_start()
    reply = function.reply("Birds?", **KEYED)

    assert (failed.status, failed.problem) == (502, "model-failed")
    assert text_of(reply) == "A text."
    assert parts(reply) == [("search", "completed", "Three birds."), ("write", "completed", "A text.")]
    assert asked(nodes) == {"search": 1, "write": 2}


def test_a_swarm_whose_agent_fails_has_the_same_answer(running: Any, capfd: pytest.CaptureFixture[str]) -> None:
    function = running(swarm(models(first=[ConnectionError("xyzzy"), "Well."])))

    assert function.say("Do it.", **KEYED).problem == "model-failed"
    assert text_of(function.reply("Do it.", **KEYED)) == "Well."
    logged = capfd.readouterr()
    assert "model-failed" in logged.out
    assert "xyzzy" not in logged.out + logged.err  # Strands logs what a node has raised


def test_a_run_that_meets_its_limits_is_told_as_far_as_it_came(running: Any) -> None:
    def build(session_manager: Any, settings: Any) -> Any:
        graph = chain(models(a="One.", b="Two."))(session_manager, settings)
        graph.max_node_executions = 1
        return graph

    reply = running(build).reply("Go")

    assert reply["stop_reason"] == "failed"
    assert parts(reply) == [("a", "completed", "One.")]


def test_tools_of_nodes_are_contained(running: Any) -> None:
    from strands import tool

    @tool
    def leave() -> str:
        """Leave."""
        raise SystemExit(3)

    nodes = models(a=[tool_use("leave"), "It did not work."])

    def build(session_manager: Any, settings: Any) -> Any:
        return swarm_of([node("a", nodes["a"], leave)], session_manager, settings)

    assert text_of(running(build).reply("Go")) == "It did not work."


def swarm_of(agents: Any, session_manager: Any, settings: Any) -> Any:
    from strands.multiagent import Swarm

    return Swarm(agents, id=settings.agent_id, session_manager=session_manager)
