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


class NodeModel(StandIn):
    """A node's model: its answer ends early, as a whole message, when the turn is cancelled; redactions are heard.

    Args:
        original: The model.
        cut: Ends the stream of an answer early.
        redacted: Called with the content of the message that a guardrail takes back, and with what it puts there.
    """

    def __init__(
        self,
        original: Any,
        cut: Callable[[AsyncIterator[Any]], Any],
        redacted: Callable[[list[Any], str], object],
    ) -> None:
        super().__init__(original)
        object.__setattr__(self, "_cut", cut)
        object.__setattr__(self, "_redacted", redacted)

    async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Ask the model."""
        cut, redacted = object.__getattribute__(self, "_cut"), object.__getattribute__(self, "_redacted")
        answer = measured(contained(self._original.stream(messages, *args, **kwargs)))
        async with aclosing(cut(answer)) as events:
            async for event in events:
                replacement = (event.get("redactContent") or {}).get("redactUserContentMessage")
                if replacement:
                    redacted(messages[-1]["content"], str(replacement))  # before the agent forgets what it was
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
        redacted: Called when a guardrail takes back a node's input: see :class:`NodeModel`.
    """

    def __init__(self, orchestrator: Any, signal: StopSignal, redacted: Callable[[list[Any], str], object]) -> None:
        self._orchestrator = orchestrator
        self._known = _results_of(orchestrator)
        self._nodes = [
            _Node(node_id, agent, Cancellation(signal), ModelCalls()) for node_id, agent in agents_in(orchestrator)
        ]
        for node in self._nodes:
            contain(node.agent, node.cancellation)
            node.agent.hooks.add_callback(node.calls.event_type(), node.calls.observe)
            cut = partial(node.cancellation.cut, agent=node.agent)
            node.agent.model = NodeModel(node.agent.model, cut, redacted)  # type: ignore[assignment] # it stands for one

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
        """Tokens that this turn has used in this process, in whichever nodes: each agent was made for this turn.

        Of a node that is no agent of Strands', what its last result says, if it is not an earlier turn's.
        """
        agents = {node.node_id.partition("/")[0] for node in self._nodes}
        others = [
            result
            for node_id, result in _results_of(self._orchestrator).items()
            if node_id not in agents and result is not self._known.get(node_id)
        ]
        return added(
            *(usage_of(node.agent.event_loop_metrics.accumulated_usage) for node in self._nodes),
            *(usage_of(result.accumulated_usage) for result in others),
        )


def _results_of(orchestrator: Any) -> dict[str, Any]:
    """Strands' ``NodeResult`` of each node that a graph or a swarm knows a result of."""
    found = getattr(getattr(orchestrator, "state", None), "results", None)
    return dict(found) if isinstance(found, dict) else {}


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


def node_timeouts(orchestrator: Any, path: str = "") -> dict[str, float | None]:
    """The seconds that each node may take, by its id; inside of another node, by both ids."""
    nodes, seconds = getattr(orchestrator, "nodes", None), getattr(orchestrator, "node_timeout", None)
    found: dict[str, float | None] = {}
    for node_id, node in nodes.items() if isinstance(nodes, dict) else ():
        found[f"{path}{node_id}"] = seconds
        found |= node_timeouts(getattr(node, "executor", None), f"{path}{node_id}/")
    return found
