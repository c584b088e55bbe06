"""Makes a restored conversation acceptable to a model again: every tool call followed by exactly its results.

A crash between a tool call and its result, a window that cut between the two, or a writer that lost a message leave
pairs that model providers refuse. What is repaired here is a copy in memory; the caller decides what may be stored.
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
    """Whether every tool call is followed by exactly its results already, but for a trailing call."""
    open_calls: list[str] = []
    for message in messages:
        calls: list[str] = []
        results: list[str] = []
        for block in message["content"]:
            if "toolUse" in block:
                calls.append(block["toolUse"]["toolUseId"])
            elif "toolResult" in block:
                results.append(block["toolResult"]["toolUseId"])
        if (open_calls or results) and (message["role"] != "user" or sorted(results) != sorted(open_calls)):
            return False
        open_calls = calls
    return True


def repair_tool_pairs(messages: Sequence[Message]) -> list[Repaired]:
    """Give every tool call exactly one result, in the message after it.

    Missing results become error results; results of other calls, duplicates, and results that follow no call are
    dropped; other content of the same message stays. A trailing call stays open: the agent completes it when the
    next prompt arrives.

    Args:
        messages: A conversation in order. It is not changed.

    Returns:
        The conversation, valid. Messages that had to be left out are missing from it.
    """
    repaired: list[Repaired] = []
    for position, message in enumerate(messages):
        open_calls = tool_use_ids(repaired[-1].message) if repaired else []
        content = cast("list[dict[str, Any]]", message["content"])
        results = [block for block in content if "toolResult" in block]
        others = [block for block in content if "toolResult" not in block]
        if open_calls and results and message["role"] == "user":
            if sorted(_result_id(block) for block in results) == sorted(open_calls):
                repaired.append(Repaired(message, position))
            else:
                answered = {_result_id(block): block for block in results}
                paired = [answered.get(call) or _lost_result(call) for call in open_calls]
                repaired.append(_with_content(message, position, paired + others))
            continue
        if open_calls:
            repaired.append(Repaired(lost_results(open_calls), None))
        if not results:
            repaired.append(Repaired(message, position))
        elif others:
            repaired.append(_with_content(message, position, others))
    return repaired


def tool_use_ids(message: Message) -> list[str]:
    """The ids of a message's tool calls, in order."""
    return [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]


def tool_result_ids(message: Message) -> list[str]:
    """The ids of the calls whose results a message holds, in order."""
    return [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]


def _result_id(block: dict[str, Any]) -> str:
    return str(block["toolResult"]["toolUseId"])


def _lost_result(call: str) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call, "status": "error", "content": [{"text": MISSING_RESULT}]}}


def lost_results(calls: list[str]) -> Message:
    """A message that says of each call that its result was lost."""
    message = {
        "role": "user",
        "content": [_lost_result(call) for call in calls],
        # It does not pass through the agent, which gives every message its tracking id.
        "tracking_id": str(uuid.uuid4()),
    }
    return cast("Message", message)


def _with_content(message: Message, position: int, content: list[dict[str, Any]]) -> Repaired:
    return Repaired(cast("Message", {**message, "content": content}), position, changed=True)
