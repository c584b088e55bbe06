"""The texts in a value of JSON: which there are, where one of them stands, and the value without some of them.

Values, without any I/O. Whoever takes texts back, of one agent or of an orchestrator, finds them in the same spellings.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

NAMES: Final = frozenset({"id", "name", "type", "role", "status", "stop_reason", "format", "toolUseId", "interrupt_id"})
"""Members that name things, and hold nobody's text."""

WHOLE_ONLY_BELOW: Final = 8
"""Characters. Shorter texts are found only where they stand alone: `ok` is in many words."""


def texts_in(value: Any, names: frozenset[str] = NAMES) -> Iterator[str]:
    """The texts in a value, in order.

    Args:
        value: A value of JSON.
        names: Members that are passed over.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item, names)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in names:
                yield from texts_in(item, names)


def replaced(
    value: Any,
    instead_of: Callable[[Any], Any],
    names: frozenset[str] = NAMES,
    joined: Callable[[list[Any]], list[Any]] = list,
) -> Any:
    """A value in which others stand in the place of some of its texts and objects.

    Args:
        value: A value of JSON.
        instead_of: Given a text or an object, returns what shall stand in its place, or itself where nothing shall.
        names: Members whose values stay as they are.
        joined: Given a list of which everything has been replaced, returns the list that shall stand there.
    """
    if isinstance(value, str):
        return instead_of(value)
    if isinstance(value, list):
        return joined([replaced(item, instead_of, names, joined) for item in value])
    if not isinstance(value, dict):
        return value
    other = instead_of(value)
    if other is not value:
        return other
    return {name: item if name in names else replaced(item, instead_of, names, joined) for name, item in value.items()}


def holds(text: str, sought: Iterable[str]) -> bool:
    """Whether a text is one of others, or a longer one that one of them is a part of.

    Args:
        text: The text.
        sought: The others, without spaces around them.
    """
    alone = text.strip()
    return any(
        alone == one or (len(one) >= WHOLE_ONLY_BELOW and any(spelt in text for spelt in spellings(one)))
        for one in sought
    )


def spellings(text: str) -> set[str]:
    """A text as itself, and as it stands in a value that was printed or written as JSON."""
    return {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
