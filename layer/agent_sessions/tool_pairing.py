"""Makes a restored conversation acceptable to a model again: every tool call followed by exactly its results.

A crash between a tool call and its result, a window's cut between the two, or a lost message leaves pairs that model
providers refuse. The repair changes a copy in memory; the caller decides what may be stored.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strands.types.content import Message

MISSING_RESULT = "Tool was interrupted."
"""The text Strands puts there too, so that a session repaired by either looks the same."""


class Repaired(NamedTuple):
    """A message of the repaired conversation.

    Attributes:
        message: The message: the very object that was given, or a changed copy.
        source: Its position among the given messages; ``None`` when it was added.
        changed: Whether its content differs from the given message's.
    """

    message: Message
    source: int | None
    changed: bool = False


def has_tool_pairs(messages: Sequence[Message]) -> bool:
    """Whether every tool call but a trailing one is already followed by exactly its results."""
    last = len(messages) - 1
    open_calls: list[str] = []
    for position, message in enumerate(messages):
        calls = tool_use_ids(message)
        results = [_name(call) for call in tool_result_ids(message)]
        if (open_calls or results) and (message["role"] != "user" or sorted(results) != sorted(open_calls)):
            return False
        if calls and position != last and _usable_ids(calls) != calls:
            return False
        open_calls = [_name(call) for call in calls]
    return True


def repair_tool_pairs(messages: Sequence[Message]) -> list[Repaired]:
    """Give every tool call exactly one result, in the message after it.

    Missing results become error results; results of other calls, duplicates, and results that follow no call are
    dropped; other content of the same message stays. A call whose id a provider would refuse gets another, and so does
    its result. A trailing call stays open, as it is: the agent completes it when the next prompt arrives.

    Args:
        messages: A conversation in order. It is not changed.

    Returns:
        The conversation, valid. Messages that had to be left out are missing from it.
    """
    repaired: list[Repaired] = []
    open_calls: list[tuple[str, str]] = []  # each call of the message before: its name, and the id it has now
    for position, message in enumerate(messages):
        content = cast("list[dict[str, Any]]", message["content"])
        results = [block for block in content if "toolResult" in block]
        others = [block for block in content if "toolResult" not in block]
        is_answer = bool(open_calls and results) and message["role"] == "user"
        if is_answer:
            repaired.append(_answered(message, position, open_calls, results, others))
        elif open_calls:
            repaired.append(Repaired(lost_results([call for _, call in open_calls]), None))
        if not results and not is_answer:
            repaired.append(Repaired(message, position))
        elif others and not is_answer:
            repaired.append(_with_content(message, position, others))
        calls = tool_use_ids(message)
        usable = _usable_ids(calls) if position < len(messages) - 1 else calls
        open_calls = [(_name(call), other) for call, other in zip(calls, usable, strict=True)]
        if usable != calls:
            repaired[-1] = _with_call_ids(repaired[-1], usable)
    return repaired


def _answered(
    message: Message,
    position: int,
    open_calls: list[tuple[str, str]],
    results: list[dict[str, Any]],
    others: list[dict[str, Any]],
) -> Repaired:
    """The message after a tool call, with exactly one result for each of its calls."""
    names = [name for name, _ in open_calls]
    has_other_ids = any(name != call for name, call in open_calls)
    given = [_name(block["toolResult"]["toolUseId"]) for block in results]
    if sorted(given) == sorted(names) and not has_other_ids:
        return Repaired(message, position)
    # If several results have one name, the first answers the first call, and the last call gets what is left.
    waiting = {name: [block for block, other in zip(results, given, strict=True) if other == name] for name in names}
    if len(set(names)) == len(names):
        waiting = {name: blocks[-1:] for name, blocks in waiting.items()}
    paired = [
        _with_result_id(waiting[name].pop(0), call) if waiting[name] else _lost_result(call)
        for name, call in open_calls
    ]
    answered = _with_content(message, position, paired + others)
    # The ids are changed in memory only: two messages are not stored at once, and a torn pair would be lost.
    return answered._replace(changed=False) if has_other_ids else answered


def _usable_ids(calls: Sequence[Any]) -> list[str]:
    """Usable ids for one message's calls: providers want text, and no id twice."""
    usable: list[str] = []
    for index, call in enumerate(calls):
        name = call if isinstance(call, str) and call.strip() else f"call_{index}"
        while name in usable:
            name = f"{name}_{index}"
        usable.append(name)
    return usable


def _with_call_ids(item: Repaired, ids: list[str]) -> Repaired:
    """A message whose tool calls have these ids."""
    left = iter(ids)
    content = [
        {**block, "toolUse": {**block["toolUse"], "toolUseId": next(left)}} if "toolUse" in block else block
        for block in cast("list[dict[str, Any]]", item.message["content"])
    ]
    return Repaired(cast("Message", {**item.message, "content": content}), item.source, changed=False)


def _with_result_id(block: dict[str, Any], call: str) -> dict[str, Any]:
    if block["toolResult"]["toolUseId"] == call:
        return block
    return {**block, "toolResult": {**block["toolResult"], "toolUseId": call}}


def _name(call: Any) -> str:
    """The name that pairs a call and its result. Strands writes a result's id as text, even if the call's is none."""
    return call if isinstance(call, str) else str(call)


def tool_use_ids(message: Message) -> list[str]:
    """The ids of a message's tool calls, in order."""
    return [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]


def tool_result_ids(message: Message) -> list[str]:
    """The ids of the calls whose results a message holds, in order."""
    return [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]


def names_of_calls(message: Message) -> set[str]:
    """The names that pair a message's tool calls and results with their other halves."""
    return {_name(call) for call in [*tool_use_ids(message), *tool_result_ids(message)]}


def _lost_result(call: str) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call, "status": "error", "content": [{"text": MISSING_RESULT}]}}


def lost_results(calls: list[str]) -> Message:
    """A message that says of each call that its result was lost."""
    message = {
        "role": "user",
        "content": [_lost_result(call) for call in calls],
        # It does not pass through the agent, which otherwise gives each message a tracking id.
        "tracking_id": str(uuid.uuid4()),
    }
    return cast("Message", message)


def _with_content(message: Message, position: int, content: list[dict[str, Any]]) -> Repaired:
    return Repaired(cast("Message", {**message, "content": content}), position, changed=True)
