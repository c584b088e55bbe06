"""Whether what was read has the shape that Strands' code takes for granted: a message, an agent's state.

What is not known here passes: later releases have other blocks and fields. What is known must be as Strands has it, or
a turn would end with a ``KeyError`` in the middle of Strands, and so would every turn after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from agent_sessions.values import is_mark

if TYPE_CHECKING:
    from collections.abc import Callable


def message_problem(found: Any) -> str | None:
    """Why something is no message; ``None`` when it is one."""
    if not _is_object(found):
        return "it is no object"
    if not isinstance(found.get("role"), str):
        return "it has no role"
    content = found.get("content")
    if not isinstance(content, list):
        return "it has no list of content"
    for index, block in enumerate(content):
        problem = _block_problem(block)
        if problem is not None:
            return f"content[{index}]{problem}"
    metadata = found.get("metadata", {})
    if not _is_object(metadata) or not all(_is_object(metadata.get(name, {})) for name in ("custom", "usage")):
        return "its metadata is no object"
    return None


def agent_problem(found: dict[str, Any]) -> str | None:
    """Why an object is no agent's record; ``None`` when it is one."""
    if not isinstance(found.get("agent_id"), str):
        return "it has no agent_id"
    for name in ("state", "conversation_manager_state"):
        if not _is_object(found.get(name)):
            return f"its {name} is no object"
    internal = found.get("_internal_state", {})
    if not _is_object(internal):
        return "its _internal_state is no object"
    if not _is_object(internal.get("model_state", {})):
        return "its model_state is no object"
    return _times_problem(found) or (
        _interrupts_problem(internal["interrupt_state"]) if "interrupt_state" in internal else None
    )


def session_problem(found: dict[str, Any]) -> str | None:
    """Why an object is no session's record; ``None`` when it is one."""
    for name in ("session_id", "session_type"):
        if not isinstance(found.get(name), str):
            return f"it has no {name}"
    return _times_problem(found)


def _times_problem(found: dict[str, Any]) -> str | None:
    wrong = [name for name in ("created_at", "updated_at") if not isinstance(found.get(name, ""), str)]
    return f"its {wrong[0]} is no text" if wrong else None


def _interrupts_problem(found: Any) -> str | None:
    """What is wrong with Strands' interrupt state, of any release."""
    if not _is_object(found) or not isinstance(found.get("activated"), bool):
        return "its interrupt_state does not say whether an interrupt is pending"
    context = found.get("context")
    interrupts = found.get("interrupts")
    if not _is_object(context) or not _is_object(interrupts):
        return "its interrupt_state has no context, or no interrupts"
    for interrupt in interrupts.values():
        if not _is_object(interrupt) or not all(isinstance(interrupt.get(name), str) for name in ("id", "name")):
            return "an interrupt of its interrupt_state has no id, or no name"
    return _interrupted_call_problem(found.get("pending_tool_execution"), context)


def _interrupted_call_problem(pending: Any, context: dict[str, Any]) -> str | None:
    """What is wrong with the tool call that was interrupted. Before 1.53 it stands in the context."""
    if pending is None:
        message, results = context.get("tool_use_message"), context.get("tool_results", [])
    elif _is_object(pending):
        message, results = pending.get("assistant_message", {}), pending.get("completed_tool_results")
    else:
        return "its pending_tool_execution is no object"
    if message is not None and message_problem(message) is not None:
        return "the interrupted tool call is no message"
    if not isinstance(results, list) or not all(_is_tool_result(result) for result in results):
        return "the results beside the interrupted tool call are none"
    calls = [block["toolUse"] for block in (message or {"content": []})["content"] if "toolUse" in block]
    # Strands looks a call's result up by its id.
    if any(isinstance(part["toolUseId"], (list, dict)) for part in [*calls, *results]):
        return "an interrupted tool call has no id"
    return None


def _block_problem(block: Any) -> str | None:
    if not _is_object(block):
        return " is no object"
    for kind, value in block.items():
        is_right = _BLOCKS.get(kind)
        if is_right is not None and not is_right(value):
            return f" is no {kind}"
    return None


def _is_text(found: Any) -> bool:
    return isinstance(found, str)


def _is_object(found: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is an object, and will be one for its reader: a mark becomes bytes or a float."""
    return isinstance(found, dict) and not is_mark(found)


def _is_tool_use(found: Any) -> bool:
    # The id may be anything: providers have made none up, and Strands has stored that.
    return _is_object(found) and isinstance(found.get("name"), str) and {"toolUseId", "input"} <= found.keys()


def _is_tool_result(found: Any) -> bool:
    return (
        _is_object(found)
        and "toolUseId" in found
        and isinstance(found.get("status", ""), str)
        and isinstance(found.get("content"), list)
        and all(_is_part_of_result(item) for item in found["content"])
    )


def _is_part_of_result(found: Any) -> bool:
    return _is_object(found) and all(_BLOCKS[kind](value) for kind, value in found.items() if kind in _PARTS_OF_RESULTS)


def _is_reasoning(found: Any) -> bool:
    if not _is_object(found):
        return False
    text = found.get("reasoningText", {})
    return _is_object(text) and isinstance(text.get("text", ""), str)


def _is_media(found: Any) -> bool:
    return _is_object(found) and _is_object(found.get("source", {}))


def _is_cited(found: Any) -> bool:
    return (
        _is_object(found)
        and isinstance(found.get("content", []), list)
        and all(_is_object(item) for item in found.get("content", []))
    )


_BLOCKS: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "toolUse": _is_tool_use,
    "toolResult": _is_tool_result,
    "reasoningContent": _is_reasoning,
    "image": _is_media,
    "document": _is_media,
    "video": _is_media,
    "audio": _is_media,
    "cachePoint": _is_object,
    "guardContent": _is_object,
    "citationsContent": _is_cited,
}

_PARTS_OF_RESULTS = frozenset({"text", "image", "document", "video", "audio"})
