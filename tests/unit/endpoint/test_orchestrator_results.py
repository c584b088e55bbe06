"""What a run came to, as values: whose words are the answer, and in which order the nodes ended."""

from types import SimpleNamespace
from typing import Any

import pytest
from strands.multiagent.base import MultiAgentResult, NodeResult, Status

from lambda_src.turns.orchestrators.results import (
    NO_ANSWER,
    Run,
    answer_of,
    keep_with,
    kept_with,
    ran_out_of_time,
    run_of,
    stored_run,
)
from lambda_src.turns.turn_events import usage_of


def said(text: str, stop_reason: str = "end_turn", status: Status = Status.COMPLETED, *more: Any) -> NodeResult:
    message = {"role": "assistant", "content": [{"text": text}, *more]}
    result: Any = SimpleNamespace(message=message, stop_reason=stop_reason)
    return NodeResult(result=result, status=status)


def run(status: str = "completed", **results: NodeResult) -> Run:
    return Run(status, dict(results))


@pytest.mark.parametrize(
    ("found", "followed_by", "text", "stop_reason"),
    [
        (run(a=said("A"), b=said("B")), {"a": {"b"}}, "B", "end_turn"),
        (run(a=said("A"), b=said("B"), c=said("C")), {"a": {"b", "c"}}, "BC", "end_turn"),
        (run(a=said("A")), {"a": {"b"}}, "A", "end_turn"),  # what could follow did not run
        (run(a=said("A"), b=said("B")), {"a": {"b"}, "b": {"a"}}, "B", "end_turn"),  # a circle
        (run(a=said("A"), b=said("B")), {}, "B", "end_turn"),  # a swarm
        (run(a=said("A", "guardrail_intervened")), {}, "A", "guardrail_intervened"),
        (run(b=said("B", "max_tokens"), c=said("C")), {"a": {"b", "c"}}, "BC", "end_turn"),
        (run("failed", a=said("A"), b=said("B", status=Status.FAILED)), {"a": {"b"}}, "A", "failed"),
        (run("interrupted", a=said("A")), {"a": {"b"}}, "A", "interrupt"),
        (run("cancelled"), {}, NO_ANSWER, "cancelled"),
        (Run("completed", {}, said="  as it is "), {}, "as it is", "end_turn"),
        (Run("completed", {}, said=""), {}, NO_ANSWER, "end_turn"),
    ],
)
def test_the_answer_is_what_the_last_nodes_have_said(
    found: Run, followed_by: dict[str, set[str]], text: str, stop_reason: str
) -> None:
    answer, reason = answer_of(found, followed_by)

    assert "".join(block["text"] for block in answer["content"]) == text
    assert (answer["role"], reason) == ("assistant", stop_reason)


def test_calls_of_tools_are_no_part_of_the_answer() -> None:
    call = {"toolUse": {"toolUseId": "t", "name": "sign", "input": {}}}

    answer, _ = answer_of(run(a=said("Let me see.", "end_turn", Status.COMPLETED, call)), {})

    assert answer["content"] == [{"text": "Let me see."}]


def test_what_an_orchestrator_inside_of_a_node_came_to_is_what_its_last_node_has_said() -> None:
    inside = MultiAgentResult(status=Status.COMPLETED, results={"x": said("X"), "y": said("Y")})

    answer, _ = answer_of(run(team=NodeResult(result=inside, status=Status.COMPLETED)), {"team": set()})

    assert answer["content"] == [{"text": "Y"}]


def test_nodes_stand_in_the_order_in_which_they_ended_last() -> None:
    result = MultiAgentResult(status=Status.COMPLETED, results={"a": said("A"), "b": said("B"), "c": said("C")})
    order: Any = [SimpleNamespace(node_id=name) for name in ("a", "c", "b", "a")]
    result.execution_order = order  # type: ignore[attr-defined] # a graph's result has it

    assert list(run_of(result).results) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("kind", "status", "next_nodes", "expected"),
    [
        ("swarm", "executing", ["b"], "executing"),
        ("swarm", "executing", [], "completed"),  # the process died before that was noted
        ("graph", "executing", [], "executing"),  # only its edges can tell
        ("graph", "failed", [], "failed"),
        ("graph", "interrupted", ["b"], "interrupted"),
    ],
)
def test_a_stored_run_of_a_swarm_is_over_when_no_node_is_left(
    kind: str, status: str, next_nodes: list[str], expected: str
) -> None:
    message = {"role": "assistant", "content": [{"text": "A"}]}
    agent = {"type": "agent_result", "message": message, "stop_reason": "end_turn"}
    state = {
        "type": kind,
        "status": status,
        "node_results": {"a": {"result": agent, "status": "completed"}},
        "execution_order": ["a"],
        "next_nodes_to_execute": next_nodes,
    }

    found = stored_run(state)

    assert found is not None
    assert (found.status, list(found.results), list(found.next_nodes)) == (expected, ["a"], next_nodes)
    assert stored_run({"answers": []}) is None
    assert stored_run(None) is None


def test_what_is_kept_with_an_answer_is_found_and_nothing_else_is_taken_for_it() -> None:
    answer: Any = {"role": "assistant", "content": [{"text": "A"}]}
    keep_with(answer, [{"node_id": "a"}], [], usage_of({"totalTokens": 3}))

    assert kept_with(answer) == {
        "nodes": [{"node_id": "a"}],
        "interrupts": [],
        "usage": usage_of({"totalTokens": 3}),
    }
    assert kept_with({"role": "assistant", "content": []}) is None
    strange = {"metadata": {"custom": {"agent_session_kit": {"run": {"nodes": "a"}}}}}
    assert kept_with(strange) is None


@pytest.mark.parametrize(
    ("error", "took_ms", "node_timeout", "late"),
    [
        (Exception("Strands may say here what it likes"), 500, 0.5, True),
        (Exception("of a tool"), 12, 0.5, False),
        (ValueError("of a tool"), 500, 0.5, False),
        (Exception("no limit"), 500, None, False),
    ],
)
def test_a_node_whose_time_was_over_is_told_by_its_result_and_not_by_words(
    error: Exception, took_ms: int, node_timeout: float | None, late: bool
) -> None:
    result = NodeResult(result=error, status=Status.FAILED, execution_time=took_ms)

    assert ran_out_of_time(result, node_timeout) is late
