"""Values as JSON carries them: what can be stored, how it is written down, and when two values are the same.

Everything of a session passes through here on its way to storage and back: messages, an agent's state, its pending
interrupts, the states of its model and of its conversation manager, orchestrators. So values are compared as they are
stored, and a value that is refused is refused before anything is written.

Nothing here recurses into nested values, so how deep a value may be does not depend on the caller's stack.
"""
# Over 300 lines: one walk over a value, with every form that JSON cannot carry.

from __future__ import annotations

import base64
import io
import json
import math
import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions.value_places import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_DEPTH = 300
"""Levels of lists and dictionaries in one value. Strands copies state and interrupts with two Python calls a level, and
Python allows a thousand calls in all: 300 levels leave 400 for the agent's callers."""

MAX_INTEGER_DIGITS = 4300
"""Digits of an integer: Python does not read longer ones from JSON, unless the process has allowed it."""

MAX_READ_DEPTH = 450
"""Levels of a value that is read. Strands' own managers write up to some 470; with more, Strands' turns fail."""

LONG_TEXT = 64 * 1024
"""Characters. A longer text is written in pieces of so many."""

_FIRST_UNREADABLE_INTEGER = 10**MAX_INTEGER_DIGITS

BYTES_MARK = "__bytes_encoded__"
"""Marks bytes, as Strands does: ``{"__bytes_encoded__": true, "data": base64}``."""

FLOAT_MARK = "__float_encoded__"
"""Marks floats that JSON lacks: ``{"__float_encoded__": true, "data": "NaN"}``."""

_AS_THEY_ARE = frozenset({str, bool, type(None)})

_NOT_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Unstorable(NamedTuple):
    """Why a value cannot be stored.

    Attributes:
        path: Where in the value, such as ``message.content[0].toolResult``.
        type_name: The type of what stands there, with its module unless that is ``builtins``.
        reason: What is wrong with it. It never quotes the value.
        shown_path: The path without keys that may be somebody's words, such as ``state[…]``.
    """

    path: str
    type_name: str
    reason: str
    shown_path: str

    @classmethod
    def at(cls, place: Place, type_name: str, reason: str) -> Unstorable:
        """What stands there cannot be stored."""
        return cls(str(place), type_name, reason, place.shown())


def to_json(value: Any, name: str) -> tuple[Any, Unstorable | None]:
    """A value for JSON: dictionaries with text for keys, lists, text, numbers, truth values and ``None``.

    Bytes and floats that are no numbers are marked, keys become the text that JSON gives them, tuples become lists,
    and instances of a subclass become plain values.

    Args:
        value: Any value.
        name: What to call it where a path begins.

    Returns:
        The value for ``json.dumps`` and ``None``, or ``None`` and the first part that cannot be stored.
    """
    found: list[Any] = [None]
    # Each entry: a value, where its result goes, and the place above it.
    waiting: list[tuple[Any, Any, Any, Place | None]] = [(value, found, 0, None)]
    while waiting:
        item, into, at, above = waiting.pop()
        if not isinstance(item, (dict, list, tuple)):
            into[at], reason = _leaf(item)
            if reason is not None:
                return None, Unstorable.at(_place(name, above, at), type_name(item), reason)
            continue
        place = _place(name, above, at)
        if place.depth >= MAX_DEPTH:
            return None, _too_deep(item, place)
        children: Iterable[tuple[Any, Any]]
        made: Any
        if isinstance(item, dict):
            names, problem = _names_in(item, place)
            if problem is not None:
                return None, problem
            made = dict.fromkeys(names)  # in the order of the dictionary, to be filled in any order
            children = zip(names, item.values(), strict=True)
        else:
            made, children = [None] * len(item), enumerate(item)
        into[at] = made
        for key, below in children:
            if type(below) in _AS_THEY_ARE:
                made[key] = below
            else:
                waiting.append((below, made, key, place))
    return found[0], None


def _place(name: str, above: Place | None, key: str | int) -> Place:
    return Place(None, name, 0) if above is None else Place(above, key, above.depth + 1)


def _leaf(item: Any) -> tuple[Any, str | None]:
    """The JSON form of a value that holds no others, or why it has none."""
    made: Any = None
    reason: str | None = None
    if item is None or isinstance(item, bool):
        made = item
    elif isinstance(item, str):
        made = str.__str__(item)
    elif isinstance(item, int):
        if -_FIRST_UNREADABLE_INTEGER < item < _FIRST_UNREADABLE_INTEGER:
            made = int.__int__(item)
        else:
            reason = f"an integer of more than {MAX_INTEGER_DIGITS} digits"
    elif isinstance(item, float):
        number = float.__float__(item)
        made = number if math.isfinite(number) else _mark(_name_of(number))
    elif isinstance(item, (bytes, bytearray)):
        made = {BYTES_MARK: True, "data": base64.b64encode(item).decode("ascii")}
    else:
        reason = "JSON has nothing for it"
    return made, reason


def _names_in(item: dict[Any, Any], place: Place) -> tuple[list[str], Unstorable | None]:
    """A dictionary's keys as JSON writes them."""
    names: list[str] = []
    for key in item:
        if type(key) is str:
            names.append(key)
        elif isinstance(key, str):
            names.append(str.__str__(key))
        elif isinstance(key, (bool, int, float)) or key is None:
            if isinstance(key, int) and not -_FIRST_UNREADABLE_INTEGER < key < _FIRST_UNREADABLE_INTEGER:
                return [], Unstorable.at(
                    place, type_name(key), f"a key that is an integer of more than {MAX_INTEGER_DIGITS} digits"
                )
            names.append(_key_name(key))
        else:
            return [], Unstorable.at(place, type_name(key), "JSON has nothing for such a key")
    if len(set(names)) < len(names):
        return [], Unstorable.at(place, type_name(item), "two of its keys, such as 1 and '1', are one in JSON")
    return names, None


def _key_name(key: bool | float | None) -> str:
    """The text that ``json.dumps`` makes of a key that is not text."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return int.__repr__(key) if isinstance(key, int) else _name_of(float.__float__(key))


def _name_of(number: float) -> str:
    if math.isnan(number):
        return "NaN"
    return float.__repr__(number) if math.isfinite(number) else "Infinity" if number > 0 else "-Infinity"


def _too_deep(item: Any, place: Place) -> Unstorable:
    above = place
    while above.above is not None and above.above.depth > 2:  # noqa: PLR2004 - enough to recognise the value by
        above = above.above
    reason = f"nested more than {MAX_DEPTH} levels deep"
    return Unstorable(f"{above}…", type_name(item), reason, f"{above.shown()}…")


def type_name(value: Any) -> str:
    """A type's name with its module, as an error message shows it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def from_json(value: Any) -> Any:
    """Undo :func:`to_json`: put bytes and floats in the place of their marks. The value is not changed."""
    found: list[Any] = [None]
    waiting: list[tuple[Any, Any, Any]] = [(value, found, 0)]
    while waiting:
        item, into, at = waiting.pop()
        children: Iterable[tuple[Any, Any]]
        made: Any
        if isinstance(item, dict):
            marked = _marked(item) if len(item) == 2 else None  # noqa: PLR2004 - a mark and its data
            if marked is not None:
                into[at] = marked
                continue
            made, children = dict.fromkeys(item), item.items()
        elif isinstance(item, list):
            made, children = [None] * len(item), enumerate(item)
        else:
            into[at] = item
            continue
        into[at] = made
        for key, below in children:
            if type(below) in _AS_THEY_ARE:
                made[key] = below
            else:
                waiting.append((below, made, key))
    return found[0]


def is_mark(item: dict[Any, Any]) -> bool:
    """Whether :func:`from_json` puts bytes or a float in the place of this dictionary."""
    return len(item) == 2 and _marked(item) is not None  # noqa: PLR2004 - a mark and its data


def _marked(item: dict[Any, Any]) -> bytes | float | None:
    """The value that a marked dictionary stands for; ``None`` when it is an ordinary dictionary."""
    data = item.get("data")
    if not isinstance(data, str):
        return None
    if item.get(BYTES_MARK) is True:
        try:
            return base64.b64decode(data, validate=True)
        except ValueError:  # it only looks like a mark
            return None
    return _NOT_NUMBERS.get(data) if item.get(FLOAT_MARK) is True else None


def as_bytes(value: Any, name: str) -> tuple[bytes, Unstorable | None]:
    """The value as JSON text in UTF-8 that every JSON reader takes.

    Args:
        value: A value of :func:`to_json`, or one that was read from storage.
        name: What to call it where a path begins.

    Returns:
        The bytes and ``None``, or no bytes and the reason.
    """
    written = io.BytesIO()
    try:
        written.writelines(json_pieces(value))
    except RecursionError:
        return b"", Unstorable(name, type_name(value), "nested too deeply for where it is stored from", name)
    except (TypeError, ValueError):
        made, problem = to_json(value, name)
        return (b"", problem) if problem is not None else as_bytes(made, name)
    return written.getvalue(), None


def json_pieces(value: Any, **options: Any) -> Iterator[bytes]:
    """The value as JSON text in UTF-8, in pieces: ``json.dumps`` holds a long text of the value twice meanwhile.

    Args:
        value: What ``json.dumps`` takes.
        **options: Options of ``json.dumps``. Unless they say otherwise, letters are not escaped and numbers that JSON
            does not have are refused.

    Raises:
        RecursionError: It is nested too deeply for where this is called from.
        TypeError: JSON has nothing for a part of it.
        ValueError: A number in it is none, or it holds itself.
    """
    if not holds_text_over(LONG_TEXT, value):
        yield _json_bytes(value, options)
        return
    # Random, so that nothing in the value can be taken for it.
    mark = uuid.uuid4().hex
    value, long_texts = _take_out_long_texts(value, mark)
    for part in re.split(rf"({mark}[0-9]+)".encode(), _json_bytes(value, options)):
        text = long_texts.get(part.decode())
        if text is None:
            yield part
            continue
        for start in range(0, len(text), LONG_TEXT):
            yield _json_bytes(text[start : start + LONG_TEXT], options)[1:-1]  # without its quotes


def _json_bytes(value: Any, options: dict[str, Any]) -> bytes:
    try:
        return json.dumps(value, **{"ensure_ascii": False, "allow_nan": False, **options}).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, as some models emit it
        return json.dumps(value, **{"allow_nan": False, **options}).encode()


def holds_text_over(characters: int, value: Any) -> bool:
    """Whether a value has a text of more than so many characters in it, keys aside."""
    waiting, seen = [value], {id(value)}
    while waiting:
        item = waiting.pop()
        for below in item.values() if isinstance(item, dict) else item if isinstance(item, (list, tuple)) else [item]:
            if isinstance(below, str):
                if len(below) > characters:
                    return True
            elif isinstance(below, (dict, list, tuple)) and id(below) not in seen:
                seen.add(id(below))
                waiting.append(below)
    return False


def _take_out_long_texts(value: Any, mark: str) -> tuple[Any, dict[str, str]]:
    """The value with a name in the place of each long text, and the long texts by these names."""
    long_texts: dict[str, str] = {}
    copies: dict[int, Any] = {}
    found: list[Any] = [None]
    waiting: list[tuple[Any, Any, Any]] = [(value, found, 0)]
    while waiting:
        item, into, at = waiting.pop()
        into[at] = item
        if isinstance(item, str) and len(item) > LONG_TEXT:
            into[at] = f"{mark}{len(long_texts)}"
            long_texts[into[at]] = item
        elif isinstance(item, (dict, list, tuple)):
            into[at] = copies.get(id(item))
            if into[at] is None:
                into[at] = copies[id(item)] = made = dict(item) if isinstance(item, dict) else list(item)
                places = made.items() if isinstance(made, dict) else enumerate(made)
                waiting.extend((below, made, key) for key, below in places)
    return found[0], long_texts


def read_text(body: bytes) -> tuple[Any, str | None]:
    """The value of JSON text, or the reason why it has none.

    Python writes and reads ``NaN`` and ``Infinity``, which are not JSON. If Strands has stored one, it is read, and
    marked as :func:`to_json` marks it.
    """
    try:
        found = json.loads(body, parse_constant=_mark)
    except ValueError as error:
        return None, str(error)
    except RecursionError:
        return None, _TOO_DEEP_TO_READ
    if body.count(b"[") + body.count(b"{") > MAX_READ_DEPTH and depth(found) > MAX_READ_DEPTH:
        return None, _TOO_DEEP_TO_READ
    return found, None


_TOO_DEEP_TO_READ = f"nested more than {MAX_READ_DEPTH} levels deep"


def depth(value: Any) -> int:
    """How many levels of lists and dictionaries a value that was read from JSON has."""
    deepest = 0
    level = [value]
    while level := [item for item in level if isinstance(item, (dict, list))]:
        deepest += 1
        level = [below for item in level for below in (item.values() if isinstance(item, dict) else item)]
    return deepest


def _mark(name: str) -> dict[str, Any]:
    return {FLOAT_MARK: True, "data": name}


def canonical(value: Any) -> str:
    """A value of :func:`to_json` as JSON text with sorted keys: equal texts are equal values."""
    return json.dumps(value, sort_keys=True)


def may_hold_marks(body: bytes) -> bool:
    """Whether JSON text can hold a mark for :func:`from_json`. Looking is cheaper than a needless pass."""
    return BYTES_MARK.encode() in body or FLOAT_MARK.encode() in body
