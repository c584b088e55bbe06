"""Reduces what an orchestrator's stream tells to a turn's events, and remembers what each node came to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lambda_src.turns.orchestrators.results import interrupted_node, ran_out_of_time, status_of
from lambda_src.turns.turn_events import (
    NodeEnded,
    NodeStarted,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolEnded,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_src.runtime.stoppable import StopSignal
    from lambda_src.turns.turn_events import TurnEvent

_OF_ORCHESTRATORS = "multiagent_"


class NodeEvents:
    """What happens in one run.

    Args:
        cancelled: Says that the turn is cancelled.
        timeouts: The seconds that each node may take: see :func:`node_timeouts`.

    Attributes:
        result: What the orchestrator returned.
        has_result: Whether it has returned.
        results: Strands' ``NodeResult`` of each node that has ended, in that order.
        is_stopped: Whether a hook of somebody's own has cancelled a node, which ends the run.
        too_late: The errors of nodes whose time was over, which end the run, too.
        asking: What the reply tells of each node that waits for an answer, by its id.
    """

    def __init__(self, cancelled: StopSignal, timeouts: Mapping[str, float | None]) -> None:
        self._cancelled = cancelled
        self._timeouts = timeouts
        self.result: Any = None
        self.has_result = False
        self.is_stopped = False
        self.too_late: list[BaseException] = []
        self.results: dict[str, Any] = {}
        self.asking: dict[str, dict[str, Any]] = {}
        self._agent_results: dict[str, Any] = {}
        self._started: dict[str, float] = {}
        self._called: dict[str, str] = {}

    def told_of(self, event: Mapping[str, Any]) -> Iterator[TurnEvent]:
        """What an event of the orchestrator's own stream tells."""
        kind = str(event.get("type", ""))
        if kind.startswith(_OF_ORCHESTRATORS) and "node_id" in event:
            yield from self._of_node(kind, event, "")
        elif "result" in event:
            self.result, self.has_result = event["result"], True

    def _of_node(self, kind: str, event: Mapping[str, Any], path: str) -> Iterator[TurnEvent]:
        node_id = f"{path}{event['node_id']}"
        match kind.removeprefix(_OF_ORCHESTRATORS):
            case "node_start":
                self._started[node_id] = time.monotonic()
                yield NodeStarted(node_id)
            case "node_stream":
                yield from self._inside(event["event"], node_id)
            case "node_stop":
                yield from self._stopped(node_id, event["node_result"], is_inside=bool(path))
            case "node_cancel" if not path:
                self.is_stopped = True
            case "node_interrupt":
                yield from self._asked(node_id, is_inside=bool(path))

    def _inside(self, event: Mapping[str, Any], node_id: str) -> Iterator[TurnEvent]:
        kind = str(event.get("type", ""))
        if kind.startswith(_OF_ORCHESTRATORS) and "node_id" in event:
            yield from self._of_node(kind, event, f"{node_id}/")
        elif "result" in event:
            self._agent_results[node_id] = event["result"]
        elif isinstance(event.get("data"), str):
            yield TextDelta(event["data"], node_id)
        elif isinstance(event.get("reasoningText"), str):
            yield ReasoningDelta(event["reasoningText"], node_id)
        elif (call := event.get("current_tool_use")) and call.get("toolUseId") not in self._called:
            self._called[call["toolUseId"]] = call.get("name", "")
            yield ToolCall(call["toolUseId"], call.get("name", ""), node_id)
        elif isinstance(event.get("message"), dict):
            # Nodes that run at once are told through a queue: a hook would be ahead of it.
            for block in event["message"]["content"]:
                if (result := block.get("toolResult")) and (name := self._called.get(result["toolUseId"])):
                    yield ToolEnded(result["toolUseId"], name, result["status"], node_id)

    def _stopped(self, node_id: str, result: Any, *, is_inside: bool) -> Iterator[TurnEvent]:
        if status_of(result) == "interrupted":
            return  # told when Strands says what it asks
        if not is_inside:
            self.results.pop(node_id, None)
            self.results[node_id] = result
        if ran_out_of_time(result, self._timeouts.get(node_id)):
            self.too_late.append(result.result)
        usage, status = usage_of(result.accumulated_usage), status_of(result, in_cancelled=self._cancelled.is_set)
        yield NodeEnded(node_id, status, usage, result.execution_time)

    def _asked(self, node_id: str, *, is_inside: bool) -> Iterator[TurnEvent]:
        took = round((time.monotonic() - self._started.get(node_id, time.monotonic())) * 1000)
        asking = interrupted_node(node_id, self._agent_results.get(node_id), took)
        if not is_inside:
            self.asking[node_id] = asking
        yield NodeEnded(node_id, "interrupted", asking["usage"], took)
