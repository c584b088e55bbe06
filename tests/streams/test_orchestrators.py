"""A graph's and a swarm's turn as a stream: nodes as they begin and end, and who says what."""

import threading
from typing import Any

import pytest

from tests.contract.strands_features import needs_swarm_checkpoints
from tests.doubles.scripted_model import Pause, tool_use
from tests.endpoint.orchestra import chain, fan, hand_over, models, sign, swarm
from tests.streams.conftest import Serve
from tests.streams.served import Event, Gate, names


def steps(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.data["node_id"], event.data["status"]) for event in events if event.name == "node"]


def test_nodes_are_told_as_they_begin_and_end_and_words_name_their_node(serve: Serve) -> None:
    nodes = models(search=[tool_use("calculator", expression="6*7"), "42."], write="It is 42.")
    from lambda_src.agent.tools import calculator

    served = serve(build_agent=chain(nodes, calculator))

    events = served.tell("6*7?")

    assert names(events) == [
        *("turn", "message"),
        *("node", "tool", "text", "node"),
        *("text", "node", "message", "reply"),
    ]
    assert steps(events) == [
        *(("search", "running"), ("search", "completed")),
        *(("write", "running"), ("write", "completed")),
    ]
    ended = [event.data for event in events if event.name == "node" and "usage" in event.data]
    assert [part["usage"]["total_tokens"] for part in ended] == [38, 19]
    assert all(part["duration_ms"] >= 0 for part in ended)
    tools = [event.data for event in events if event.name == "tool"]
    assert [(tool["node_id"], tool.get("status")) for tool in tools] == [("search", None), ("search", "success")]
    words: dict[str, str] = {}
    for event in events:
        if event.name == "text":
            words[event.data["node_id"]] = words.get(event.data["node_id"], "") + event.data["text"]
    assert words == {"search": "42.", "write": "It is 42."}
    assert events[-1].data["nodes"][0]["message"]["content"] == [{"text": "42."}]


def test_nodes_that_run_at_once_are_told_apart(serve: Serve) -> None:
    nodes = models(plan="Plan.", north=["Snow and " + "ice " * 40], south=["Sun and " + "sand " * 40])
    served = serve(build_agent=fan(nodes))

    events = served.tell("Weather?")

    for name in ("north", "south"):
        told = "".join(e.data["text"] for e in events if e.name == "text" and e.data["node_id"] == name)
        assert (
            told.strip()
            == next(p for p in events[-1].data["nodes"] if p["node_id"] == name)["message"]["content"][0][
                "text"
            ].strip()
        )


def test_an_orchestrator_inside_a_node_is_told_with_both_names(serve: Serve) -> None:
    inner = models(first=[hand_over("second"), "Over."], second="Done.")

    def build(session_manager: Any, settings: Any) -> Any:
        from strands.multiagent import GraphBuilder

        builder = GraphBuilder()
        builder.add_node(swarm(inner)(None, settings), "team")
        builder.set_graph_id(settings.agent_id)
        builder.set_max_node_executions(5)
        builder.set_session_manager(session_manager)
        return builder.build()

    events = serve(build_agent=build).tell("Go")

    assert [name for name, status in steps(events) if status == "running"] == ["team", "team/first", "team/second"]
    reply = events[-1].data
    assert [part["node_id"] for part in reply["nodes"]] == ["team"]
    assert reply["message"]["content"] == [{"text": "Done."}]
    assert reply["usage"]["total_tokens"] == 57


@pytest.mark.parametrize("kind", ["graph", pytest.param("swarm", marks=needs_swarm_checkpoints)])
def test_a_node_that_asks_is_told_and_the_answer_goes_on_with_it(serve: Serve, kind: str) -> None:
    draft = ["A draft."] if kind == "graph" else [hand_over("sign"), "A draft."]
    nodes = models(draft=draft, sign=[tool_use("sign", document="it"), "Signed."])
    served = serve(build_agent={"graph": chain, "swarm": swarm}[kind](nodes, sign))

    asked = served.tell("Sign it.")
    (interrupt,) = asked[-1].data["interrupts"]
    body = {"interrupt_responses": [{"interrupt_id": interrupt["interrupt_id"], "response": "yes"}]}
    with served.open("POST", "/sessions/chat/messages", body) as stream:
        answered = list(stream)

    assert steps(asked)[-1] == ("sign", "interrupted")
    assert steps(answered) == [("sign", "running"), ("sign", "completed")]
    assert answered[-1].data["message"]["content"] == [{"text": "Signed."}]
    assert asked[-1].data["usage"]["total_tokens"] == sum(len(model.requests) for model in nodes.values()) * 19 - 19
    assert answered[-1].data["usage"]["total_tokens"] == 19


@pytest.mark.parametrize("kind", ["graph", "swarm"])
def test_a_cancelled_turn_ends_the_node_that_runs_and_begins_no_other(serve: Serve, kind: str) -> None:
    slow = ["Once upon ", Pause(30), "a time."]
    nodes = models(tell=[slow, "Short."], praise="Lovely.")
    served = serve(build_agent={"graph": chain, "swarm": swarm}[kind](nodes))

    with served.telling("A story") as stream:
        begun = stream.until("text")
        turn_id = begun[0].data["turn_id"]
        assert served.request("DELETE", f"/sessions/chat/turns/{turn_id}").status_code == 202
        events = [*begun, *stream]

    reply = events[-1].data
    assert reply["stop_reason"] == "cancelled"
    assert reply["message"]["content"] == [{"text": "Once upon "}]
    assert [(part["node_id"], part["status"]) for part in reply["nodes"]] == [("tell", "failed")]
    assert steps(events) == [("tell", "running"), ("tell", "failed")]
    assert "praise" not in [name for name, _ in steps(events)]
    assert not nodes["praise"].requests
    assert served.request("GET", f"/sessions/chat/turns/{turn_id}").json()["status"] == "cancelled"
    again = served.say("Another").json()
    assert again["restored_messages"] == 2


def test_who_follows_sees_what_was_asked_and_the_answer_with_its_nodes(serve: Serve) -> None:
    gate = Gate()

    def wait(_request: Any) -> str:
        gate.pass_through()
        return "Done."

    served = serve(build_agent=chain(models(a="One.", b=[wait])))
    taking = threading.Thread(target=served.say, args=("Go",), kwargs={"idempotency_key": "one"})
    taking.start()
    assert gate.reached.wait(30)

    with served.open("POST", "/sessions/chat/messages", {"prompt": "Go"}, idempotency_key="one") as stream:
        begun = stream.until("message")
        gate.opened.set()
        events = [*begun, *stream]
    taking.join(30)

    assert names(events) == ["turn", "message", "reply"]
    assert [part["node_id"] for part in events[-1].data["nodes"]] == ["a", "b"]


def test_a_turn_without_its_caller_is_a_run_like_any_other(serve: Serve) -> None:
    served = serve(build_agent=chain(models(a="One.", b="Two.")))

    accepted = served.request("POST", "/sessions/chat/messages", {"prompt": "Go"}, prefer="respond-async")
    with served.open("GET", accepted.headers["location"]) as stream:
        events = list(stream)

    assert accepted.status_code == 202
    assert [part["node_id"] for part in events[-1].data["nodes"]] == ["a", "b"]


def test_a_node_whose_model_fails_ends_the_stream_with_the_problem(serve: Serve) -> None:
    served = serve(build_agent=chain(models(a="One.", b=[ConnectionError("no")])))

    events = served.tell("Go")

    assert steps(events)[-1] == ("b", "failed")
    assert events[-1].name == "problem"
