"""Simpler forms of a conversation, for a model that will not take all of it.

Pure functions of messages. Each step gives up a little more of the messages before the prompt, and of the tools'
answers since. No step touches the words of the prompt itself. What a step gave up is noted, message by message. The
stored conversation stays as it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from agent_sessions.turn_request import is_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Message: TypeAlias = dict[str, Any]
Block: TypeAlias = dict[str, Any]
Lost: TypeAlias = "list[tuple[int, str]]"
"""What was given up: the message's position, and the kind of block, or ``message`` for all of it."""

Step = Literal["unanswered", "shape", "marks", "media", "text", "older", "history"]
STEPS: dict[Step, str] = {
    "unanswered": "earlier turns that got no answer are left out",
    "shape": "roles alternate, blank text is left out; no word is lost",
    "marks": "cache points and reasoning are left out; guarded and cited text is plain text",
    "media": "files are replaced by a line that names them",
    "text": "tool calls, their results and all other blocks are told in plain text",
    "older": "the older half of the earlier turns is left out",
    "history": "everything before the turn is left out",
}
"""What there is to give up, the least first."""

UNANSWERED = "(This message got no answer: the turn ended early.)"
"""Stands between a question whose turn ended without an answer and the next question."""

MEDIA = ("image", "document", "video", "audio")
_NOTHING = "(Left out: the model refused it.)"
_EARLIER = "(The conversation began earlier.)"


class ShownMessage(NamedTuple):
    """A message on its way to the model.

    Attributes:
        position: Where it stands in the conversation.
        message: What the model is shown of it.
    """

    position: int
    message: Message

    def with_content(self, content: list[Block]) -> ShownMessage:
        """The same message with another content; a message needs one."""
        return ShownMessage(self.position, {**self.message, "content": content or [{"text": _NOTHING}]})


def has_more_than_text(message: Message) -> bool:
    """Whether a message has other blocks than plain text."""
    return any(set(block) != {"text"} for block in message["content"])


def has_media(messages: Iterable[Message]) -> bool:
    """Whether any of the messages carries a file, in a tool's result too."""
    return any(_kind(block) in MEDIA for message in messages for block in _deep(message["content"]))


def _deep(content: Sequence[Block]) -> Iterable[Block]:
    for block in content:
        yield block
        if "toolResult" in block:
            yield from block["toolResult"].get("content") or ()
        if isinstance(block.get("guardContent"), dict):
            yield block["guardContent"]


def _kind(block: Block) -> str:
    """What a content block is: its one key."""
    return next(iter(block), "nothing")


def turns_of(entries: Sequence[ShownMessage]) -> list[list[ShownMessage]]:
    """The entries, turn by turn."""
    turns: list[list[ShownMessage]] = []
    for entry in entries:
        if not turns or is_prompt(entry.message):
            turns.append([])
        turns[-1].append(entry)
    return turns


def simplified(entries: Sequence[ShownMessage], start: int, steps: Iterable[Step], lost: Lost) -> list[ShownMessage]:
    """A conversation without what the steps give up.

    Args:
        entries: The conversation, or what is left of it.
        start: The position of the prompt that is to be answered.
        steps: What to give up; ``older`` and ``history`` are the caller's.
        lost: Receives what was given up.
    """
    steps = set(steps)
    before = [entry for entry in entries if entry.position < start]
    turn = [entry for entry in entries if entry.position >= start]
    if "unanswered" in steps:
        before = _answered(before, lost)
    if "marks" in steps or "text" in steps:
        before, turn = _each(before, _without_marks, lost), _each(turn, _without_marks, lost)
    if "media" in steps or "text" in steps:
        before, turn = _each(before, _without_media, lost), [*turn[:1], *_each(turn[1:], _without_media, lost)]
    if "text" in steps:
        before, turn = _each(before, _as_text, lost), [*turn[:1], *_each(turn[1:], _as_text, lost)]
    if "shape" in steps or "text" in steps:
        before, turn = _alternating(_spoken(before)), _spoken(turn)
        if before and turn and before[-1].message["role"] == "user":
            before.append(ShownMessage(before[-1].position, _said("assistant", UNANSWERED)))
    return [*before, *turn]


def described(entry: ShownMessage, lost: Lost) -> ShownMessage:
    """A refused prompt, with a line in place of each block that is not text."""
    return _each(_each([entry], _without_marks, lost), _without_media, lost)[0]


def leave_out(entries: Iterable[ShownMessage], lost: Lost) -> None:
    """Note that messages are left out."""
    lost.extend((entry.position, "message") for entry in entries)


# --- turns ----------------------------------------------------------------------------------------------


def _answered(entries: Sequence[ShownMessage], lost: Lost) -> list[ShownMessage]:
    kept: list[ShownMessage] = []
    for turn in turns_of(entries):
        if _is_answered(turn):
            kept += turn
        else:
            leave_out(turn, lost)
    return kept


def _is_answered(turn: Sequence[ShownMessage]) -> bool:
    last = turn[-1].message
    return (
        last["role"] == "assistant"
        and not any("toolUse" in block for block in last["content"])
        and not any(block.get("text") == UNANSWERED for block in last["content"])
    )


# --- blocks ---------------------------------------------------------------------------------------------


def _each(entries: Sequence[ShownMessage], change: Callable[[Block], list[Block]], lost: Lost) -> list[ShownMessage]:
    """Replace each block by what a step makes of it, and note what is lost."""
    changed: list[ShownMessage] = []
    for entry in entries:
        content: list[Block] = []
        for block in entry.message["content"]:
            instead = change(block)
            content += instead
            if instead != [block]:
                lost.append((entry.position, _lost_kind(block, instead)))
        changed.append(entry if content == entry.message["content"] else entry.with_content(content))
    return changed


def _lost_kind(block: Block, instead: list[Block]) -> str:
    """What is lost of a block. Of a tool's result, it may be only a file in it."""
    if "toolResult" in block and instead and "toolResult" in instead[0]:
        left = instead[0]["toolResult"].get("content") or []
        return next(
            (_kind(part) for part in block["toolResult"].get("content") or [] if part not in left), "toolResult"
        )
    return _kind(block)


def _without_marks(block: Block) -> list[Block]:
    match block:
        case {"cachePoint": _} | {"reasoningContent": _}:
            return []
        case {"guardContent": {"text": {"text": str(text)}}}:
            return [{"text": text}]
        case {"citationsContent": {"content": [*parts]}}:
            return [{"text": part["text"]} for part in parts if isinstance(part, dict) and "text" in part]
        case _:
            return [block]


def _without_media(block: Block) -> list[Block]:
    if "toolResult" in block:
        content = block["toolResult"].get("content") or []
        parts = [part for inner in content for part in _without_media(inner)]
        return [block] if parts == content else [{"toolResult": {**block["toolResult"], "content": parts}}]
    inner = block.get("guardContent")
    held = inner if isinstance(inner, dict) else block
    kind = _kind(held)
    return [{"text": _named(kind, held[kind])}] if kind in MEDIA else [block]


def _named(kind: str, value: Any) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    what = f'{kind.capitalize()} "{name}"' if isinstance(name, str) and name else kind.capitalize()
    return f"({what} removed: the model refused it.)"


def _as_text(block: Block) -> list[Block]:
    match block:
        case {"text": _} if len(block) == 1:
            return [block]
        case {"toolUse": dict(call)}:
            return [{"text": f"(Tool {call.get('name')} was called with {_json(call.get('input'))}.)"}]
        case {"toolResult": dict(result)}:
            told = " ".join(_told(part) for part in result.get("content") or ())
            return [{"text": f"(The tool answered: {told or 'nothing'})"}]
        case _:
            return [{"text": f"({_kind(block)} left out.)"}]


def _told(part: Block) -> str:
    return part["text"] if isinstance(part.get("text"), str) else _json(part.get("json", part))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# --- shape ----------------------------------------------------------------------------------------------


def _spoken(entries: Sequence[ShownMessage]) -> list[ShownMessage]:
    """Entries without blank text and without unpaired surrogates, which UTF-8 cannot carry."""
    return [
        entry.with_content([_sayable(block) for block in entry.message["content"] if not _is_blank(block)])
        for entry in entries
    ]


def _is_blank(block: Block) -> bool:
    return set(block) == {"text"} and not str(block["text"] or "").strip()


def _sayable(block: Block) -> Block:
    if "toolResult" in block:
        parts = [_sayable(part) for part in block["toolResult"].get("content") or () if not _is_blank(part)]
        return {"toolResult": {**block["toolResult"], "content": parts or [{"text": "(nothing)"}]}}
    if isinstance(block.get("text"), str):
        return {**block, "text": block["text"].encode("utf-8", "replace").decode()}
    return block


def _alternating(entries: Sequence[ShownMessage]) -> list[ShownMessage]:
    """Entries that begin with the user, and whose neighbours speak by turns."""
    told: list[ShownMessage] = []
    for entry in entries:
        if not told and entry.message["role"] != "user":
            told.append(ShownMessage(entry.position, _said("user", _EARLIER)))
        if told and told[-1].message["role"] == entry.message["role"]:
            told[-1] = told[-1].with_content([*told[-1].message["content"], *entry.message["content"]])
        else:
            told.append(entry)
    return told


def _said(role: str, text: str) -> Message:
    return {"role": role, "content": [{"text": text}]}
