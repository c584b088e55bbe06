"""What a guardrail has taken back in a node, out of everything that is kept of the turn. Values, without any I/O.

A node's input is made of other texts: the prompt, what earlier nodes have said, what a swarm shares. Nobody says which
of them the guardrail meant. So each of them goes, wherever it stands.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What names things, in a state or a message, and is nobody's text. Without it a state could not be restored.
_NAMES = frozenset(
    {
        *("id", "name", "type", "role", "status", "stop_reason", "format", "toolUseId", "node_id", "interrupt_id"),
        *("completed_nodes", "failed_nodes", "interrupted_nodes", "next_nodes_to_execute", "execution_order"),
        *("node_history", "handoff_node", "interrupt_ids", "tracking_id"),
    }
)
_ASKED = "_internal_state"
_WHOLE_ONLY_BELOW = 8
"""Shorter texts are taken out only where they stand alone: a prompt `ok` is in many words."""


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
        given = [text.strip() for text in _texts_in(blocks)]
        self._replacement = replacement
        self._texts.update(text for text in given if text)
        self._blocks += [
            block for block in blocks if isinstance(block, dict) and not block.keys() & {"text", "toolResult"}
        ]
        for text in map(str.strip, _texts_in(list(sources))):
            if text and any(spelt in whole for spelt in _spellings(text) for whole in given):
                self._texts.add(text)

    def without(self, value: Any) -> Any:
        """A value of JSON without what was taken back."""
        if not self:
            return value
        if isinstance(value, str):
            return self._replacement if self._holds(value) else value
        if isinstance(value, list):
            return self._once([self.without(item) for item in value])
        if not isinstance(value, dict):
            return value
        if value in self._blocks:
            return {"text": self._replacement}
        return {name: item if name in _NAMES else self.without(item) for name, item in value.items()}

    def _holds(self, text: str) -> bool:
        if text.strip() in self._texts:
            return True
        return any(spelt in text for one in self._texts if len(one) >= _WHOLE_ONLY_BELOW for spelt in _spellings(one))

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


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _NAMES:
                yield from _texts_in(item)


def _spellings(text: str) -> set[str]:
    """A text as itself, and as it stands in a value that was printed."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
