"""A Strands model that plays a script instead of thinking.

    model = ScriptedModel("Hello.", tool_use("clock", zone="UTC"), throttled(), ["Half an ans", ConnectionError()])
    Agent(model=model)("Hi")
    model.requests[0].messages        # what the agent sent, as it was then

The parts a reply is made of are described in ``tests.doubles.script``; here a guardrail's ``Redact`` is one of
them, and an exception is what the model provider raises. Runs on every Strands version the kit supports.
"""

import asyncio
import copy
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from strands.models import Model
from strands.types.content import Messages, SystemContentBlock
from strands.types.exceptions import ContextWindowOverflowException, ModelThrottledException
from strands.types.streaming import StreamEvent
from strands.types.tools import ToolChoice, ToolSpec

from tests.doubles.content_events import block_events
from tests.doubles.script import (
    HangUp,
    Part,
    Pause,
    Redact,
    Reply,
    Request,
    Script,
    ScriptExhaustedError,
    ScriptItem,
    Stop,
    reasoning,
    stop_reason,
    tool_use,
)
from tests.planted import plant

__all__ = [
    "HangUp",
    "Pause",
    "Redact",
    "Reply",
    "Request",
    "ScriptExhaustedError",
    "ScriptItem",
    "ScriptedModel",
    "Stop",
    "overflow",
    "reasoning",
    "throttled",
    "tool_use",
]

_SHOWN_LAST = 3
"""Messages of a request that are new: the prompt, or what the model said before and a tool's result."""

OutputModel = TypeVar("OutputModel", bound=BaseModel)


def throttled(message: str = "Too many requests, please wait before trying again.") -> ModelThrottledException:
    """Return what a model provider raises when it is throttled."""
    return ModelThrottledException(message)


def overflow(message: str = "Input is too long for requested model.") -> ContextWindowOverflowException:
    """Return what a model provider raises when the conversation does not fit its window."""
    return ContextWindowOverflowException(message)


class ScriptedModel(Model):
    """A model that answers each call with the next item of its script; safe to share between threads.

    Args:
        *script: the items (see ``tests.doubles.script``).
        otherwise: answers every call after the script's end; without it such a call fails the test.
        stateful: claim that the provider keeps the conversation. Like such providers, it then leaves a
            ``response_id`` in the agent's model state.
        think_seconds: how long the model thinks before each reply.
        sleep: how it waits; a test with a fake clock gives its own.
        input_tokens: usage reported for each call's input.
        output_tokens: usage reported for each call's output.
        **config: the model's configuration, as ``get_config`` returns it.
    """

    def __init__(
        self,
        *script: ScriptItem,
        otherwise: ScriptItem | None = None,
        stateful: bool = False,
        think_seconds: float = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        input_tokens: int = 12,
        output_tokens: int = 7,
        **config: Any,
    ) -> None:
        self._script: Script[Request] = Script(script, otherwise)
        self._stateful = stateful
        self._think_seconds = think_seconds
        self._sleep = sleep
        self._usage = (input_tokens, output_tokens)
        self._config: dict[str, Any] = {"model_id": "scripted", **config}

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in order."""
        return self._script.requests

    @property
    def unplayed(self) -> int:
        """How many items of the script no call has asked for yet."""
        return self._script.unplayed

    @property
    def stateful(self) -> bool:
        """Whether the model claims to keep the conversation on its side."""
        return self._stateful

    def update_config(self, **model_config: Any) -> None:
        """Change the configuration."""
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
        system_prompt_content: list[SystemContentBlock] | None = None,
        invocation_state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Play the next item of the script.

        Raises:
            ScriptExhaustedError: when there is none.
            BaseException: whatever the script says.
        """
        model_state: dict[str, Any] | None = kwargs.get("model_state")
        plant(*(message["content"] for message in messages[-_SHOWN_LAST:]))
        parts = self._script.answer(
            Request(
                messages=copy.deepcopy(messages),
                system_prompt=system_prompt,
                tool_specs=copy.deepcopy(tool_specs or []),
                tool_choice=copy.deepcopy(tool_choice),
                model_state=copy.deepcopy(model_state or {}),
            )
        )
        plant(*(part for part in parts if isinstance(part, str | dict)))
        if self._think_seconds:
            await self._sleep(self._think_seconds)
        started = False
        for part in parts:
            if isinstance(part, BaseException):
                raise part
            if isinstance(part, HangUp):
                return
            if isinstance(part, Pause):
                await self._sleep(part.seconds)
                continue
            if not started:
                started = True
                yield {"messageStart": {"role": "assistant"}}
            for event in _events(part):
                yield event
        yield {"messageStop": {"stopReason": stop_reason(parts)}}
        if self._stateful and model_state is not None:
            model_state["response_id"] = f"resp_{len(self.requests)}"
        yield self._metadata()

    async def structured_output(
        self, output_model: type[OutputModel], prompt: Messages, system_prompt: str | None = None, **kwargs: Any
    ) -> AsyncGenerator[dict[str, OutputModel | Any], None]:
        """Validate the next item (a tool call's input, or a text with JSON) as the wanted model."""
        for part in self._script.answer(Request(messages=copy.deepcopy(prompt), system_prompt=system_prompt)):
            if isinstance(part, BaseException):
                raise part
            if isinstance(part, str):
                yield {"output": output_model.model_validate_json(part)}
            elif isinstance(part, dict) and "toolUse" in part:
                yield {"output": output_model.model_validate(part["toolUse"]["input"])}

    def _metadata(self) -> StreamEvent:
        input_tokens, output_tokens = self._usage
        return {
            "metadata": {
                "usage": {
                    "inputTokens": input_tokens,
                    "outputTokens": output_tokens,
                    "totalTokens": input_tokens + output_tokens,
                },
                "metrics": {"latencyMs": round(self._think_seconds * 1000)},
            }
        }


def _events(part: Part) -> Iterator[StreamEvent]:
    """Yield the stream events of one part, a content block in several deltas as real models send them."""
    if isinstance(part, Redact):
        verdict = {"redactUserContentMessage": part.user, "redactAssistantContentMessage": part.assistant}
        yield cast("StreamEvent", {"redactContent": verdict})
    elif isinstance(part, str):
        yield from block_events({"text": part})
    elif isinstance(part, dict):
        yield from block_events(part)
    elif not isinstance(part, Stop):
        raise TypeError(f"a scripted model cannot play {part!r}")
