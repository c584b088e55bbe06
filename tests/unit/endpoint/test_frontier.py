"""Where a stored run of a graph stands, and that it goes on from there: with real graphs, node by node."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from strands import Agent
from strands.hooks import AfterNodeCallEvent
from strands.multiagent import GraphBuilder

from lambda_src.turns.orchestrators.frontier import Frontier, go_on_from, restored_frontier
from tests.doubles.scripted_model import ScriptedModel

Edges = Iterable[tuple[str, str] | tuple[str, str, Callable[[Any], bool]]]


def says(node: str, word: str) -> Callable[[Any], bool]:
    return lambda state: node in state.results and word in str(state.results[node].result)


def never(_state: Any) -> bool:
    return False


CIRCLE: Edges = [
    ("write", "review"),
    ("review", "write", says("review", "again")),
    ("review", "publish", says("review", "good")),
]
CIRCLE_AND_MORE: Edges = [*CIRCLE, ("review", "log")]
JOIN: Edges = [("route", "left"), ("route", "right", never), ("left", "join"), ("right", "join")]
FAN: Edges = [("plan", "north"), ("plan", "south"), ("north", "close_north"), ("south", "close_south")]

REVIEWS: dict[str, list[Any]] = {"review": ["again", "again", "good"]}


def graph_of(edges: Edges, scripts: dict[str, list[Any]], entry: str, done: int = 0) -> Any:
    builder = GraphBuilder()
    names = list(dict.fromkeys(name for edge in edges for name in edge[:2]))
    for name in names:
        model = ScriptedModel(*scripts[name][done:]) if name in scripts else ScriptedModel(otherwise=f"{name}!")
        builder.add_node(Agent(model=model, name=name, callback_handler=None), name)
    for edge in edges:
        builder.add_edge(*edge)
    builder.set_entry_point(entry)
    builder.set_max_node_executions(20)
    return builder.build()


def states_of(graph: Any) -> list[dict[str, Any]]:
    """What is stored after each node of a whole run."""
    stored: list[dict[str, Any]] = []

    def store(event: AfterNodeCallEvent) -> None:
        stored.append(json.loads(json.dumps(event.source.serialize_state())))

    graph.hooks.add_callback(AfterNodeCallEvent, store)
    graph("Go")
    return stored


def order_of(result: Any) -> list[str]:
    return [node.node_id for node in result.execution_order]


def go_on(graph: Any, frontier: Frontier) -> list[str]:
    go_on_from(graph, frontier)
    return order_of(asyncio.run(graph.invoke_async([])))


@pytest.mark.parametrize(
    ("edges", "scripts", "entry"),
    [(CIRCLE, REVIEWS, "write"), (CIRCLE_AND_MORE, REVIEWS, "write"), (JOIN, {}, "route"), (FAN, {}, "plan")],
    ids=["circle", "circle and more", "join", "fan"],
)
def test_a_run_that_is_cut_off_after_any_node_runs_the_nodes_that_a_whole_run_has(
    edges: Edges, scripts: dict[str, list[Any]], entry: str
) -> None:
    whole = graph_of(edges, scripts, entry)
    states = states_of(whole)
    expected = [node.node_id for node in whole.state.execution_order]

    assert len(states) >= 3
    for state in states[:-1]:
        reviewed = state["execution_order"].count("review")
        graph = graph_of(edges, scripts, entry, done=reviewed)
        frontier = restored_frontier(graph, state)
        assert frontier is not None, state["execution_order"]
        assert frontier.left, f"{state['execution_order']} is taken for a whole run"
        went = go_on(graph, frontier)
        assert went[: len(state["execution_order"])] == state["execution_order"]
        assert sorted(went) == sorted(expected), f"after {state['execution_order']}"

    end = restored_frontier(graph_of(edges, {}, entry), states[-1])
    assert end == Frontier([], [])


def test_where_a_node_has_another_name_now_nobody_knows_how_to_go_on() -> None:
    states = states_of(graph_of(CIRCLE, REVIEWS, "write"))
    renamed = [(*("check" if name == "review" else name for name in edge[:2]), *edge[2:]) for edge in CIRCLE]

    for state in states[:-1]:
        graph = graph_of(renamed, {}, "write")
        assert restored_frontier(graph, state) is None


def test_where_the_edges_do_not_lead_the_way_of_the_run_nobody_knows_how_to_go_on() -> None:
    (first, *_), *_ = [states_of(graph_of(CIRCLE, REVIEWS, "write"))]
    other = {**first, "execution_order": ["publish"], "completed_nodes": ["publish"]}

    assert restored_frontier(graph_of(CIRCLE, {}, "write"), other) is None


def test_a_condition_that_cannot_be_asked_is_no_reason_to_answer() -> None:
    def broken(_state: Any) -> bool:
        raise KeyError

    state = states_of(graph_of(list(itertools.pairwise("abc")), {}, "a"))[0]

    assert restored_frontier(graph_of([("a", "b", broken), ("b", "c")], {}, "a"), state) is None
