"""Tool results that cannot be stored: the model is told, as it is of a tool that raises, and the turn goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from agent_sessions.values import Unstorable, to_json

if TYPE_CHECKING:
    from strands.types.content import Message

logger = logging.getLogger(__name__)


def storable_result(result: Any, tool_use_id: Any) -> Any:
    """A tool's result, or in its place one that says why it cannot be used.

    Args:
        result: What the tool returned, as Strands passes it on.
        tool_use_id: The call that it answers.
    """
    _, problem = to_json(result, "result")
    return result if problem is None else _refused(tool_use_id, problem)


def replace_unstorable_results(message: Message) -> bool:
    """Put an error in the place of every tool result of a message that cannot be stored.

    Args:
        message: A message that nobody has seen yet but the agent. It is changed.

    Returns:
        Whether there was one.
    """
    found = False
    content = cast("list[Any]", message["content"])
    for index, block in enumerate(content):
        result = block.get("toolResult") if isinstance(block, dict) else None
        if not isinstance(result, dict):
            continue
        replaced = storable_result(result, result.get("toolUseId"))
        if replaced is not result:
            content[index] = {**block, "toolResult": replaced}
            found = True
    return found


def _refused(tool_use_id: Any, problem: Unstorable) -> dict[str, Any]:
    logger.warning("type=<%s> | a tool's result cannot be stored, the model is told so", problem.type_name)
    text = (
        f"Error: the tool's result cannot be used, for {problem.path} ({problem.type_name}) cannot be written as JSON: "
        f"{problem.reason}."
    )
    return {"toolUseId": tool_use_id, "status": "error", "content": [{"text": text}]}
