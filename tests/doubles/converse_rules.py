"""The rules by which Converse refuses a conversation: what a broken session runs into.

Pure functions over the request's JSON. The wording is the service's, as quoted in bug reports against it (that
of doubled ids is ours), so that a test which meets one of these reads what a user would read.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.doubles.bedrock_faults import BedrockFault


def check(body: dict[str, Any], *, strict_roles: bool) -> None:
    """Refuse what Converse refuses.

    Args:
        body: the request.
        strict_roles: insist on alternating roles and on a user message at the end. Some models do, some do not.

    Raises:
        BedrockFault: ValidationException, naming the first rule that is broken.
    """
    for message in _broken_rules(body, strict_roles=strict_roles):
        raise BedrockFault("ValidationException", message)


def _broken_rules(body: dict[str, Any], *, strict_roles: bool) -> Iterator[str]:
    messages = body.get("messages") or []
    if not messages or messages[0]["role"] != "user":
        yield (
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    yield from _broken_content(messages)
    yield from _broken_pairing(messages)
    if not body.get("toolConfig") and any(_tool_blocks(message) for message in messages):
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    if strict_roles:
        yield from _broken_roles(messages)


def _broken_content(messages: list[Any]) -> Iterator[str]:
    for number, message in enumerate(messages):
        if not message["content"]:
            yield (
                f"The content field in the Message object at messages.{number} is empty. Add a ContentBlock object "
                "to the content field and try again."
            )
        for index, block in enumerate(message["content"]):
            if "text" in block and not block["text"].strip():
                yield (
                    f"The text field in the ContentBlock object at messages.{number}.content.{index} is blank. Add "
                    "text to the text field, and try again."
                )
            result = block.get("toolResult")
            if result and result.get("status") == "error" and not result["content"]:
                yield (
                    f"The content field at messages.{number}.content.{index}.toolResult cannot be empty when status "
                    "value is error."
                )


def _broken_pairing(messages: list[Any]) -> Iterator[str]:
    wanted: list[str] = []
    for number, message in enumerate(messages):
        given = _ids(message, "toolResult")
        if missing := Counter(wanted) - Counter(given):
            yield (
                f"Expected toolResult blocks at messages.{number}.content for the following Ids: "
                f"{', '.join(missing.elements())}"
            )
        if Counter(given) - Counter(wanted):
            yield (
                f"The number of toolResult blocks at messages.{number}.content exceeds the number of toolUse blocks "
                "of previous turn."
            )
        wanted = _ids(message, "toolUse")
        if doubled := [identifier for identifier, count in Counter(wanted).items() if count > 1]:
            yield f"The toolUse blocks at messages.{number}.content contain duplicate Ids: {', '.join(doubled)}"
    if wanted:
        yield (
            f"Expected toolResult blocks at messages.{len(messages)}.content for the following Ids: {', '.join(wanted)}"
        )


def _broken_roles(messages: list[Any]) -> Iterator[str]:
    if any(before["role"] == after["role"] for before, after in itertools.pairwise(messages)):
        yield (
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
            "between user and assistant roles and try again."
        )
    if messages[-1]["role"] == "assistant":
        yield ("This model does not support assistant message prefill. The conversation must end with a user message.")


def _tool_blocks(message: Any) -> list[Any]:
    return [block for block in message["content"] if "toolUse" in block or "toolResult" in block]


def _ids(message: Any, kind: str) -> list[str]:
    return [block[kind]["toolUseId"] for block in message["content"] if kind in block]
