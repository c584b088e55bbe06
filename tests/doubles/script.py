"""The vocabulary in which tests say what a model answers.

One item of a script answers one model call. An item is a *part* or a list of parts, played in order:

==========================  ====================================================================================
part                        does
==========================  ====================================================================================
``str``                     a text block, streamed word by word
``reasoning(…)``            a reasoning block
``tool_use(…)``             a tool call; several in one list are several calls of one message
any content block ``dict``  is streamed as it is (text, toolUse and reasoningContent blocks)
``Pause(seconds)``          the model thinks
``Stop(reason)``            the stop reason, where it is not the obvious one
``HangUp()``                the stream ends there, with no word about why
an exception                is raised there
==========================  ====================================================================================

An item may also be a function of the request that returns an item. ``scripted_model`` and ``bedrock_server``
each add parts of their own.
"""

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar, cast

from strands.types.content import ContentBlock, Messages
from strands.types.event_loop import StopReason
from strands.types.tools import ToolChoice, ToolSpec


@dataclass(frozen=True)
class Redact:
    """A guardrail's verdict as a Strands model reports it: replace the user's input, the reply so far, or both.

    Attributes:
        user: what the user's message becomes; None leaves it alone.
        assistant: what the reply so far becomes; None leaves it alone.
    """

    user: str | None = "[User input redacted.]"
    assistant: str | None = None


@dataclass(frozen=True)
class Guardrail:
    """A Bedrock guardrail intervenes: put it behind the text it lets the user see.

    Attributes:
        where: whether the user's input or the model's output offended.
        action: ``BLOCKED``, or ``ANONYMIZED`` when only parts of the text were masked.
        trace: whether the reply says which policy acted (``guardrail_trace`` enabled).
    """

    where: Literal["input", "output"] = "input"
    action: Literal["BLOCKED", "ANONYMIZED"] = "BLOCKED"
    trace: bool = True


@dataclass(frozen=True)
class Pause:
    """The model thinks for so many seconds before the next part."""

    seconds: float


@dataclass(frozen=True)
class Stop:
    """The stop reason of this reply, such as ``max_tokens`` or ``stop_sequence``."""

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


Part: TypeAlias = str | ContentBlock | dict[str, Any] | Redact | Guardrail | Pause | Stop | HangUp | BaseException
Reply: TypeAlias = Part | Sequence[Part]
ScriptItem: TypeAlias = Reply | Callable[[Any], Reply]
SomeRequest = TypeVar("SomeRequest", bound=Request)


class ScriptExhaustedError(AssertionError):
    """The agent called the model more often than the script foresees."""


class Script(Generic[SomeRequest]):
    """The items still to be played and the requests they answered; safe to share between threads.

    Args:
        items: one item for each call.
        otherwise: answers every call after the last item; None makes such a call an error.
    """

    def __init__(self, items: Sequence[ScriptItem], otherwise: ScriptItem | None = None) -> None:
        self.requests: list[SomeRequest] = []
        self._items = list(items)
        self._otherwise = otherwise
        self._lock = threading.Lock()

    @property
    def unplayed(self) -> int:
        """How many items no call has asked for yet."""
        return max(0, len(self._items) - len(self.requests))

    def extend(self, items: Sequence[ScriptItem]) -> None:
        """Add items at the end."""
        with self._lock:
            self._items.extend(items)

    def answer(self, request: SomeRequest) -> list[Part]:
        """Record a request and return the parts that answer it.

        Raises:
            ScriptExhaustedError: when no item is left.
        """
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
            item = self._items[number] if number < len(self._items) else self._otherwise
        if item is None:
            raise ScriptExhaustedError(f"model call {number + 1}, but the script has {len(self._items)} replies")
        reply: Reply = item(request) if callable(item) else item
        return list(reply) if isinstance(reply, Sequence) and not isinstance(reply, str) else [reply]


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


def stop_reason(parts: Sequence[Part]) -> StopReason:
    """Return the reason the script states, else the one a model would give for such a reply."""
    stated = [part.reason for part in parts if isinstance(part, Stop)]
    if stated:
        return stated[-1]
    return "tool_use" if any(isinstance(part, dict) and "toolUse" in part for part in parts) else "end_turn"


def words(text: str) -> list[str]:
    """Cut a text after each blank, so that it joins up to itself again."""
    return [piece for piece in text.replace(" ", " \0").split("\0") if piece] or [""]


def halves(text: str) -> tuple[str, str]:
    """Cut a text in the middle, as models stream the JSON of a tool's input."""
    middle = len(text) // 2
    return text[:middle], text[middle:]
