"""Contains other people's code in a turn: it ends nothing but its own work, and none of it is overheard.

When a tool raises anything, the model gets an error result. Strands does that for an ``Exception`` only: it lets
everything else through, past the results of the other tools. When a hook raises, its turn ends, and nothing else.
The same when a tool raises an answer of the endpoint's own, because a secret is missing: the model cannot help there.
Strands prints the conversation by default, and what is printed here is the function's log.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lambda_src.answers.diagnosis import unwrapped
from lambda_src.answers.errors import EndpointError
from lambda_src.metrics import recorded
from lambda_src.runtime.escapes import Contained, contained
from lambda_src.runtime.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from strands import Agent
    from strands.hooks import AfterToolCallEvent, BeforeToolCallEvent

    from lambda_src.turns.cancelling import Cancellation


class ContainedTool(StandIn):
    """A tool that raises ordinary errors only, and says nothing more once its turn is cancelled."""

    def __init__(self, original: Any, cancellation: Cancellation) -> None:
        super().__init__(original)
        object.__setattr__(self, "_cancellation", cancellation)

    def stream(self, tool_use: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Run the tool."""
        cancellation: Cancellation = object.__getattribute__(self, "_cancellation")
        events = contained(self._original.stream(tool_use, *args, **kwargs))
        return _measured(cancellation.cut_tool(tool_use["toolUseId"], events))


async def _measured(events: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
    with recorded.running("tool"):
        async with aclosing(events):
            async for event in events:
                yield event


def endpoint_error_of(event: AfterToolCallEvent) -> EndpointError | None:
    """The answer with which a tool ends its turn, if it does."""
    error = None if event.exception is None else unwrapped(event.exception)
    return error if isinstance(error, EndpointError) else None


def silence_agents() -> None:
    """Have no agent print what is said, wherever it is made: in a function, that would be in its log.

    Strands' default prints every word. An agent inside of an orchestrator of one's own is found by nobody.
    """
    from strands.handlers import PrintingCallbackHandler

    PrintingCallbackHandler.__call__ = _say_nothing  # type: ignore[assignment, method-assign] # it is made where nobody can choose


def _say_nothing(_self: object, **_event: object) -> None:
    """In the place of printing."""


def contain(agent: Agent, cancellation: Cancellation) -> None:
    """Contain an agent's tools and hooks, and stop it from printing. The agent is made for one turn."""
    from strands.handlers import PrintingCallbackHandler, null_callback_handler
    from strands.hooks import AfterModelCallEvent, AfterToolCallEvent, BeforeToolCallEvent

    if type(agent.callback_handler) is PrintingCallbackHandler:  # the default: nobody chose it
        agent.callback_handler = null_callback_handler

    def contain_tool(event: BeforeToolCallEvent) -> None:
        """Contain the tool that the hooks before this one have chosen."""
        if event.selected_tool is not None:
            event.selected_tool = ContainedTool(event.selected_tool, cancellation)  # type: ignore[assignment] # it stands for one

    def end_turn(event: AfterToolCallEvent) -> None:
        """End the turn if that is what the tool's error says."""
        if (answer := endpoint_error_of(event)) is not None:
            raise answer

    agent.hooks.add_callback(BeforeToolCallEvent, contain_tool)
    agent.hooks.add_callback(AfterToolCallEvent, end_turn)
    tell = agent.hooks.invoke_callbacks_async

    async def tell_contained(event: Any) -> Any:
        with Contained():
            if isinstance(event, AfterModelCallEvent) and event.exception is not None:
                with recorded.running("model"):  # hooks may wait before the model is asked again
                    return await cancellation.cut_retry(tell(event), event) or (event, [])
            return await tell(event)

    agent.hooks.invoke_callbacks_async = tell_contained  # type: ignore[method-assign] # this agent's hooks only
