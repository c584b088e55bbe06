"""Where a restored orchestrator goes on: with the run that it has stored, or with a new one.

Strands has no public names for this. What is not there, as with an orchestrator of one's own, is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambda_src.turns.orchestrators.frontier import Frontier, go_on_from, is_graph, restored_frontier

if TYPE_CHECKING:
    from collections.abc import Mapping


def interrupts_of(orchestrator: Any) -> list[Any] | None:
    """What an orchestrator waits for, in the order in which it was asked; ``None`` when it does not say.

    What nobody can answer is left out.
    """
    state = getattr(orchestrator, "_interrupt_state", None)
    if state is None:
        return None
    if not state.activated or waits_inside_of_a_node(orchestrator):
        return []
    return [interrupt for interrupt in state.interrupts.values() if interrupt.response is None]


def waits_inside_of_a_node(orchestrator: Any) -> bool:
    """Whether a node that is an orchestrator itself has asked. Strands stores nothing of what is inside of a node."""
    from strands.multiagent.base import MultiAgentBase

    nodes = getattr(orchestrator, "nodes", None)
    asked = orchestrator._interrupt_state.context  # noqa: SLF001 - see above
    return isinstance(nodes, dict) and any(
        isinstance(nodes[node_id].executor, MultiAgentBase) and not asked[node_id].get("from_hook")
        for node_id in nodes.keys() & asked.keys()
    )


def has_run_to_finish(orchestrator: Any) -> bool:
    """Whether a graph or a swarm goes on with its stored run when it is invoked."""
    state = getattr(orchestrator, "_interrupt_state", None)
    return bool(getattr(orchestrator, "_resume_from_session", False)) or bool(state is not None and state.activated)


def begin_anew(orchestrator: Any) -> None:
    """Have a graph or a swarm begin at its entry, whatever run it has restored."""
    state = getattr(orchestrator, "_interrupt_state", None)
    if state is not None and state.activated:
        state.deactivate()
    if not getattr(orchestrator, "_resume_from_session", False):
        return
    orchestrator.deserialize_state({})
    shared = getattr(orchestrator, "shared_context", None)
    if shared is not None:
        shared.context = {}


def can_be_answered(orchestrator: Any, state: Mapping[str, Any] | None) -> bool:
    """Whether the stored run goes on when what it asks is answered."""
    return state is None or not is_graph(orchestrator) or restored_frontier(orchestrator, state) is not None


def frontier_of(orchestrator: Any, state: Mapping[str, Any] | None) -> Frontier | None:
    """Where the stored run of a graph stands; ``None`` for any other orchestrator, and where nobody can tell."""
    return restored_frontier(orchestrator, state) if state is not None and is_graph(orchestrator) else None


def is_in_a_batch(orchestrator: Any) -> bool:
    """Whether a graph goes on in the middle of nodes that run at once: then it takes answers, and no prompt."""
    state = getattr(orchestrator, "_interrupt_state", None)
    return is_graph(orchestrator) and state is not None and bool(state.activated)


def go_on(orchestrator: Any, state: Mapping[str, Any] | None) -> bool:
    """Have an orchestrator run what is left of its stored run: all of that, and nothing again.

    Args:
        orchestrator: The orchestrator, restored.
        state: What was stored of it.

    Returns:
        Whether it will; not, where nobody can tell what a graph has left to run.
    """
    if state is None or not is_graph(orchestrator):
        return True
    frontier = restored_frontier(orchestrator, state)
    if frontier is None or not frontier.left:
        return False
    go_on_from(orchestrator, frontier)
    return True
