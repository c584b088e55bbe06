"""What happens in a turn, in the form in which it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lambda_src.content import shown
from lambda_src.turns.interrupts import described

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from strands import Agent

    from lambda_src.models.marks import LeftOut


@dataclass(frozen=True)
class Restored:
    """The agent is restored. The event names the turn that now follows."""

    agent_id: str
    restored_messages: int
    turn_id: str


@dataclass(frozen=True)
class TextDelta:
    """A piece of the answer's text, as the model produces it; of an orchestrator, with the node that says it."""

    text: str
    node_id: str | None = None


@dataclass(frozen=True)
class ReasoningDelta:
    """A piece of what the model shows of its reasoning; likewise."""

    text: str
    node_id: str | None = None


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool."""

    tool_use_id: str
    name: str
    node_id: str | None = None


@dataclass(frozen=True)
class ToolEnded:
    """A tool has come to an end: ``status`` is ``success`` or ``error``."""

    tool_use_id: str
    name: str
    status: str
    node_id: str | None = None


@dataclass(frozen=True)
class NodeStarted:
    """A node of an orchestrator begins. A node inside another is named by both: ``outer/inner``."""

    node_id: str
    status: str = "running"


@dataclass(frozen=True)
class NodeEnded:
    """A node has come to an end: ``status`` is ``completed``, ``failed`` or ``interrupted``."""

    node_id: str
    status: str
    usage: dict[str, int]
    duration_ms: int


@dataclass(frozen=True)
class MessageStored:
    """A message of the turn is stored now. A follower also gets its content."""

    message_id: int
    role: str
    content: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Completed:
    """The turn is over and stored."""

    message: dict[str, Any]
    stop_reason: str
    interrupts: list[dict[str, Any]]
    usage: dict[str, int]
    left_out: list[dict[str, Any]] = field(default_factory=list)
    nodes: list[dict[str, Any]] | None = None


TurnEvent = (
    Restored | TextDelta | ReasoningDelta | ToolCall | ToolEnded | NodeStarted | NodeEnded | MessageStored | Completed
)


def reply_of(session_id: str, restored: Restored, completed: Completed) -> dict[str, Any]:
    """The reply of a turn, from the first and the last of its events."""
    return {
        "session_id": session_id,
        "agent_id": restored.agent_id,
        "turn_id": restored.turn_id,
        "restored_messages": restored.restored_messages,
        "message": completed.message,
        "stop_reason": completed.stop_reason,
        "interrupts": completed.interrupts,
        "usage": completed.usage,
        **({"left_out": completed.left_out} if completed.left_out else {}),
        **({} if completed.nodes is None else {"nodes": completed.nodes}),
    }


def completed(agent: Agent, message: Any, stop_reason: str, interrupts: Sequence[Any], left_out: LeftOut) -> Completed:
    """The last event of a turn."""
    # The agent was made for this turn, so what it has accumulated is what this turn used.
    usage = agent.event_loop_metrics.accumulated_usage
    return Completed(
        message=shown(message),
        stop_reason=stop_reason,
        interrupts=[described(interrupt) for interrupt in interrupts],
        usage=usage_of(usage),
        left_out=left_out,
    )


def usage_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """Tokens as replies tell them, from how Strands counts them."""
    return {
        "input_tokens": usage.get("inputTokens", 0),
        "output_tokens": usage.get("outputTokens", 0),
        "total_tokens": usage.get("totalTokens", 0),
        "cache_read_input_tokens": usage.get("cacheReadInputTokens", 0),
        "cache_write_input_tokens": usage.get("cacheWriteInputTokens", 0),
    }
