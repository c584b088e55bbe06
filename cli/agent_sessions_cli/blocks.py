"""A message's content blocks as lines that a person reads. A pure function of the message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from agent_sessions.types import encode_bytes_values

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_VALUE = 2_000
"""Characters of a tool's input, a tool's result or another value that are shown."""


class Line(NamedTuple):
    """A piece of a message. A text may have several lines of its own.

    Attributes:
        kind: What was said (``text``), what tools did (``tool``), or what stands beside it (``aside``).
        text: The words.
    """

    kind: Literal["text", "tool", "aside"]
    text: str


def lines_of(content: Any, *, longest: int | None = LONGEST_VALUE) -> Iterator[Line]:
    """The lines of a message's content, whatever is stored there.

    Args:
        content: The content.
        longest: How many characters of a value are shown; ``None`` for all.
    """
    for block in content if isinstance(content, list) else [content]:
        if not isinstance(block, dict):
            yield Line("aside", _short(block, longest))
            continue
        for name, value in block.items():
            yield from _lines_of_block(name, value, longest)


def _lines_of_block(name: str, value: Any, longest: int | None) -> Iterator[Line]:
    match name, value:
        case "text", str():
            yield Line("text", value)
        case "toolUse", {"name": tool, "input": given}:
            yield Line("tool", f"calls {tool} {_short(given, longest)}")
        case "toolResult", {"content": list() as results}:
            yield Line("tool", f"result, {value.get('status', 'success')}")
            for line in lines_of(results, longest=longest):
                yield Line("tool", f"  {_cut(line.text, longest)}")
        case "reasoningContent", {"reasoningText": {"text": str() as text}}:
            yield Line("aside", f"thinks: {text}")
        case (("image" | "document" | "video"), {"source": dict() as source}):
            yield Line("aside", f"[{' '.join(_medium(name, value, source))}]")
        case "cachePoint", _:
            return
        case _:
            yield Line("aside", f"{name} {_short(value, longest)}")


def _medium(kind: str, value: dict[str, Any], source: dict[str, Any]) -> Iterator[str]:
    yield kind
    yield from (str(value[key]) for key in ("name", "format") if key in value)
    found = source.get("bytes")
    yield f"{len(found):,} bytes" if isinstance(found, bytes) else _short(source, LONGEST_VALUE)


def _short(value: Any, longest: int | None) -> str:
    return _cut(json.dumps(encode_bytes_values(value), ensure_ascii=False), longest)


def _cut(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest:,} more characters; --raw shows them)"
