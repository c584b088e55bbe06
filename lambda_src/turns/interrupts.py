"""What an agent asks, and whether what was sent answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambda_src.answers import errors
from lambda_src.content import to_json

if TYPE_CHECKING:
    from strands import Agent

    from lambda_src.contract import InterruptResponse, TurnBody


def agent_input(agent: Agent, body: TurnBody) -> list[Any]:
    """What to call the agent with: a prompt if no interrupt is pending, answers if some are.

    Raises:
        InterruptPendingError: When interrupts are pending and a prompt was sent.
        NoInterruptPendingError: When answers were sent and no interrupt is pending.
        BadRequestError: When an answer names no pending interrupt.
    """
    pending = pending_interrupts(agent)
    if body.prompt is not None:
        if pending:
            raise errors.InterruptPendingError(
                "The agent asked something and waits for interrupt_responses before it takes another prompt.",
                interrupts=[described(interrupt) for interrupt in pending],
            )
        return [block.to_strands() for block in body.prompt]
    if not pending:
        raise errors.NoInterruptPendingError("No interrupt is pending; send a prompt.")
    return _answers(body.interrupt_responses or [], {interrupt.id for interrupt in pending})


def _answers(responses: list[InterruptResponse], pending: set[str]) -> list[dict[str, Any]]:
    unknown = [
        {
            "location": f"body.interrupt_responses.{index}.interrupt_id",
            "detail": f"not pending; pending are {', '.join(sorted(pending))}",
        }
        for index, answer in enumerate(responses)
        if answer.interrupt_id not in pending
    ]
    if unknown:
        raise errors.BadRequestError("An answer names an interrupt that is not pending.", errors=unknown)
    return [
        {"interruptResponse": {"interruptId": answer.interrupt_id, "response": answer.response}} for answer in responses
    ]


def pending_interrupts(agent: Agent) -> list[Any]:
    """The interrupts that the agent waits for, in the order in which they were raised."""
    # Strands restores them and has no public name for them in any version of the range this kit supports.
    state = agent._interrupt_state  # noqa: SLF001
    if not state.activated:
        return []
    return [interrupt for interrupt in state.interrupts.values() if interrupt.response is None]


def described(interrupt: Any) -> dict[str, Any]:
    """An interrupt as the reply shows it."""
    return {"interrupt_id": interrupt.id, "name": interrupt.name, "reason": to_json(interrupt.reason)}
