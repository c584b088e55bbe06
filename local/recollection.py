"""What the offline model can say about a conversation: pure functions over its messages."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SIGNATURE = "[offline model, no LLM]"
"""Begins every answer, so that nobody mistakes it for an LLM's."""

_COUNT = re.compile(r"\bhow (often|many)\b", re.IGNORECASE)
_FIRST = re.compile(r"\b(first|at the (start|beginning)|begin with)\b", re.IGNORECASE)
_LAST = re.compile(r"\b(last|latest|just|previous(ly)?|before|earlier)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W_]+")
# Words too common to say what a question is about.
_COMMON = frozenset(
    "a about am an and are as at be been can could did do does for from had has have he her his how i if in is it its "  # noqa: SIM905 - one word a line would fill a page
    "me my of on or our please say said she should so tell that the their them then there they this to told u us was "
    "we were what when where which who whom whose why will with would you your".split()
)

Message: TypeAlias = "Mapping[str, Any]"


def answer(messages: Sequence[Message]) -> str:
    """Answer the last message from the ones before it; a tool's result is reported."""
    results = [block["toolResult"] for block in messages[-1]["content"] if "toolResult" in block]
    if results:
        return f"{SIGNATURE} {' '.join(_report(result, messages) for result in results)}"
    return f"{SIGNATURE} {' '.join(_recollect(messages))}"


def prompt(messages: Sequence[Message]) -> str:
    """Return what the user says now: the text of the last message, nothing when it carries tool results."""
    last = messages[-1]
    if any("toolResult" in block for block in last["content"]):
        return ""
    return " ".join(block["text"] for block in last["content"] if "text" in block).strip()


def text_of(message: Message) -> str:
    """Return a message as one line: texts as they are, everything else named."""
    return " ".join(_describe(block) for block in message["content"])


def _recollect(messages: Sequence[Message]) -> Iterator[str]:
    now = prompt(messages)
    said = [text_of(message) for message in messages[:-1] if _is_spoken(message, "user")]
    yield f"You said: {_quote(text_of(messages[-1]))}"
    if not said:
        yield "It is the first thing I have from you in this session: nothing was restored before it."
        return
    yield f"I was given {_times(len(messages) - 1, 'earlier message')} of this conversation."
    if _COUNT.search(now):
        yield _count(messages, said, now)
    elif _LAST.search(now) and not _FIRST.search(now):
        yield f"Before this you said: {_quote(said[-1])}"
    elif not _FIRST.search(now) and (fitting := _fitting(now, said)):
        yield f"What fits best of all you told me: {_quote(fitting)}"
    yield f"The first thing you said was: {_quote(said[0])}"


def _count(messages: Sequence[Message], said: Sequence[str], now: str) -> str:
    answered = sum(_is_spoken(message, "assistant") for message in messages)
    same = sum(text.casefold() == now.casefold() for text in said)
    again = f" You asked exactly this {_times(same, 'time')} before." if same else ""
    return (
        f"You have spoken {_times(len(said) + 1, 'time')}, this one included, and I have answered "
        f"{_times(answered, 'time')}.{again}"
    )


def _fitting(now: str, said: Sequence[str]) -> str | None:
    """Return the earlier sentence that shares most words with the question, the latest of equals; None for none."""
    wanted = _keywords(now)
    best, best_score = None, 0
    for text in said:
        for sentence in _SENTENCE_END.split(text):
            score = len(wanted & _keywords(sentence))
            # A question asked again tells nothing.
            if score >= max(best_score, 1) and not sentence.rstrip().endswith("?"):
                best, best_score = sentence.strip(), score
    return best


def _keywords(text: str) -> set[str]:
    return {word for word in _WORD.findall(text.casefold()) if word not in _COMMON}


def _report(result: Mapping[str, Any], messages: Sequence[Message]) -> str:
    names = {
        block["toolUse"]["toolUseId"]: block["toolUse"]["name"]
        for message in messages
        for block in message["content"]
        if "toolUse" in block
    }
    name = names.get(result["toolUseId"], "unknown")
    said = " ".join(_describe(item) for item in result["content"])
    return f"The tool {name} {'failed' if result.get('status') == 'error' else 'answered'}: {said}"


def _describe(block: Mapping[str, Any]) -> str:
    """Return a content block, or an item of a tool's result, in words."""
    kind = next(iter(block), "nothing")
    value = block.get(kind)
    if kind == "text":
        return str(value).strip()
    if kind == "json":
        return json.dumps(value, ensure_ascii=False)
    if kind in {"image", "document", "video"} and isinstance(value, dict):
        return f"[{' '.join(filter(None, (kind, value.get('name'), value.get('format'), _size(value))))}]"
    return f"[{kind}]"


def _size(media: Mapping[str, Any]) -> str | None:
    content = media.get("source", {}).get("bytes")
    return f"{len(content):,} bytes" if isinstance(content, bytes) else None


def _is_spoken(message: Message, role: str) -> bool:
    """Whether somebody said something in it; tool calls and their results are not speech."""
    blocks = message["content"]
    return message["role"] == role and not any("toolResult" in block or "toolUse" in block for block in blocks)


def _quote(text: str) -> str:
    """Return a text in quotation marks, and a full stop where the text brings no end of its own."""
    return f"“{text}”{'' if text.endswith(('.', '!', '?')) else '.'}"


def _times(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
