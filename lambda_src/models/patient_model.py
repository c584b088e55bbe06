"""Wraps an agent's model for one turn: a model that refuses what it is shown is asked again with less.

Every model call of the turn passes here, a summary's too. This is behind all that Strands does about a model's errors,
so that Strands sees one call, however often the model was asked.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from lambda_src.answers.model_refusals import refusal_of
from lambda_src.models.measured_calls import measured
from lambda_src.runtime.escapes import Contained, contained
from lambda_src.runtime.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from strands import Agent

    from lambda_src.answers.model_refusals import Refusal
    from lambda_src.models.showing import Showing

    Cut = Callable[[AsyncIterator[Any]], AsyncGenerator[Any]]


class PatientModel(StandIn):
    """A model that is asked again with less of the conversation when it refuses.

    Args:
        original: The agent's model.
        showing: What it is shown.
        cut: Ends an answer early when the turn is cancelled.
    """

    def __init__(self, original: Any, showing: Showing, cut: Cut) -> None:
        super().__init__(original)
        object.__setattr__(self, "_showing", showing)
        object.__setattr__(self, "_cut", cut)
        object.__setattr__(self, "_overflowed_at", None)

    async def stream(self, messages: list[Any], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Ask the model, and pass on what it answers.

        Raises:
            Exception: What the model raises once there is nothing left to give up, or once it has begun to answer.
        """
        cut = object.__getattribute__(self, "_cut")
        async with aclosing(cut(self._answers(messages, args, kwargs))) as events:
            async for event in events:
                yield event

    async def _answers(self, messages: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        showing: Showing = object.__getattribute__(self, "_showing")
        while True:
            begun = False
            try:
                answer = self._original.stream(showing.shown(messages), *args, **kwargs)
                async with aclosing(_from_its_first_word(measured(contained(answer)))) as events:
                    async for event in events:
                        begun = True
                        yield event
            except Exception as error:
                refusal = refusal_of(error)
                if refusal is None or self._is_strands_to_reduce(refusal, messages):
                    raise
                gives_way = not _is_cancelled(kwargs) and showing.give_way(refusal, messages)
                if begun or not gives_way:
                    showing.refuse(refusal, untried=gives_way)
                    raise
            else:
                return

    def _is_strands_to_reduce(self, refusal: Refusal, messages: list[Any]) -> bool:
        """Whether the conversation is too long, and Strands' conversation manager has not tried yet to shorten it."""
        if refusal.code != "ContextWindowOverflowException":
            return False
        size, before = _size(messages), object.__getattribute__(self, "_overflowed_at")
        object.__setattr__(self, "_overflowed_at", size)
        return before is None or size < before


async def _from_its_first_word(events: AsyncIterator[Any]) -> AsyncGenerator[Any]:
    """A model's events, held back until it says something: after a mere role, Bedrock may still refuse."""
    held: list[Any] = []
    async with aclosing(events) as said:  # type: ignore[type-var] # a generator
        async for event in said:
            if isinstance(event, dict) and set(event) == {"messageStart"}:
                held.append(event)
                continue
            for earlier in held:
                yield earlier
            held.clear()
            yield event
    for earlier in held:
        yield earlier


def _is_cancelled(options: dict[str, Any]) -> bool:
    """Whether the agent was asked to stop. Strands tells its models so since 1.57."""
    signal = options.get("cancel_signal")
    return signal is not None and bool(signal.is_set())


def _size(messages: list[Any]) -> int:
    return len(repr(messages))


def be_patient(agent: Agent, showing: Showing, cut: Cut) -> None:
    """Wrap an agent's model, so that it is asked again with less. The agent is made for one turn.

    If the conversation does not fit, the agent's conversation manager shortens it first. When that can do no more, this
    turn's view of the conversation is shortened.

    Args:
        agent: Who takes the turn.
        showing: What its model is shown.
        cut: Ends an answer early when the turn is cancelled.
    """
    agent.model = PatientModel(agent.model, showing, cut)  # type: ignore[assignment] # it stands for one
    manager: Any = agent.conversation_manager
    reduce = manager.reduce_context

    def reduce_context(agent: Agent, e: Exception | None = None, **kwargs: Any) -> None:
        refusal = None if e is None else refusal_of(e)
        if e is None or refusal is None:
            reduce(agent, e=e, **kwargs)
            return
        before = _size(agent.messages)
        try:
            with Contained():
                reduce(agent, e=e, **kwargs)
        except Exception:
            if not showing.give_way(refusal, agent.messages):
                raise
            return
        # If a manager neither shortens anything nor says that it cannot, Strands asks it again and again.
        if _size(agent.messages) >= before and not showing.give_way(refusal, agent.messages):
            raise e

    manager.reduce_context = reduce_context
