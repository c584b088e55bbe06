"""Which JSON values are let in: those that the store, the model and clients can store, compare and send on.

RFC 8259 leaves the range of numbers, the depth and unpaired surrogates to each reader. Python's parser takes more
than a store, a model or another language's client can carry: it makes ``Infinity`` of ``1e999``, which is no JSON any
more, and integers of any length. The limits are checked here, for HTTP bodies and for plain events alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lambda_src.value_rules import MAX_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 64
"""How deep arrays and objects may be nested, the outermost one counted."""

MAX_FAULTS = 20
"""At most so many faults are named: a caller that sends a million of them need not read about each."""

TOO_DEEP = f"must not be nested deeper than {MAX_DEPTH} levels"
_NOT_FINITE = "must be a finite number between -1.797e308 and 1.797e308"
_SURROGATES = "must not contain unpaired surrogates"


class Fault(NamedTuple):
    """What is wrong with a value, and where in it."""

    loc: tuple[str | int, ...]
    msg: str


class _Place(NamedTuple):
    """A place in a value: a step from the place around it. A step costs the same at any depth."""

    parent: _Place | None
    step: str | int


def faults_in(value: Any) -> list[Fault]:
    """The faults for which a value cannot be carried on, in the order of the text; at most ``MAX_FAULTS``.

    Args:
        value: As any JSON parser made it.
    """
    found: list[Fault] = []
    # A list instead of recursion: a value may be nested deeper than Python can call.
    left: list[tuple[Any, int, _Place | None]] = [(value, 1, None)]
    while left and len(found) < MAX_FAULTS:
        item, depth, place = left.pop()
        if isinstance(item, (dict, list)):
            if depth > MAX_DEPTH:
                found.append(Fault(_location(place), TOO_DEEP))
            elif isinstance(item, list):
                left.extend((item[index], depth + 1, _Place(place, index)) for index in reversed(range(len(item))))
            else:
                found.extend(Fault(_location(place), msg) for msg in _faults_of_names(item))
                left.extend((item[name], depth + 1, _Place(place, str(name))) for name in reversed(item))
        elif (msg := _fault_of_scalar(item)) is not None:
            found.append(Fault(_location(place), msg))
    return found


def _faults_of_names(item: dict[Any, Any]) -> Iterator[str]:
    if not all(isinstance(name, str) for name in item):
        yield "must have names that are text"
    elif not all(map(_is_unicode, item)):
        yield f"has a name that {_SURROGATES}"


def _fault_of_scalar(item: object) -> str | None:
    match item:
        case str():
            return None if _is_unicode(item) else _SURROGATES
        case None | bool():
            return None
        case int():
            return None if -MAX_NUMBER <= item <= MAX_NUMBER else _NOT_FINITE
        case float():
            return None if math.isfinite(item) else _NOT_FINITE
        case _:
            return "must be a JSON value"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _location(place: _Place | None) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    while place is not None:
        steps.append(place.step)
        place = place.parent
    return tuple(reversed(steps))
