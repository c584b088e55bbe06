"""Marks on messages that say what a model refused, so that the next turn need not find it out again.

A mark is in the message's own metadata, where Strands keeps a pin too, so that the session's next writer keeps it. The
mark of a refused prompt says that it was refused. The mark of an answer says what the model was not shown for it. Both
name the model, since another model may take what this one refuses. A turn that finds no mark asks the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from agent_sessions.turn_request import is_prompt
from lambda_src.models.simplify import STEPS, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lambda_src.models.simplify import Lost, Message

KEY = "agent_session_kit"
"""Where the marks are, under ``metadata.custom``."""

LeftOut: TypeAlias = "list[dict[str, Any]]"
"""What was left out, as replies tell it: ``what``, and the ``message_ids`` of the messages that hold it."""


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
    """What this model's last marked answer says was given up.

    Positions are counted back from the answer, because a conversation loses messages at its beginning only.
    """
    for position in range(len(messages) - 1, -1, -1):
        mark = mark_in(messages[position]).get("gave_up")
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
    """Note on an answer what the model was not shown for it."""
    add_mark(answer, {"left_out": left_out})


def mark_gave_up(message: Message, position: int, model: str, gave_up: Earlier) -> None:
    """Note on a message what later turns begin with.

    Args:
        message: The message.
        position: Where the message stands, or will stand.
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
    add_mark(message, {"gave_up": mark})


def mark_refused(message: Message, model: str, code: str) -> None:
    """Note on a prompt that a model refused it."""
    add_mark(message, {"refused": {"model": model, "code": code}})


def is_refused(message: Message, model: str | None = None) -> bool:
    """Whether a prompt was refused: by this model, or by any."""
    mark = mark_in(message).get("refused")
    return isinstance(mark, dict) and is_prompt(message) and (model is None or mark.get("model") == model)


def left_out_of(message: Message) -> LeftOut:
    """What the model was not shown when it gave this answer."""
    found = mark_in(message).get("left_out")
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
    """The sum of what was left out of several model calls."""
    merged: dict[str, set[int]] = {}
    for part in (part for several in parts for part in several):
        merged.setdefault(part["what"], set()).update(part["message_ids"])
    return [{"what": what, "message_ids": sorted(ids)} for what, ids in sorted(merged.items())]


def mark_in(message: Mapping[str, Any]) -> dict[str, Any]:
    """The kit's own mark on a message; empty when it has none."""
    found: Any = message
    for name in ("metadata", "custom", KEY):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def add_mark(message: Message, mark: dict[str, Any]) -> None:
    """Add fields to the kit's own mark on a message, before it is stored."""
    metadata = message.setdefault("metadata", {})
    metadata["custom"] = {**(metadata.get("custom") or {}), KEY: {**mark_in(message), **mark}}
