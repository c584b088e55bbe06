"""The texts in a value of JSON: which there are, and the value without some of them. Values, without any I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = frozenset({"id", "name", "type", "role", "status", "stop_reason", "format", "toolUseId", "interrupt_id"})
"""What names things, and is nobody's text."""

WHOLE_ONLY_BELOW = 8
"""Shorter texts are found only where they stand alone: `ok` is in many words."""


def texts_in(value: Any) -> Iterator[str]:
    """The texts in a value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _NAMES:
                yield from texts_in(item)


def with_texts_replaced(value: Any, texts: set[str], instead: str) -> Any:
    """A value in which another text stands wherever one of these is, or is part of a longer one.

    Args:
        value: A value of JSON.
        texts: Without spaces around them.
        instead: What shall stand there.
    """
    if isinstance(value, str):
        return instead if _holds(value, texts) else value
    if isinstance(value, list):
        return [with_texts_replaced(item, texts, instead) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: item if name in _NAMES else with_texts_replaced(item, texts, instead) for name, item in value.items()}


def _holds(text: str, texts: set[str]) -> bool:
    if text.strip() in texts:
        return True
    long = (one for one in texts if len(one) >= WHOLE_ONLY_BELOW)
    return any(one in text or json.dumps(one)[1:-1] in text for one in long)
