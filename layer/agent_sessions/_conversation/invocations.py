"""The invocations of an agent that are under way: one, or several when the agent allows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.message_changes import check, put_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strands.types.content import Message


@dataclass
class Invocation:
    """One call of an agent.

    Attributes:
        state: Strands' own object of it, which tells it from the others; ``None`` when the caller has none.
        given: The messages it was called with, as far as they are not stored yet.
        model_failed: Whether it is ending with the model's error.
    """

    state: object = None
    given: list[Message] = field(default_factory=list)
    model_failed: bool = False
    _checked: bool = False

    def check(self) -> None:
        """See that all of what it was given can be stored, before the first of it is.

        Raises:
            UnstorableValueError: Something of it cannot.
        """
        for message in [] if self._checked else self.given:
            check(message)
        self._checked = True

    def record_stored(self, message: Message) -> None:
        """One of the messages that it was given is stored. The same object may have been given once more."""
        put_back(message, None, self.given)


class Invocations:
    """Those of one agent that are under way, in the order in which they began."""

    def __init__(self) -> None:
        self._open: list[Invocation] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    def begin(self, state: object, given: Sequence[Message], *, alone: bool) -> None:
        """An invocation begins.

        Args:
            state: See :class:`Invocation`.
            given: See :class:`Invocation`.
            alone: Whether the agent takes one call at a time. Then the one before is over, even if nobody said so: a
                hook that fails while an invocation begins is not followed by the event of its end.
        """
        if alone:
            self._open.clear()
        self._open.append(Invocation(state, list(given)))

    def end(self, state: object) -> Invocation:
        """An invocation has ended."""
        found = self.of(state)
        self._open = [invocation for invocation in self._open if invocation is not found]
        return found

    def of(self, state: object) -> Invocation:
        """The invocation that Strands' object tells; the one that began last when it tells none."""
        same = [invocation for invocation in self._open if state is not None and invocation.state is state]
        return (same or self._open or [Invocation()])[-1]

    @property
    def model_failed(self) -> bool:
        """Whether every invocation under way is ending with the model's error."""
        return bool(self._open) and all(invocation.model_failed for invocation in self._open)

    def giving(self, message: Message) -> Invocation | None:
        """The invocation whose caller has given this very message, if one has."""
        for invocation in self._open:
            if any(given is message for given in invocation.given):
                return invocation
        return None


def takes_one_call_at_a_time(agent: Any) -> bool:
    """Whether an agent refuses a call while another one is under way, as agents do unless they are told otherwise."""
    controller = getattr(agent, "_concurrency", None)  # where Strands keeps the mode since 1.57, and before
    mode = getattr(controller, "mode", None) or getattr(agent, "_concurrent_invocation_mode", None)
    return getattr(mode, "value", mode) != "unsafe_reentrant"
