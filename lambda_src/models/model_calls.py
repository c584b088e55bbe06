"""How the agent's model calls ended.

When an error leaves the agent, it does not say who raised it: a tool provider, a hook, the session or the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strands.hooks import AfterModelCallEvent


class ModelCalls:
    """Remembers how the agent's model calls ended.

    Attributes:
        count: How many calls there were.
        error: What the last of them raised, if it raised.
        stop_reason: Why the last of them stopped, if it did not raise.
    """

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None
        self.stop_reason: str | None = None

    @staticmethod
    def event_type() -> type[AfterModelCallEvent]:
        """The hook event to register ``observe`` for."""
        from strands.hooks import AfterModelCallEvent

        return AfterModelCallEvent

    def observe(self, event: AfterModelCallEvent) -> None:
        """Note how a model call ended."""
        self.count += 1
        self.error = event.exception
        self.stop_reason = event.stop_response.stop_reason if event.stop_response else None
