"""What a guardrail has taken back in a node, out of everything that is kept of the turn. Values, without any I/O.

A node's input is made of other texts: the prompt, what earlier nodes have said, what a swarm shares. Nobody says which
of them the guardrail meant. So each of them goes, wherever it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions.texts import NAMES, holds, replaced, spellings, texts_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What names things in an orchestrator's state, too. Without it a state could not be restored.
_NAMES = NAMES | {
    *("node_id", "completed_nodes", "failed_nodes", "interrupted_nodes", "next_nodes_to_execute", "execution_order"),
    *("node_history", "handoff_node", "interrupt_ids", "tracking_id"),
}
_ASKED = "_internal_state"


class TakenBack:
    """The texts that were taken back, and what stands in their place."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._blocks: list[Any] = []
        self._replacement = ""

    def __bool__(self) -> bool:
        """Whether anything was taken back."""
        return bool(self._texts or self._blocks)

    def add(self, content: Iterable[Any], replacement: str, sources: Iterable[Any]) -> None:
        """Take back a node's input.

        Args:
            content: Its content blocks.
            replacement: What shall stand in its place.
            sources: Where the texts may come from that it was made of.
        """
        blocks = list(content)
        given = [text.strip() for text in texts_in(blocks, _NAMES)]
        self._replacement = replacement
        self._texts.update(text for text in given if text)
        self._blocks += [
            block for block in blocks if isinstance(block, dict) and not block.keys() & {"text", "toolResult"}
        ]
        for text in map(str.strip, texts_in(list(sources), _NAMES)):
            if text and any(spelt in whole for spelt in spellings(text) for whole in given):
                self._texts.add(text)

    def without(self, value: Any) -> Any:
        """A value of JSON without what was taken back."""
        return replaced(value, self._instead_of, _NAMES, self._once) if self else value

    def _instead_of(self, found: Any) -> Any:
        if isinstance(found, str):
            return self._replacement if holds(found, self._texts) else found
        return {"text": self._replacement} if found in self._blocks else found

    def _once(self, items: list[Any]) -> list[Any]:
        """A list in which the replacement's block stands once where it would stand several times in a row."""
        block = {"text": self._replacement}
        return [
            item for position, item in enumerate(items) if item != block or items[position - 1 : position] != [block]
        ]


def sources_in(state: Mapping[str, Any]) -> dict[str, Any]:
    """Where a node's input may come from, in a state: all of it but for questions and their answers."""
    return {name: value for name, value in state.items() if name != _ASKED}


def take_out_of(orchestrator: Any, taken: TakenBack) -> None:
    """Take it out of a graph or a swarm that runs, so that no later node is shown it.

    Of another orchestrator only its stored state is known.
    """
    state = getattr(orchestrator, "state", None)
    for name in ("task", "handoff_message"):
        if isinstance(getattr(state, name, None), str | list):
            setattr(state, name, taken.without(getattr(state, name)))
    results = getattr(state, "results", None)
    for result in results.values() if isinstance(results, dict) else ():
        for of_agent in result.get_agent_results():
            of_agent.message = taken.without(of_agent.message)
    shared = getattr(getattr(orchestrator, "shared_context", None), "context", None)
    if isinstance(shared, dict):
        orchestrator.shared_context.context = taken.without(shared)
    nodes = getattr(orchestrator, "nodes", None)
    for node in nodes.values() if isinstance(nodes, dict) else ():
        if hasattr(node.executor, "nodes"):
            take_out_of(node.executor, taken)
