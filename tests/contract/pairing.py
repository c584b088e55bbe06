"""What a model provider accepts as a conversation, stated apart from the code that repairs one."""

from typing import Any


def pairing_errors(messages: list[Any]) -> list[str]:
    """Why a provider would refuse the conversation; empty when it would not.

    Every message with tool calls is followed at once by a message that holds exactly one result for each of them, and
    results stand nowhere else. The calls of the last message are still to be answered, by the agent itself.
    """
    errors: list[str] = []
    for index, message in enumerate(messages):
        results = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        before = messages[index - 1]["content"] if index > 0 else []
        expected = [block["toolUse"]["toolUseId"] for block in before if "toolUse" in block]
        if sorted(results) != sorted(expected):
            errors.append(f"message {index} answers {results}, asked were {expected}")
        if not message["content"]:
            errors.append(f"message {index} is empty")
    return errors
