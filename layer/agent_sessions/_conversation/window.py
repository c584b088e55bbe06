"""Which of the stored messages an agent gets back, when its conversation manager has removed some.

A conversation manager counts what it removed: ``removed_message_count``. The count is of *unpinned* messages, for
pinned ones are never removed; and it stands for ids, not for positions: a message that is missing from storage still
counts, or every gap would hide a living message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from agent_sessions.tool_pairing import names_of_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strands.types.content import Message


def is_pinned(message: Message) -> bool:
    """Whether a message carries the pin that Strands' conversation managers respect."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict):
        return False
    custom = metadata.get("custom")
    return isinstance(custom, dict) and custom.get("pinned") is True


def with_pin(message: Message, pinned: bool) -> Message:
    """The message with or without its pin, the rest of its metadata untouched."""
    changed: dict[str, Any] = {key: value for key, value in message.items() if key != "metadata"}
    metadata: dict[str, Any] = dict(message.get("metadata") or {})
    custom = {key: value for key, value in (metadata.pop("custom", None) or {}).items() if key != "pinned"}
    if pinned:
        custom["pinned"] = True
    if custom:
        metadata["custom"] = custom
    if metadata:
        changed["metadata"] = metadata
    return cast("Message", changed)


def split_window(
    messages: Sequence[tuple[int, Message]], removed_message_count: int
) -> tuple[list[tuple[int, Message]], list[tuple[int, Message]]]:
    """Separate what survives from what a conversation manager removed.

    Args:
        messages: Stored messages with their ids, in the order of the ids, from the first that may matter.
        removed_message_count: How many unpinned messages the manager has removed from the start.

    Returns:
        The pinned messages below the window, and the window itself. What was removed is in neither.
    """
    pinned: list[tuple[int, Message]] = []
    removed = 0
    next_id = 0
    for position, (message_id, message) in enumerate(messages):
        removed += message_id - next_id  # ids without a message were removed, or lost: they count all the same
        next_id = message_id + 1
        if removed >= removed_message_count:
            return pinned, list(messages[position:])
        if _is_protected(messages, position):
            pinned.append((message_id, message))
        else:
            removed += 1
    return pinned, []


def _is_protected(messages: Sequence[tuple[int, Message]], position: int) -> bool:
    """Pinned itself, or the other half of a pinned tool call and its result: Strands keeps the two together."""
    message = messages[position][1]
    if is_pinned(message):
        return True
    calls = names_of_calls(message)
    if not calls:
        return False
    neighbours = [messages[other][1] for other in (position - 1, position + 1) if 0 <= other < len(messages)]
    return any(is_pinned(other) and calls & names_of_calls(other) for other in neighbours)
