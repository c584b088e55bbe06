"""Tells a turn's events in the order in which they happened, and only once they cannot be refused.

    happens   restored  prompt──stored  "Let me see"  calls─────stored  tool ended  "It is 42"  answer──stored
    is told             restored, prompt, "Let me see"          calls, tool ended, "It is 42"           answer

The turn's first message is its fence. Until the storage has acknowledged it, nothing is told. Later messages are
written while the model goes on. What happens after a message is told once the message is stored, so that a reader knows
at each moment what is stored. The turn itself does not wait for that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from lambda_src.turns.turn_events import Completed, MessageStored

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_src.turns.turn_events import TurnEvent


class ToldInOrder:
    """Holds events back until the messages before them are stored. All of it happens on the turn's event loop.

    Args:
        tell: Gets the events.
    """

    def __init__(self, tell: Callable[[TurnEvent], object]) -> None:
        self._tell = tell
        self._held: deque[TurnEvent] = deque()
        self._stored: set[int] = set()
        self._is_fenced = False

    def add(self, event: TurnEvent) -> None:
        """Add an event that has happened. A :class:`MessageStored` is told once the message is stored."""
        self._held.append(event)
        # A completed turn is durable, whatever fenced it.
        self._is_fenced = self._is_fenced or isinstance(event, Completed)
        self._go_on()

    def renumber_first(self, message_id: int) -> None:
        """The turn's first message, which is not told yet, is stored under another id than it was to have."""
        for index, event in enumerate(self._held):
            if isinstance(event, MessageStored):
                self._held[index] = replace(event, message_id=message_id)
                break
        self._go_on()

    def record_stored(self, message_id: int) -> None:
        """A message is stored; the first of them was the fence."""
        self._stored.add(message_id)
        self.record_fenced()

    def record_fenced(self) -> None:
        """The fence is written: no other writer can go on from where this turn began."""
        self._is_fenced = True
        self._go_on()

    def _go_on(self) -> None:
        while self._held and self._is_fenced:
            event = self._held[0]
            if isinstance(event, MessageStored) and event.message_id not in self._stored:
                return
            self._tell(self._held.popleft())
