"""The agents that are an orchestrator's nodes: contained, cancelled and counted as an agent of its own turn is."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from lambda_src.models.measured_calls import measured
from lambda_src.models.model_calls import ModelCalls
from lambda_src.runtime.escapes import contained
from lambda_src.runtime.stand_in import StandIn
from lambda_src.turns.cancelling import Cancellation
from lambda_src.turns.containment import contain
from lambda_src.turns.orchestrators.results import added
from lambda_src.turns.turn_events import usage_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from strands import Agent

    from lambda_src.runtime.stoppable import StopSignal


class CutModel(StandIn):
    """A model whose answer ends early, as a whole message, when the turn is cancelled."""

    def __init__(self, original: Any, cut: Callable[[AsyncIterator[Any]], Any]) -> None:
        super().__init__(original)
        object.__setattr__(self, "_cut", cut)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Ask the model."""
        cut = object.__getattribute__(self, "_cut")
        answer = measured(contained(self._original.stream(*args, **kwargs)))
        async with aclosing(cut(answer)) as events:
            async for event in events:
                yield event


class _Node(NamedTuple):
    node_id: str
    agent: Agent
    cancellation: Cancellation
    calls: ModelCalls


class NodeAgents:
    """The agents among an orchestrator's nodes, made for this turn.

    Args:
        orchestrator: A graph or a swarm. Of another orchestrator nobody knows which agents it has.
        signal: Says that the turn is cancelled.
    """

    def __init__(self, orchestrator: Any, signal: StopSignal) -> None:
        self._nodes = [
            _Node(node_id, agent, Cancellation(signal), ModelCalls()) for node_id, agent in agents_in(orchestrator)
        ]
        for node in self._nodes:
            contain(node.agent, node.cancellation)
            node.agent.hooks.add_callback(node.calls.event_type(), node.calls.observe)
            node.agent.model = CutModel(node.agent.model, partial(node.cancellation.cut, agent=node.agent))  # type: ignore[assignment] # it stands for one

    def cancel(self) -> None:
        """End what each of them is doing: now, unless tools are running."""
        for node in self._nodes:
            node.cancellation.request(node.agent)

    @property
    def was_cut(self) -> bool:
        """Whether the cancellation has cut anything short."""
        return any(node.cancellation.took_effect for node in self._nodes)

    @property
    def model_error(self) -> Exception | None:
        """What a model raised in its last call, if one did."""
        return next((node.calls.error for node in self._nodes if node.calls.error is not None), None)

    @property
    def usage(self) -> dict[str, int]:
        """Tokens they have used: each was made for this turn."""
        return added(*(usage_of(node.agent.event_loop_metrics.accumulated_usage) for node in self._nodes))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._nodes)


def agents_in(orchestrator: Any, path: str = "") -> Iterator[tuple[str, Agent]]:
    """The agents among an orchestrator's nodes, with their ids; inside of another node, with both ids."""
    from strands import Agent

    nodes = getattr(orchestrator, "nodes", None)
    for node_id, node in nodes.items() if isinstance(nodes, dict) else ():
        executor = getattr(node, "executor", None)
        if isinstance(executor, Agent):
            yield f"{path}{node_id}", executor
        elif executor is not None:
            yield from agents_in(executor, f"{path}{node_id}/")
