"""What a session must hold after a crash and the turns that follow it: a model that knows nothing of storage."""

import json
from collections.abc import Mapping
from typing import Any

Shape = tuple[str, str]
"""A message as far as it matters here: its role, and its content as JSON."""

LOST = "Tool was interrupted."
UNANSWERED = "(This message got no answer: the turn ended early.)"


def shape(message: Mapping[str, Any]) -> Shape:
    return message["role"], json.dumps(message["content"], sort_keys=True)


def said(role: str, *content: dict[str, Any]) -> Shape:
    return shape({"role": role, "content": list(content)})


def whole_turn(prompt: str, kind: str) -> list[Shape]:
    """The messages of a turn that nothing interrupts, as the callers' model and tool make them."""
    call = {"toolUseId": "tooluse_1", "name": "calculator", "input": {"expression": "6*7"}}
    result = {"toolUseId": "tooluse_1", "status": "success", "content": [{"text": "42"}]}
    steps = [
        said("assistant", {"text": "Let me see. "}, {"toolUse": call}),
        said("user", {"toolResult": result}),
    ]
    return [
        said("user", {"text": prompt}),
        *(steps if kind == "tools" else []),
        said("assistant", {"text": f"reply to {prompt}"}),
    ]


def repaired(messages: list[Shape]) -> list[Shape]:
    """The same conversation, a trailing tool call followed by what tells that its result was lost."""
    last = json.loads(messages[-1][1]) if messages else []
    calls = [block["toolUse"]["toolUseId"] for block in last if "toolUse" in block]
    lost = [{"toolResult": {"toolUseId": call, "status": "error", "content": [{"text": LOST}]}} for call in calls]
    return [*messages, said("user", *lost)] if lost else messages


def closed(messages: list[Shape]) -> list[Shape]:
    """The same conversation, ready for another prompt: a question without an answer has been given one."""
    conversation = repaired(messages)
    if conversation and conversation[-1][0] == "user":
        return [*conversation, said("assistant", {"text": UNANSWERED})]
    return conversation


def stored_in(objects: Mapping[str, bytes], session_id: str) -> list[Shape]:
    """The messages of a session's objects, in order. A gap ends the world.

    What stands in the agent's record as written at the same time counts: whoever comes next writes it.
    """
    folder = f"session_{session_id}/agents/agent_default/"
    found: dict[int, Mapping[str, Any]] = {}
    for key, body in objects.items():
        if f"{folder}messages/message_" in key:
            record = json.loads(body)
            found[int(record["message_id"])] = record["message"]
    assert sorted(found) == list(range(len(found))), f"a gap or a foreign id: {sorted(found)}"
    for key, body in objects.items():
        if key.endswith(f"{folder}agent.json"):
            log = json.loads(body).get("kit", {}).get("log") or {}
            if log.get("unconfirmed"):
                last = log["tail"][-1]
                found.setdefault(int(last[0]), last[2])
    assert sorted(found) == list(range(len(found)))
    return [shape(found[number]) for number in sorted(found)]


def is_prefix(shorter: list[Shape], longer: list[Shape]) -> bool:
    return longer[: len(shorter)] == shorter
