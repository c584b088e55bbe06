"""The conversation that is measured: turns of four messages, one tool call in each."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel
from strands import Agent, tool
from strands.agent.conversation_manager import NullConversationManager, SlidingWindowConversationManager
from strands.models import Model
from strands.session.session_manager import SessionManager
from strands.types.content import Message, MessageMetadata, Messages, SystemContentBlock
from strands.types.streaming import StreamEvent
from strands.types.tools import ToolChoice, ToolSpec

if TYPE_CHECKING:
    from strands.types.tools import ToolUse

AGENT_ID = "assistant"
TURN_MESSAGES = 4

OutputModel = TypeVar("OutputModel", bound=BaseModel)

_QUESTION = (
    "What is the state of order {number}? The customer in line wants to know when it arrives and who carries it."
)
_FACTS = "Order {number}: packed on Monday, handed to the carrier on Tuesday, in transit, expected on Thursday. " * 3
_ANSWER = (
    "Order {number} is on its way. It was packed on Monday and handed to the carrier on Tuesday; the carrier expects "
    "to deliver it on Thursday before noon. If nobody is at home it goes to the pick-up point of the customer's "
    "choice, where it is kept for seven days. The tracking link is in the message that the customer got on Tuesday."
)


@tool
def look_up(number: int) -> str:
    """Look an order up.

    Args:
        number: The order's number.
    """
    return _FACTS.format(number=number)


def question(number: int) -> str:
    """Return what the user says in turn ``number``."""
    return _QUESTION.format(number=number)


def history(count: int) -> Messages:
    """Return the first ``count`` messages of the conversation; ``count`` is a multiple of four, or two more.

    They are what turns with ``InstantModel`` leave, but for ids. Two more: a last turn without a tool call.
    """
    whole_turns, rest = divmod(count, TURN_MESSAGES)
    if rest not in (0, 2):
        raise ValueError(f"count={count} | turns have 4 messages, the last one may have 2")
    messages: Messages = []
    for number in range(whole_turns + (1 if rest else 0)):
        called: ToolUse = {"toolUseId": f"tooluse_{number:022d}", "name": "look_up", "input": {"number": number}}
        turn: list[Message] = [
            {"role": "user", "content": [{"text": question(number)}]},
            {"role": "assistant", "content": [{"toolUse": called}], "metadata": _metadata()},
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": called["toolUseId"],
                            "status": "success",
                            "content": [{"text": _FACTS.format(number=number)}],
                        }
                    }
                ],
            },
            {"role": "assistant", "content": [{"text": _ANSWER.format(number=number)}], "metadata": _metadata()},
        ]
        messages += turn if number < whole_turns else [turn[0], turn[3]]
    return messages


def _metadata() -> MessageMetadata:
    """Return what Strands notes with a model's reply."""
    return {
        "usage": {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0},
        "metrics": {"latencyMs": 0, "timeToFirstByteMs": 0},
    }


class InstantModel(Model):
    """Calls the tool once a turn, then answers; it thinks as long as it is told and keeps the time.

    Args:
        think_seconds: Before each reply.

    Attributes:
        think_seconds: As given.
        calls: Monotonic seconds at the start and the end of each call.
    """

    def __init__(self, think_seconds: float = 0.0) -> None:
        self.think_seconds = think_seconds
        self.calls: list[tuple[float, float]] = []

    @property
    def seconds(self) -> float:
        """Time spent in the model so far."""
        return sum(end - start for start, end in self.calls)

    def update_config(self, **model_config: Any) -> None:
        """Refuse: there is nothing to configure."""
        raise NotImplementedError(f"nothing to configure: {model_config}")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration."""
        return {"model_id": "instant"}

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
    ) -> AsyncIterable[StreamEvent]:
        """Reply to the last message: a question with a tool call, a tool's result with the answer."""
        del tool_specs, system_prompt, tool_choice, system_prompt_content, invocation_state, kwargs
        start = time.monotonic()
        number = len(messages) // TURN_MESSAGES
        events = _answer(number) if "toolResult" in messages[-1]["content"][0] else _tool_call(number)
        if self.think_seconds:
            await asyncio.sleep(self.think_seconds)
        self.calls.append((start, time.monotonic()))
        for event in events:
            yield cast("StreamEvent", event)

    async def structured_output(
        self, output_model: type[OutputModel], prompt: Messages, system_prompt: str | None = None, **kwargs: Any
    ) -> AsyncGenerator[dict[str, OutputModel | Any], None]:
        """Refuse: no turn here asks for it."""
        raise NotImplementedError(f"{output_model} {prompt} {system_prompt} {kwargs}")
        yield {}  # type: ignore[unreachable]  # what makes this a generator, as the base class has it


def _tool_call(number: int) -> list[dict[str, Any]]:
    start = {"toolUse": {"toolUseId": f"tooluse_{number:022d}", "name": "look_up"}}
    return [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockStart": {"start": start}},
        {"contentBlockDelta": {"delta": {"toolUse": {"input": f'{{"number": {number}}}'}}}},
        {"contentBlockStop": {}},
        {"messageStop": {"stopReason": "tool_use"}},
    ]


def _answer(number: int) -> list[dict[str, Any]]:
    return [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockStart": {"start": {}}},
        {"contentBlockDelta": {"delta": {"text": _ANSWER.format(number=number)}}},
        {"contentBlockStop": {}},
        {"messageStop": {"stopReason": "end_turn"}},
    ]


def build_agent(
    session_manager: SessionManager | None, model: Model, *, window: int | None, messages: Messages | None = None
) -> Agent:
    """Build the agent: restoring happens here.

    Args:
        session_manager: The contender's; ``None`` keeps nothing.
        model: What answers.
        window: Messages that a sliding window keeps; ``None`` keeps all.
        messages: What a new session begins with.
    """
    manager = NullConversationManager() if window is None else SlidingWindowConversationManager(window_size=window)
    return Agent(
        agent_id=AGENT_ID,
        model=model,
        messages=messages,
        tools=[look_up],
        session_manager=session_manager,
        conversation_manager=manager,
        callback_handler=None,
    )
