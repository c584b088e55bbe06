"""``AGENTS``: a builder for each agent id, and what is said of anything else."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from local.__main__ import load_handler
from local.configuration import Configuration, ConfigurationError
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import Answer, Function, text_of

Scripted = Callable[..., tuple[Function, ScriptedModel]]


def builder(model: ScriptedModel, prompt: str, **options: Any) -> Callable[[Any, Any], Any]:
    """A builder in ``lambda_src/agent/__init__.py``."""

    def build(session_manager: Any, settings: Any) -> Any:
        from strands import Agent

        given = {"agent_id": settings.agent_id, "callback_handler": None} | options
        return Agent(model=model, system_prompt=prompt, session_manager=session_manager, **given)

    return build


def with_agents(function: Function, agents: Any) -> None:
    """A process whose agent folder has ``AGENTS``."""
    function.cold_start()
    function.part("agent").AGENTS = agents


def ask(function: Function, agent_id: str | None, **options: Any) -> Answer:
    body = {"prompt": "Hi"} | ({} if agent_id is None else {"agent_id": agent_id})
    return function.http("POST", "/sessions/chat/messages", body, **options)


@pytest.fixture
def two(scripted: Scripted) -> Function:
    function, _ = scripted()
    research = ScriptedModel(otherwise="I look things up.")
    default = ScriptedModel(otherwise="I talk.")
    function.models = {"research": research, "default": default}
    with_agents(
        function,
        {
            "default": builder(default, "Talk."),
            "research": builder(research, "Look things up."),
        },
    )
    return function


def test_each_agent_has_its_own_model_prompt_and_conversation(two: Function) -> None:
    research = ask(two, "research").json
    default = ask(two, None).json

    assert (research["agent_id"], text_of(research)) == ("research", "I look things up.")
    assert (default["agent_id"], text_of(default)) == ("default", "I talk.")
    assert default["restored_messages"] == 0
    assert [r.system_prompt for r in two.models["research"].requests] == ["Look things up."]
    described = two.http("GET", "/sessions/chat").json["agents"]
    assert sorted(agent["agent_id"] for agent in described) == ["default", "research"]


@pytest.mark.parametrize("headers", [{}, {"accept": "text/event-stream"}, {"prefer": "respond-async"}])
def test_another_agent_is_not_found_and_the_known_ones_are_listed(two: Function, headers: dict[str, str]) -> None:
    two.environment |= {"ASYNC_FUNCTION": "endpoint:live"}
    agents = two.part("agent").AGENTS
    with_agents(two, agents)

    answer = ask(two, "reserch", headers=headers)

    assert (answer.status, answer.problem) == (404, "not-found")
    assert answer.json["known_agents"] == ["default", "research"]
    assert "There is no agent 'reserch'; there is default, research." in answer.json["detail"]
    assert two.http("GET", "/sessions/chat").status == 404


def test_without_a_default_agent_a_request_has_to_name_one(scripted: Scripted) -> None:
    function, model = scripted(otherwise="Hello.")
    with_agents(function, {"research": builder(model, "Look things up.")})

    assert ask(function, None).json["known_agents"] == ["research"]
    assert ask(function, "research").status == 200


def test_without_agents_there_is_one_builder_for_every_id(scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")

    assert ask(function, "anybody").json["agent_id"] == "anybody"


@pytest.mark.parametrize(
    ("agents", "reason"),
    [
        (["research"], "AGENTS is a list; it has to be a mapping of agent ids and builders"),
        ("research", "AGENTS is a str"),
        ({}, "AGENTS is empty"),
        ({"research": "build_research"}, r"AGENTS\['research'\] is a str; it has to be a function that builds"),
        ({"a/b": print}, "AGENTS has a key that is no agent id"),
        ({7: print}, "AGENTS has a key that is no agent id"),
    ],
)
def test_what_is_no_mapping_of_builders_is_refused_at_the_start(
    agents: Any, reason: str, scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted(otherwise="Hello.")
    with_agents(function, agents)

    # What SnapStart runs before it takes a snapshot, and `make run` before it listens.
    with pytest.raises(TypeError, match=f"lambda_src/agent cannot be used: {reason}"):
        function.module.endpoint.prime()

    assert '"reason":"AGENTS' in capfd.readouterr().out
    assert ask(function, None).problem == "internal-error"


def test_a_folder_without_any_builder_is_refused_at_the_start(scripted: Scripted) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.cold_start()
    del function.part("agent").build_agent

    with pytest.raises(TypeError, match="it has neither a function build_agent nor AGENTS"):
        function.module.endpoint.prime()


def test_make_run_refuses_it_in_one_line(scripted: Scripted, file_store: dict[str, str]) -> None:
    function, _ = scripted(otherwise="Hello.")
    with_agents(function, ["research"])

    with pytest.raises(ConfigurationError, match="lambda_src/agent cannot be used: AGENTS is a list"):
        load_handler(Configuration(0, file_store["SESSION_STORE"], "offline:history"))


def start_locally(function: Function, agents: Any, file_store: dict[str, str]) -> None:
    with_agents(function, agents)
    load_handler(Configuration(0, file_store["SESSION_STORE"], "offline:history"))


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda *_: "an agent", r"AGENTS\['research'\] has returned a str"),
        (lambda session_manager: None, r"AGENTS\['research'\] has to take a session manager and the settings"),
    ],
)
def test_make_run_tries_each_builder_before_anybody_asks_it(
    build: Any, complaint: str, scripted: Scripted, file_store: dict[str, str]
) -> None:
    function, model = scripted(otherwise="Hello.")

    with pytest.raises(ConfigurationError, match=f"lambda_src/agent cannot be used: {complaint}"):
        start_locally(function, {"default": builder(model, "Talk."), "research": build}, file_store)

    assert not model.requests


def test_a_builder_that_needs_the_network_is_not_tried_and_that_is_said(
    scripted: Scripted, file_store: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted(otherwise="Hello.")

    def build(*_: Any) -> Any:
        return socket.create_connection(("192.0.2.1", 80))

    start_locally(function, {"research": build}, file_store)

    assert capfd.readouterr().err == (
        "AGENTS['research'] of lambda_src/agent was not tried: offline it raises ConnectionRefusedError\n"
    )


@pytest.mark.parametrize("built", [None, "an agent", object()])
def test_a_builder_that_returns_no_agent_is_named_in_the_log(
    built: Any, scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted(otherwise="Hello.")
    with_agents(function, {"research": lambda *_: built})

    answer = ask(function, "research")

    assert (answer.status, answer.problem) == (500, "internal-error")
    kind = type(built).__name__
    assert f"AGENTS['research'] has returned a {kind}; it has to return a strands.Agent" in capfd.readouterr().out


def test_an_agent_under_another_id_does_not_go_on_with_a_conversation_that_is_not_its_own(
    scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, model = scripted(otherwise="Hello.")
    with_agents(function, {"research": builder(model, "Look things up.", agent_id="default")})

    assert ask(function, "research").problem == "internal-error"
    assert "AGENTS['research'] has built the agent 'default'" in capfd.readouterr().out
    assert not model.requests
