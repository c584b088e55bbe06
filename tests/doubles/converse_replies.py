"""Turn a scripted reply into what Converse (one JSON document) and ConverseStream (frames) answer."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

from tests.doubles import eventstream
from tests.doubles.bedrock_faults import IN_STREAM, BedrockFault
from tests.doubles.content_events import block_events
from tests.doubles.script import Guardrail, HangUp, Part, Pause, Stop, stop_reason


def frames(parts: list[Part], metadata: dict[str, Any], sleep: Callable[[float], None]) -> Iterator[bytes]:
    """Yield the event-stream messages of a reply.

    Args:
        parts: what the script says.
        metadata: usage and metrics, sent at the end.
        sleep: how the model thinks.

    Raises:
        BaseException: the script's own, where the connection is to be dropped.
    """
    yield eventstream.event("messageStart", {"role": "assistant"})
    index = 0
    for part in parts:
        if isinstance(part, BedrockFault):
            yield _fault_frame(part)
            return
        if isinstance(part, HangUp):
            return
        block = _content_block(part, sleep)
        if block is not None:
            for stream_event in block_events(block):
                for kind, payload in stream_event.items():
                    yield eventstream.event(kind, wire(payload) | {"contentBlockIndex": index})
            index += 1
    yield eventstream.event("messageStop", {"stopReason": _reason(parts)})
    yield eventstream.event("metadata", metadata | _trace(parts))


def whole(parts: list[Part], metadata: dict[str, Any], sleep: Callable[[float], None]) -> dict[str, Any]:
    """Return the document of a reply; arguments as for ``frames``.

    Raises:
        BaseException: the script's own; a ``HangUp`` becomes a ``ConnectionError``, there being no half document.
    """
    content: list[Any] = []
    for part in parts:
        if isinstance(part, BedrockFault):
            raise part
        if isinstance(part, HangUp):
            raise ConnectionError("the script hangs up")
        block = _content_block(part, sleep)
        if block is not None:
            content.append(wire(block))
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, "stopReason": _reason(parts), **metadata, **_trace(parts)}


def wire(value: Any) -> Any:
    """Return a JSON value with bytes as base64 text, as they travel."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: wire(item) for key, item in value.items()}
    return [wire(item) for item in value] if isinstance(value, list) else value


def _content_block(part: Part, sleep: Callable[[float], None]) -> Any:
    """Return the content block a part is, or None after doing what it says."""
    if isinstance(part, BaseException):
        raise part
    if isinstance(part, Pause):
        sleep(part.seconds)
    elif isinstance(part, str):
        return {"text": part}
    elif isinstance(part, dict):
        return part
    elif not isinstance(part, (Stop, Guardrail)):
        raise TypeError(f"Bedrock cannot play {part!r}")
    return None


def _fault_frame(fault: BedrockFault) -> bytes:
    if fault.code in IN_STREAM:
        return eventstream.exception(fault.code[0].lower() + fault.code[1:], fault.body)
    return eventstream.error(fault.code, fault.body["message"])


def _reason(parts: list[Part]) -> str:
    return "guardrail_intervened" if any(isinstance(part, Guardrail) for part in parts) else stop_reason(parts)


def _trace(parts: list[Part]) -> dict[str, Any]:
    """Return the guardrail's trace as Converse reports it; nothing when there is none."""
    assessed: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Guardrail) and part.trace:
            if part.where == "input":
                assessed["inputAssessment"] = {"guardrail-1": _policy(part)}
            else:
                assessed["outputAssessments"] = {"guardrail-1": [_policy(part)]}
    return {"trace": {"guardrail": assessed}} if assessed else {}


def _policy(guardrail: Guardrail) -> dict[str, Any]:
    if guardrail.action == "BLOCKED":
        topic = {"name": "secrets", "type": "DENY", "action": "BLOCKED", "detected": True}
        return {"topicPolicy": {"topics": [topic]}}
    entity = {"type": "EMAIL", "match": "someone@example.org", "action": "ANONYMIZED", "detected": True}
    return {"sensitiveInformationPolicy": {"piiEntities": [entity], "regexes": []}}
