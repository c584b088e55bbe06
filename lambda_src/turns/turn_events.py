"""What happens in a turn, as whoever watches it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lambda_src.content import shown
from lambda_src.turns.interrupts import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strands import Agent

    from lambda_src.turns.marks import LeftOut


@dataclass(frozen=True)
class Restored:
    """The agent remembers."""

    agent_id: str
    restored_messages: int


@dataclass(frozen=True)
class TextDelta:
    """A piece of the answer's text, as the model produces it."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool."""

    tool_use_id: str
    name: str


@dataclass(frozen=True)
class Completed:
    """The turn is over and stored."""

    message: dict[str, Any]
    stop_reason: str
    interrupts: list[dict[str, Any]]
    usage: dict[str, int]
    left_out: list[dict[str, Any]] = field(default_factory=list)


TurnEvent = Restored | TextDelta | ToolCall | Completed


def completed(agent: Agent, message: Any, stop_reason: str, interrupts: Sequence[Any], left_out: LeftOut) -> Completed:
    """The last event of a turn."""
    # The agent was made for this turn, so that what it has accumulated is what this turn used.
    usage = agent.event_loop_metrics.accumulated_usage
    return Completed(
        message=shown(message),
        stop_reason=stop_reason,
        interrupts=[described(interrupt) for interrupt in interrupts],
        usage={
            "input_tokens": usage.get("inputTokens", 0),
            "output_tokens": usage.get("outputTokens", 0),
            "total_tokens": usage.get("totalTokens", 0),
            "cache_read_input_tokens": usage.get("cacheReadInputTokens", 0),
            "cache_write_input_tokens": usage.get("cacheWriteInputTokens", 0),
        },
        left_out=left_out,
    )
