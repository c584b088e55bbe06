"""Read a script from JSON, for servers that run in a process of their own."""

import json
from collections.abc import Callable
from typing import Any, cast

from tests.doubles.bedrock_faults import BedrockFault
from tests.doubles.script import Guardrail, HangUp, Part, Pause, ScriptItem, Stop

_READERS: dict[str, Callable[[Any], Part]] = {
    "pause_seconds": lambda value: Pause(float(value)),
    "stop_reason": Stop,
    "hang_up": lambda _: HangUp(),
    "drop": lambda _: ConnectionError("dropped by the script"),
    "fault": lambda value: BedrockFault(**value),
    "guardrail": lambda value: Guardrail(**value),
    "text": lambda value: {"text": value},
    "toolUse": lambda value: {"toolUse": value},
    "reasoningContent": lambda value: {"reasoningContent": value},
}


def read_items(items: list[Any]) -> list[ScriptItem]:
    """Read the items of a script.

    A text is a text; a list is a reply of several parts; an object is a content block (``text``, ``toolUse``,
    ``reasoningContent``) or one of ``{"pause_seconds": 1}``, ``{"stop_reason": "max_tokens"}``, ``{"hang_up": true}``,
    ``{"drop": true}``, ``{"fault": {"code": "ThrottlingException", "message": "…"}}``,
    ``{"guardrail": {"where": "input", "action": "BLOCKED", "trace": true}}``. As an item of its own,
    ``{"times": 5, "reply": …}`` stands for five of the same.

    Raises:
        ValueError: when an item is none of these.
    """
    read: list[ScriptItem] = []
    for item in items:
        if isinstance(item, dict) and item.keys() == {"times", "reply"}:
            read += read_items([item["reply"]] * int(item["times"]))
        else:
            read.append([_part(part) for part in item] if isinstance(item, list) else _part(item))
    return read


def _part(part: Any) -> Part:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and len(part) == 1 and (kind := cast("str", next(iter(part)))) in _READERS:
        return _READERS[kind](part[kind])
    raise ValueError(f"a part is a text or an object with one of {', '.join(_READERS)}; this is {json.dumps(part)}")
