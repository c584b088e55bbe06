"""A Strands model that plays a script instead of thinking.

    model = ScriptedModel("Hello.", tool_use("clock", zone="UTC"), throttled(), ["Half an ans", ConnectionError()])
    Agent(model=model)("Hi")
    model.requests[0].messages        # what the agent sent, as it was then

One item of the script answers one model call. An item is a *part* or a list of parts, played in order:

==========================  ====================================================================================
part                        does
==========================  ====================================================================================
``str``                     a text block, streamed word by word
``reasoning(…)``            a reasoning block
``tool_use(…)``             a tool call; several in one list are several calls of one message
any content block ``dict``  is streamed as it is (text, toolUse and reasoningContent blocks)
``Redact(…)``               a guardrail rewrites the user's input or the reply, as ``BedrockModel`` reports it
``Pause(seconds)``          the model thinks
``Stop(reason)``            the stop reason, where it is not the obvious one
``HangUp()``                the stream ends there, with no word about why
an exception                is raised there
==========================  ====================================================================================

An item may also be a function of the request that returns an item.
"""

import asyncio
import copy
import itertools
import json
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, cast

from pydantic import BaseModel
from strands.models import Model
from strands.types.content import ContentBlock, Messages, SystemContentBlock
from strands.types.event_loop import StopReason
from strands.types.exceptions import ContextWindowOverflowException, ModelThrottledException
from strands.types.streaming import StreamEvent
from strands.types.tools import ToolChoice, ToolSpec

OutputModel = TypeVar("OutputModel", bound=BaseModel)


@dataclass(frozen=True)
class Redact:
    """A guardrail's verdict: replace the user's input, the reply so far, or both.

    Attributes:
        user: what the user's message becomes; None leaves it alone.
        assistant: what the reply so far becomes; None leaves it alone.
    """

    user: str | None = "[User input redacted.]"
    assistant: str | None = None


@dataclass(frozen=True)
class Pause:
    """The model thinks for so many seconds before the next part."""

    seconds: float


@dataclass(frozen=True)
class Stop:
    """The stop reason of this reply, such as ``max_tokens`` or ``guardrail_intervened``."""

    reason: StopReason


@dataclass(frozen=True)
class HangUp:
    """The stream ends in the middle: no stop reason, no usage, no exception."""


@dataclass(frozen=True)
class Request:
    """What the agent sent in one model call, copied at that moment.

    Attributes:
        messages: the conversation.
        system_prompt: the system prompt, if any.
        tool_specs: the tools that were offered.
        tool_choice: how the model must choose among them, if the agent said so.
        model_state: what a stateful model had remembered in the agent before this call.
    """

    messages: Messages
    system_prompt: str | None = None
    tool_specs: list[ToolSpec] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    model_state: dict[str, Any] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """The text blocks of all messages, in order."""
        return [block["text"] for message in self.messages for block in message["content"] if "text" in block]


Part: TypeAlias = str | ContentBlock | dict[str, Any] | Redact | Pause | Stop | HangUp | BaseException
Reply: TypeAlias = Part | Sequence[Part]
ScriptItem: TypeAlias = Reply | Callable[[Request], Reply]


class ScriptExhaustedError(AssertionError):
    """The agent called the model more often than the script foresees."""


_tool_use_numbers = itertools.count(1)


def tool_use(name: str, /, *, tool_use_id: str | None = None, **tool_input: Any) -> ContentBlock:
    """Return a tool call.

    Args:
        name: the tool to call.
        tool_use_id: its id; a new one when not given.
        **tool_input: the tool's arguments.
    """
    identifier = tool_use_id or f"tooluse_{next(_tool_use_numbers)}"
    return {"toolUse": {"name": name, "toolUseId": identifier, "input": tool_input}}


def reasoning(text: str, *, signature: str | None = None) -> ContentBlock:
    """Return a reasoning block, signed when a signature is given."""
    block: dict[str, str] = {"text": text} | ({"signature": signature} if signature else {})
    return cast("ContentBlock", {"reasoningContent": {"reasoningText": block}})


def throttled(message: str = "Too many requests, please wait before trying again.") -> ModelThrottledException:
    """Return what a model provider raises when it is throttled."""
    return ModelThrottledException(message)


def overflow(message: str = "Input is too long for requested model.") -> ContextWindowOverflowException:
    """Return what a model provider raises when the conversation does not fit its window."""
    return ContextWindowOverflowException(message)


class ScriptedModel(Model):
    """A model that answers each call with the next item of its script; safe to share between threads.

    Args:
        *script: the items (see the module).
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
        self.requests: list[Request] = []
        self._script = list(script)
        self._otherwise = otherwise
        self._stateful = stateful
        self._think_seconds = think_seconds
        self._sleep = sleep
        self._usage = (input_tokens, output_tokens)
        self._config: dict[str, Any] = {"model_id": "scripted", **config}
        self._lock = threading.Lock()

    @property
    def stateful(self) -> bool:
        """Whether the model claims to keep the conversation on its side."""
        return self._stateful

    @property
    def unplayed(self) -> int:
        """How many items of the script no call has asked for yet."""
        return max(0, len(self._script) - len(self.requests))

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
        parts = self._next_parts(
            Request(
                messages=copy.deepcopy(messages),
                system_prompt=system_prompt,
                tool_specs=copy.deepcopy(tool_specs or []),
                tool_choice=copy.deepcopy(tool_choice),
                model_state=copy.deepcopy(model_state or {}),
            )
        )
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
        yield {"messageStop": {"stopReason": _stop_reason(parts)}}
        if self._stateful and model_state is not None:
            model_state["response_id"] = f"resp_{len(self.requests)}"
        input_tokens, output_tokens = self._usage
        yield {
            "metadata": {
                "usage": {
                    "inputTokens": input_tokens,
                    "outputTokens": output_tokens,
                    "totalTokens": input_tokens + output_tokens,
                },
                "metrics": {"latencyMs": round(self._think_seconds * 1000)},
            }
        }

    async def structured_output(
        self, output_model: type[OutputModel], prompt: Messages, system_prompt: str | None = None, **kwargs: Any
    ) -> AsyncGenerator[dict[str, OutputModel | Any], None]:
        """Validate the next item (a tool call's input, or a text with JSON) as the wanted model."""
        parts = self._next_parts(Request(messages=copy.deepcopy(prompt), system_prompt=system_prompt))
        for part in parts:
            if isinstance(part, BaseException):
                raise part
            if isinstance(part, str):
                yield {"output": output_model.model_validate_json(part)}
            elif isinstance(part, dict) and "toolUse" in part:
                yield {"output": output_model.model_validate(part["toolUse"]["input"])}

    def _next_parts(self, request: Request) -> list[Part]:
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        item = self._script[number] if number < len(self._script) else self._otherwise
        if item is None:
            raise ScriptExhaustedError(f"model call {number + 1}, but the script has {len(self._script)} replies")
        reply: Reply = item(request) if callable(item) else item
        return list(reply) if isinstance(reply, Sequence) and not isinstance(reply, str) else [reply]


def _stop_reason(parts: Sequence[Part]) -> StopReason:
    """Return the reason the script states, else the one a model would give for such a reply."""
    stated = [part.reason for part in parts if isinstance(part, Stop)]
    if stated:
        return stated[-1]
    return "tool_use" if any(isinstance(part, dict) and "toolUse" in part for part in parts) else "end_turn"


def _events(part: Part) -> Iterator[StreamEvent]:
    if isinstance(part, Redact):
        verdict = {"redactUserContentMessage": part.user, "redactAssistantContentMessage": part.assistant}
        yield cast("StreamEvent", {"redactContent": verdict})
    elif not isinstance(part, Stop):
        yield from _block_events({"text": part} if isinstance(part, str) else part)


def _block_events(block: Any) -> Iterator[StreamEvent]:
    """Yield the stream events of one content block, in several deltas as real models send them."""
    if "toolUse" in block:
        call = block["toolUse"]
        yield {"contentBlockStart": {"start": {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}}}
        for piece in _halves(json.dumps(call["input"])):
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}}}
    elif "reasoningContent" in block:
        yield {"contentBlockStart": {"start": {}}}
        content = block["reasoningContent"]
        if "redactedContent" in content:
            yield {
                "contentBlockDelta": {"delta": {"reasoningContent": {"redactedContent": content["redactedContent"]}}}
            }
        else:
            for piece in words(content["reasoningText"]["text"]):
                yield {"contentBlockDelta": {"delta": {"reasoningContent": {"text": piece}}}}
            if signature := content["reasoningText"].get("signature"):
                yield {"contentBlockDelta": {"delta": {"reasoningContent": {"signature": signature}}}}
    elif "text" in block:
        yield {"contentBlockStart": {"start": {}}}
        for piece in words(block["text"]):
            yield {"contentBlockDelta": {"delta": {"text": piece}}}
    else:
        raise ValueError(f"a script can stream text, toolUse and reasoningContent blocks, not {sorted(block)}")
    yield {"contentBlockStop": {}}


def words(text: str) -> list[str]:
    """Cut a text after each blank, so that it joins up to itself again."""
    return [piece for piece in text.replace(" ", " \0").split("\0") if piece] or [""]


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    return text[:middle], text[middle:]
