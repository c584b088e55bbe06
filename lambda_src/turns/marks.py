"""What stands with a message about what a model refused, so that the next turn need not find it out again.

It stands in the message's own metadata, where Strands keeps a pin too: whoever writes the session next keeps it. A
prompt that was refused says so. An answer says what the model was not shown when it gave it. Both name the model, for
another one may take what this one refuses. A turn that finds no mark finds out by asking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from lambda_src.turns.simplify import STEPS, Step, is_prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lambda_src.turns.simplify import Lost, Message

KEY = "agent_session_kit"
"""Where the marks are, under ``metadata.custom``."""

LeftOut: TypeAlias = "list[dict[str, Any]]"
"""What was left out as replies tell it: ``what``, and the ``message_ids`` it stands in."""


class Earlier(NamedTuple):
    """What the answers so far have given up.

    Attributes:
        steps: Which steps.
        below: The position below which they are taken.
        first: The position below which nothing is shown.
    """

    steps: frozenset[Step] = frozenset()
    below: int = 0
    first: int = 0


def earlier_of(messages: Sequence[Message], model: str) -> Earlier:
    """What the last answer of this model that gave something up says.

    Positions are counted back from the answer: what leaves the conversation leaves it at its beginning.
    """
    for position in range(len(messages) - 1, -1, -1):
        mark = _mark(messages[position]).get("gave_up")
        if isinstance(mark, dict) and mark.get("model") == model:
            return _read(mark, position)
    return Earlier()


def _read(mark: Mapping[str, Any], position: int) -> Earlier:
    given, tail, shown = mark.get("steps"), mark.get("tail"), mark.get("shown")
    steps = frozenset(cast("Step", step) for step in given or () if step in STEPS) if isinstance(given, list) else ()
    return Earlier(
        frozenset(steps),
        max(0, position - tail) if isinstance(tail, int) else 0,
        max(0, position - shown) if isinstance(shown, int) else 0,
    )


def mark_left_out(answer: Message, left_out: LeftOut) -> None:
    """Have an answer say what the model was not shown when it gave it."""
    _set(answer, {"left_out": left_out})


def mark_gave_up(message: Message, position: int, model: str, gave_up: Earlier) -> None:
    """Have a message say what later turns are to begin with.

    Args:
        message: The message.
        position: Where it stands, or is about to.
        model: The model that asked for it.
        gave_up: What was given up.
    """
    if gave_up == Earlier():
        return
    mark = {
        "model": model,
        "steps": sorted(gave_up.steps),
        "tail": position - gave_up.below,
        "shown": position - gave_up.first if gave_up.first else None,
    }
    _set(message, {"gave_up": mark})


def mark_refused(message: Message, model: str, code: str) -> None:
    """Have a prompt say that a model refused it."""
    _set(message, {"refused": {"model": model, "code": code}})


def is_refused(message: Message, model: str | None = None) -> bool:
    """Whether a model refused a prompt: this one, or any."""
    mark = _mark(message).get("refused")
    return isinstance(mark, dict) and is_prompt(message) and (model is None or mark.get("model") == model)


def left_out_of(message: Message) -> LeftOut:
    """What the model was not shown when it gave this answer."""
    found = _mark(message).get("left_out")
    return [part for part in found if _is_left_out(part)] if isinstance(found, list) else []


def _is_left_out(part: object) -> bool:
    return (
        isinstance(part, dict)
        and isinstance(part.get("what"), str)
        and isinstance(part.get("message_ids"), list)
        and all(isinstance(number, int) for number in part["message_ids"])
    )


def told(lost: Lost, ids: Sequence[int | None]) -> LeftOut:
    """What was given up, as replies tell it.

    Args:
        lost: What, and at which positions.
        ids: The messages' ids by position, as far as they are known.
    """
    parts: dict[str, set[int]] = {}
    for position, what in lost:
        found = parts.setdefault(what, set())
        known = ids[position] if position < len(ids) else None
        if known is not None:
            found.add(known)
    return [{"what": what, "message_ids": sorted(found)} for what, found in sorted(parts.items())]


def together(parts: Iterable[LeftOut]) -> LeftOut:
    """What was left out of several calls of the model."""
    merged: dict[str, set[int]] = {}
    for part in (part for several in parts for part in several):
        merged.setdefault(part["what"], set()).update(part["message_ids"])
    return [{"what": what, "message_ids": sorted(ids)} for what, ids in sorted(merged.items())]


def _mark(message: Mapping[str, Any]) -> dict[str, Any]:
    found: Any = message
    for name in ("metadata", "custom", KEY):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _set(message: Message, mark: dict[str, Any]) -> None:
    metadata = message.setdefault("metadata", {})
    metadata["custom"] = {**(metadata.get("custom") or {}), KEY: {**_mark(message), **mark}}
