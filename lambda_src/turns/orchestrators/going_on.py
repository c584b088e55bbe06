"""Where a restored orchestrator goes on: with the run that it has stored, or with a new one.

Strands has no public names for this. What is not there, as with an orchestrator of one's own, is left alone.
"""

from __future__ import annotations

from typing import Any


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


def go_on(orchestrator: Any) -> None:
    """Have a graph run what is left of its stored run: all of that, and nothing again.

    A node that failed is tried again, so its failure is none of the run's any more. If a run was answered and then cut
    off, Strands would run the nodes that had asked, and forget those that come after them.
    """
    state: Any = getattr(orchestrator, "state", None)
    if isinstance(getattr(state, "failed_nodes", None), set):
        state.failed_nodes.clear()
    interrupts = getattr(orchestrator, "_interrupt_state", None)
    nodes = getattr(orchestrator, "_resume_next_nodes", None)
    if interrupts is None or not interrupts.activated or not nodes:
        return
    from strands.multiagent.base import Status

    for node in nodes:
        node.execution_status = Status.INTERRUPTED
    state.interrupted_nodes = set(nodes)
    interrupts.context["completed_nodes"] = []
