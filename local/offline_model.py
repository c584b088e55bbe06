"""A model for a machine without models: it answers from the restored conversation and says that it is no LLM.

Everything it says comes from the messages it is given, so a user reads what the session really restored: what was said
first and last, how often, and the earlier sentence that fits a question best. It calls a tool when the prompt names one
("use the calculator: 6*7") and reports the tool's result.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from strands.models import Model

from local import recollection
from local.tool_request import ToolRequest, find_tool_request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from strands.types.content import Messages, SystemContentBlock
    from strands.types.streaming import StreamEvent
    from strands.types.tools import ToolChoice, ToolSpec

OutputModel = TypeVar("OutputModel", bound=BaseModel)


class OfflineModel(Model):
    """Answers from the conversation it is given; needs no network and thinks nothing of its own.

    Its usage counts words, one word being one token.

    Args:
        model_id: the name it reports in its configuration.
        words_per_second: how fast it speaks, as models do; 0 for at once.
    """

    def __init__(self, model_id: str = "history", *, words_per_second: float = 0) -> None:
        self._config: dict[str, Any] = {"model_id": model_id}
        self._pause_seconds = 1 / words_per_second if words_per_second else 0

    def update_config(self, **model_config: Any) -> None:
        """Change the configuration that ``get_config`` reports."""
        self._config.update(model_config)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return self._config

    async def stream(
        self,
        messages: Messages,
        tool_specs: list[ToolSpec] | None = None,
        system_prompt: str | None = None,
        *,
        tool_choice: ToolChoice | None = None,
        system_prompt_content: list[SystemContentBlock] | None = None,  # noqa: ARG002 - it follows no instructions
        invocation_state: dict[str, Any] | None = None,  # noqa: ARG002 - and takes nothing else into account
        **kwargs: Any,  # noqa: ARG002 - newer versions of Strands pass more
    ) -> AsyncGenerator[StreamEvent, None]:
        """Answer from the messages, word by word.

        Raises:
            ValueError: when a tool is forced, as structured output does: inventing its input would be a lie.
        """
        if tool_choice and "auto" not in tool_choice:
            raise ValueError("the offline model cannot produce structured output; choose a real model with MODEL=")
        request = find_tool_request(recollection.prompt(messages), tool_specs or [])
        if isinstance(request, ToolRequest):
            answer = f"{recollection.SIGNATURE} You asked for the tool {request.name}, so I call it."
        else:
            answer = f"{recollection.SIGNATURE} {request}" if request else recollection.answer(messages)

        yield {"messageStart": {"role": "assistant"}}
        for event in _text_events(answer):
            yield event
            await asyncio.sleep(self._pause_seconds)
        if isinstance(request, ToolRequest):
            for event in _tool_events(request, _unused_tool_use_id(messages)):
                yield event
        yield {"messageStop": {"stopReason": "tool_use" if isinstance(request, ToolRequest) else "end_turn"}}
        yield _usage(messages, system_prompt, answer)

    def structured_output(
        self,
        output_model: type[OutputModel],
        prompt: Messages,  # noqa: ARG002 - whatever is asked
        system_prompt: str | None = None,  # noqa: ARG002 - and however
        **kwargs: Any,  # noqa: ARG002 - newer versions of Strands pass more
    ) -> AsyncGenerator[dict[str, OutputModel | Any], None]:
        """Refuse: made-up data would look like an answer, and this model does not understand the question.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"the offline model cannot produce structured output ({output_model.__name__}); "
            "choose a real model with MODEL="
        )


def _text_events(text: str) -> Iterator[StreamEvent]:
    words = text.split(" ")
    for number, word in enumerate(words, start=1):
        yield {"contentBlockDelta": {"delta": {"text": word if number == len(words) else f"{word} "}}}
    yield {"contentBlockStop": {}}


def _tool_events(request: ToolRequest, tool_use_id: str) -> Iterator[StreamEvent]:
    yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": tool_use_id, "name": request.name}}}}
    yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps(request.tool_input)}}}}
    yield {"contentBlockStop": {}}


def _unused_tool_use_id(messages: Messages) -> str:
    """Return an id that no tool call of the conversation has, since restored sessions hold earlier ones."""
    taken = {
        block["toolUse"]["toolUseId"] for message in messages for block in message["content"] if "toolUse" in block
    }
    return next(name for number in itertools.count(1) if (name := f"offline_{number}") not in taken)


def _usage(messages: Messages, system_prompt: str | None, answer: str) -> StreamEvent:
    texts = [system_prompt or ""] + [recollection.text_of(message) for message in messages]
    read, written = sum(len(text.split()) for text in texts), len(answer.split())
    return {
        "metadata": {
            "usage": {"inputTokens": read, "outputTokens": written, "totalTokens": read + written},
            "metrics": {"latencyMs": 0},
        }
    }
