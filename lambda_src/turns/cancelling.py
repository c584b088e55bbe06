"""Cancelling a turn that runs: how the turn learns of it, and how it ends in good order.

The request that cancels stores a note that names the turn. The turn looks for the note about once a second. If the
model is speaking, the turn stops listening: what the model has said so far is the turn's last message. Tools that run
get a moment to end by themselves, and keep their results. A tool that does not is answered with an error in its place.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from agent_sessions.exceptions import SessionException
from lambda_src.answers.diagnosis import diagnosis
from lambda_src.answers.logs import logger
from lambda_src.runtime.stoppable import StoppedError, StopSignal, stoppable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    from strands import Agent
    from strands.hooks import AfterModelCallEvent

Result = TypeVar("Result")

LOOK_SECONDS = 1.0
"""How often a turn looks whether it is to be cancelled."""

TOOL_SECONDS = 0.5
"""How long a tool may take to end by itself."""

NOTHING_SAID = "(This turn was cancelled before there was an answer.)"
TOOL_CANCELLED = "Cancelled: the tool was not waited for. It may have done its work all the same."


class Cancellation:
    """Whether a turn is to be cancelled.

    Args:
        signal: Of the turn, where several agents take it together.

    Attributes:
        signal: Says stop to everything that the turn is doing.
        took_effect: Whether anything was cut short. A turn that had come to its end has been answered.
    """

    def __init__(self, signal: StopSignal | None = None) -> None:
        self.signal = StopSignal() if signal is None else signal
        self.took_effect = False
        self._model_is_asked = False

    @asynccontextmanager
    async def looked_for(
        self, is_asked_for: Callable[[str, str], bool] | None, agent: Agent, turn_id: str, *, at_once: bool = False
    ) -> AsyncIterator[None]:
        """Meanwhile look once a second whether the turn is to be cancelled.

        Args:
            is_asked_for: Tells so of a turn; called on a thread.
            agent: Who takes the turn.
            turn_id: The turn.
            at_once: Whether to look once before anything is done, too. It costs a read.
        """
        if is_asked_for is not None and at_once and await _is_asked_for(is_asked_for, agent, turn_id):
            self.signal.set()
        looking = None if is_asked_for is None else asyncio.ensure_future(self._look(is_asked_for, agent, turn_id))
        try:
            yield
        finally:
            if looking is not None:
                looking.cancel()

    async def _look(self, is_asked_for: Callable[[str, str], bool], agent: Agent, turn_id: str) -> None:
        while not self.signal.is_set:
            await asyncio.sleep(LOOK_SECONDS)
            if await _is_asked_for(is_asked_for, agent, turn_id):
                self.request(agent)

    def request(self, agent: Agent) -> None:
        """End the turn at the next occasion: now, unless tools are running."""
        self.signal.set()
        if not self._model_is_asked:
            agent.cancel()

    async def cut(self, answer: AsyncIterator[Any], agent: Agent) -> AsyncGenerator[Any]:
        """Pass on a model's answer. When the turn is cancelled, the answer ends early, as a whole message."""
        said = _Said()
        self._model_is_asked = True
        try:
            async with aclosing(stoppable(answer, self.signal)) as events:
                async for event in events:
                    said.add(event)
                    yield event
        except StoppedError:
            self.took_effect = True
            for event in said.ending():
                yield event
            # Not earlier: a model call that learns of this in the middle is thrown away by Strands, with all it has
            # said.
            agent.cancel()
        finally:
            self._model_is_asked = False

    async def cut_retry(self, deciding: Coroutine[Any, Any, Result], event: AfterModelCallEvent) -> Result | None:
        """Let hooks decide whether a model that failed is asked again. They may wait before they say so.

        If the turn is cancelled meanwhile, they are not waited for, and the model is said to be asked again: that call
        ends before it begins, as a whole message.

        Returns:
            What the hooks came to; ``None`` if they were not waited for.
        """
        decided, stopped = asyncio.ensure_future(deciding), asyncio.Event()
        loop = asyncio.get_running_loop()
        unlisten = self.signal.listen(lambda: loop.call_soon_threadsafe(stopped.set))
        if self.signal.is_set:
            stopped.set()
        stopping = asyncio.ensure_future(stopped.wait())
        self._model_is_asked = True  # or is about to be: Strands learns of the cancellation in that call
        try:
            await asyncio.wait({decided, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if decided.done():
                return decided.result()
            event.retry = True
            return None
        finally:
            self._model_is_asked = False
            unlisten()
            stopping.cancel()
            if not decided.done():
                decided.cancel()
                await asyncio.wait({decided}, timeout=TOOL_SECONDS)

    async def cut_tool(self, tool_use_id: str, events: AsyncIterator[Any]) -> AsyncGenerator[Any]:
        """Pass on a tool's events. If the turn is cancelled and the tool does not end, they end in an error result."""
        from strands.types._events import ToolResultEvent

        try:
            async with aclosing(stoppable(events, self.signal, grace_seconds=TOOL_SECONDS)) as passed_on:
                async for event in passed_on:
                    yield event
        except StoppedError:
            self.took_effect = True
            content = [{"text": TOOL_CANCELLED}]
            yield ToolResultEvent({"toolUseId": tool_use_id, "status": "error", "content": content})  # type: ignore[typeddict-item]


async def _is_asked_for(is_asked_for: Callable[[str, str], bool], agent: Agent, turn_id: str) -> bool:
    try:
        return await asyncio.to_thread(is_asked_for, agent.agent_id, turn_id)
    except SessionException as error:
        logger.warning("could not look whether the turn is to be cancelled", extra=diagnosis(error))
        return False


class _Said:
    """What has been passed on of a model's message."""

    def __init__(self) -> None:
        self._has_begun = False
        self._block: str | None = None
        self._has_said_something = False
        self._calls_tools = False
        self._has_stopped = False

    def add(self, event: Any) -> None:
        if not isinstance(event, dict):
            return
        if "messageStart" in event:
            self._has_begun = True
        elif "contentBlockStart" in event:
            self._block = "tool" if "toolUse" in event["contentBlockStart"].get("start", {}) else "text"
        elif "contentBlockDelta" in event:
            self._block = self._block or "text"
            self._has_said_something = self._has_said_something or "text" in event["contentBlockDelta"]["delta"]
        elif "contentBlockStop" in event:
            self._calls_tools = self._calls_tools or self._block == "tool"
            self._block = None
        elif "messageStop" in event:
            self._has_stopped = True

    def ending(self) -> list[Any]:
        """The events that make it a whole message. A tool call that was not finished is left out."""
        if self._has_stopped:
            return []
        events: list[Any] = [] if self._has_begun else [{"messageStart": {"role": "assistant"}}]
        if self._block == "text":
            events.append({"contentBlockStop": {}})
        if not self._has_said_something and not self._calls_tools:
            events += [{"contentBlockDelta": {"delta": {"text": NOTHING_SAID}}}, {"contentBlockStop": {}}]
        # A finished call needs this stop reason: Strands then answers it, with the error that it was cancelled.
        events.append({"messageStop": {"stopReason": "tool_use" if self._calls_tools else "cancelled"}})
        return events
