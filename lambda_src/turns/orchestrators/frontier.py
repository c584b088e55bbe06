"""Where a stored run of a graph stands: read from the graph and from the order in which its nodes have ended.

What Strands stores as the nodes to run next leaves out every node that has ended once before, and so each way back in a
graph that goes in a circle. Older releases leave out a join behind a branch that was not taken, too. So the run is
followed again from its entry: a batch of nodes runs, and then the nodes that its edges lead to. The edges' conditions
are asked with the results that are stored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Frontier(NamedTuple):
    """Where a run stands.

    Attributes:
        ended: The nodes of the batch under way that have ended.
        left: Its other nodes: those to run next. None, when the run has come to its end.
    """

    ended: list[str]
    left: list[str]


def is_graph(orchestrator: Any) -> bool:
    """Whether an orchestrator is one of Strands' graphs."""
    return hasattr(orchestrator, "_find_newly_ready_nodes") and hasattr(orchestrator, "entry_points")


def restored_frontier(graph: Any, state: Mapping[str, Any]) -> Frontier | None:
    """Restore a graph's run, and say where it stands.

    Args:
        graph: The graph.
        state: Its stored state.

    Returns:
        Where it stands; ``None`` when that cannot be known: a node is not there any more, or the edges' conditions
        do not lead the way that the run went.
    """
    order: list[str] = list(state.get("execution_order") or ())
    next_nodes: list[str] = list(state.get("next_nodes_to_execute") or ())
    asking = _asking(state)
    named = {*order, *next_nodes, *asking}
    if state.get("status") == "pending" or not named <= graph.nodes.keys():
        return None
    # With nothing to run next, Strands would restore nothing at all.
    graph.deserialize_state({**state, "next_nodes_to_execute": [node.node_id for node in graph.entry_points]})
    whole = graph.state
    try:
        found = _follow(graph, _without_failed(order, whole.results))
    except Exception:  # noqa: BLE001 - a condition of somebody's own cannot be asked
        found = None
    finally:
        graph.state = whole
    if asking and state["status"] == "interrupted" and (found is None or not asking <= {*found.ended, *found.left}):
        return Frontier([], next_nodes) if asking <= set(next_nodes) else None
    return found


def go_on_from(graph: Any, frontier: Frontier) -> None:
    """Have a restored graph run what is left of its batch, and then what comes after all of the batch.

    A node that failed is tried again, so its failure is none of the run's any more.
    """
    from strands.multiagent.base import Status

    left = [graph.nodes[node_id] for node_id in frontier.left]
    graph.state.failed_nodes.clear()
    graph._resume_next_nodes = left  # noqa: SLF001 - Strands has no public name
    interrupts = graph._interrupt_state  # noqa: SLF001 - as above
    if frontier.ended and not interrupts.activated:
        interrupts.activate()  # only so does Strands go on in the middle of a batch
    if interrupts.activated:
        for node in left:
            node.execution_status = Status.INTERRUPTED
        graph.state.interrupted_nodes = set(left)
        interrupts.context["completed_nodes"] = frontier.ended


def _asking(state: Mapping[str, Any]) -> set[str]:
    """The nodes that have asked."""
    context = state.get("_internal_state", {}).get("interrupt_state", {}).get("context", {})
    return {name for name, asked in context.items() if isinstance(asked, dict) and "interrupt_ids" in asked}


def _without_failed(order: Sequence[str], results: Mapping[str, Any]) -> list[str]:
    """The order without the nodes that were cancelled: newer releases name them in it, too."""
    kept = list(order)
    for node_id, result in results.items():
        if node_id in kept and result.status.value == "failed" and not isinstance(result.result, Exception):
            del kept[len(kept) - 1 - kept[::-1].index(node_id)]
    return kept


def _follow(graph: Any, order: list[str]) -> Frontier | None:
    """Go through a run batch by batch, until its order is used up."""
    done: list[str] = []
    before: list[str] = []
    batch = [node.node_id for node in graph.entry_points]
    while True:
        rest = order[len(done) :]
        if len(rest) < len(batch) and set(rest) < set(batch):
            return Frontier(rest, [node_id for node_id in batch if node_id not in rest])
        if not batch and not rest:
            return Frontier([], [])
        if not batch or set(rest[: len(batch)]) != set(batch):
            # An edge's condition was asked while a node had another result: it has run again since.
            batch = _only_batch(graph, before, rest)
            if not batch:
                return None
        before = rest[: len(batch)]
        done += before
        batch = _after(graph, before, done)


def _after(graph: Any, batch: list[str], done: list[str]) -> list[str]:
    """The nodes that come after a batch, when these nodes have ended."""
    from strands.multiagent.base import Status

    whole, ended = graph.state, [graph.nodes[node_id] for node_id in done]
    for node in ended:
        node.execution_status = Status.COMPLETED
    results = {name: result for name, result in whole.results.items() if name in done}
    graph.state = replace(whole, completed_nodes=set(ended), execution_order=ended, results=results, failed_nodes=set())
    try:
        ready = graph._find_newly_ready_nodes([graph.nodes[node_id] for node_id in batch])  # noqa: SLF001 - no public name
    finally:
        graph.state = whole
    return [node.node_id for node in ready]


def _only_batch(graph: Any, before: list[str], rest: list[str]) -> list[str]:
    """The batch that came after another by the edges alone; none where that cannot be told, or it is the last."""
    leads_to: dict[str, set[str]] = {}
    for edge in graph.edges:
        leads_to.setdefault(edge.from_node.node_id, set()).add(edge.to_node.node_id)
    possible = {node_id for source in before for node_id in leads_to.get(source, ())}
    batch: list[str] = []
    for node_id in rest:
        if node_id not in possible or node_id in batch:
            break
        if any(node_id in leads_to.get(earlier, ()) for earlier in batch):
            return []  # it may have come after that one
        batch.append(node_id)
    return batch if len(batch) < len(rest) else []
