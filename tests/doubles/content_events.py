"""Stream a content block as models do: in several deltas.

The events are Converse's; Strands' stream events have the same shape.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from strands.types.streaming import StreamEvent

from tests.doubles.script import halves, words


def block_events(block: Any) -> Iterator[StreamEvent]:
    """Yield the stream events of one content block.

    Raises:
        ValueError: for a kind of block models do not send.
    """
    if "toolUse" in block:
        call = block["toolUse"]
        yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}}}
        for piece in halves(json.dumps(call["input"])):
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}}}
    elif "reasoningContent" in block:
        for delta in _reasoning_deltas(block["reasoningContent"]):
            yield cast("StreamEvent", {"contentBlockDelta": {"delta": {"reasoningContent": delta}}})
    elif "text" in block:
        for piece in words(block["text"]):
            yield {"contentBlockDelta": {"delta": {"text": piece}}}
    else:
        raise ValueError(f"a script can stream text, toolUse and reasoningContent blocks, not {sorted(block)}")
    yield {"contentBlockStop": {}}


def _reasoning_deltas(content: Any) -> Iterator[dict[str, Any]]:
    if "redactedContent" in content:
        yield {"redactedContent": content["redactedContent"]}
        return
    for piece in words(content["reasoningText"]["text"]):
        yield {"text": piece}
    if signature := content["reasoningText"].get("signature"):
        yield {"signature": signature}
