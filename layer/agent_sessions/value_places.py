"""Where a part of a value stands, with and without what may be somebody's words.

A key of a dictionary may be a word of a conversation: in a tool's input, which a model has written, in a tool's
result, in a state that a tool keeps for a person. An error's message goes to logs and traces, so it has no such key.
"""

from __future__ import annotations

from typing import NamedTuple

NAMES_OF_RECORDS = frozenset(
    {
        # A message and its blocks, as Amazon Bedrock's Converse API and Strands name them.
        *("message", "role", "content", "metadata", "custom", "pinned", "tracking_id", "text", "json", "type"),
        *("toolUse", "toolResult", "toolUseId", "name", "input", "status", "reasoningContent", "reasoningText"),
        *("redactedContent", "signature", "citationsContent", "citations", "guardContent", "cachePoint", "image"),
        *("document", "video", "audio", "format", "source", "bytes"),
        # An agent's record, and what Strands keeps in it.
        *("state", "conversation_manager_state", "removed_message_count", "summary_message", "_internal_state"),
        *("model_state", "interrupt_state", "interrupts", "activated", "context", "reason", "response"),
        *("tool_use_message", "tool_results"),
    }
)
"""Keys that the records have whoever talks."""

HIDDEN = "[…]"
"""In the place of any other key."""


class Place(NamedTuple):
    """A place of a value in another. The path becomes text only when somebody has to read it.

    Attributes:
        above: The place of the value that holds it; ``None`` at the top.
        key: Its key there, its index, or what the value as a whole is called.
        depth: How many places are above it.
    """

    above: Place | None
    key: str | int
    depth: int

    def __str__(self) -> str:
        """The whole path, such as ``state.due[2]``."""
        return self._path(is_whole=True)

    def shown(self) -> str:
        """The path without a key that may be somebody's words, such as ``state[…][2]``."""
        return self._path(is_whole=False)

    def _path(self, *, is_whole: bool) -> str:
        parts: list[str] = []
        place = self
        while place.above is not None:
            parts.append(_part(place.key, is_whole=is_whole))
            place = place.above
        return "".join((str(place.key), *reversed(parts)))


def _part(key: str | int, *, is_whole: bool) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if not is_whole and key not in NAMES_OF_RECORDS:
        return HIDDEN
    return f".{key}" if key.isidentifier() else f"[{key!r}]"
