"""The queue between a turn, or somebody who follows it, and the reader of a stream. The turn never waits for it.

A slow reader finds what has come meanwhile, joined. A reader that is too slow is dropped: its stream ends without a
reply, the turn goes on, and the reader can follow the rest from the storage. A reader that has left costs nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lambda_src.turns.turn_events import Completed, MessageStored, ReasoningDelta, TextDelta

if TYPE_CHECKING:
    from lambda_src.turns.turn_events import TurnEvent

MAX_WAITING_CHARACTERS = 1_000_000
"""How much of what the model says may wait for a reader."""

MAX_WAITING_EVENTS = 1_000
"""How many events may wait for a reader, where what can be joined is joined."""

PIECES_KEPT_APART = 16
"""So many pieces of text are joined into one at the latest: a small text takes more than twice its length."""


@dataclass(frozen=True)
class Replied:
    """The turn is durable and over: this is its reply."""

    reply: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """The turn is over and has no reply."""

    error: BaseException


class _Said:
    """Pieces of text that wait together."""

    def __init__(self, kind: type[TextDelta | ReasoningDelta], node_id: str | None) -> None:
        self.kind = kind
        self.node_id = node_id
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        if len(self._pieces) == PIECES_KEPT_APART:
            self._pieces = ["".join(self._pieces)]

    def joined(self) -> TextDelta | ReasoningDelta:
        return self.kind("".join(self._pieces), self.node_id)


class Feed:
    """A turn's events for one reader on another thread."""

    def __init__(self) -> None:
        self._waiting: deque[TurnEvent | _Said | Replied | Failed] = deque()
        self._characters = 0
        self._is_open = True
        self._has_ended = False
        self._has_replied = False
        self._changed = threading.Condition()

    @property
    def is_read(self) -> bool:
        """Whether the reader is still there."""
        return self._is_open

    def put(self, event: TurnEvent) -> None:
        """Queue an event for the reader. Returns at once, but for a follower's messages: they wait for the reader."""
        with self._changed:
            if isinstance(event, MessageStored) and event.content is not None:
                # Only a follower tells contents. It is not the turn, so that it waits for its reader.
                self._changed.wait_for(lambda: not self._waiting or not self._is_open)
            if not self._is_open or self._has_ended:
                return  # nobody reads, or nobody waits for the turn any more
            if isinstance(event, TextDelta | ReasoningDelta):
                self._join(event)
            else:
                self._waiting.append(event)
            # The turn is durable. What it comes to now, giving its lease back, is no news for its reader.
            self._has_replied = self._has_replied or isinstance(event, Completed)
            if self._characters > MAX_WAITING_CHARACTERS or len(self._waiting) > MAX_WAITING_EVENTS:
                self._drop()
            self._changed.notify_all()

    def _join(self, event: TextDelta | ReasoningDelta) -> None:
        last = self._waiting[-1] if self._waiting else None
        if not isinstance(last, _Said) or (last.kind, last.node_id) != (type(event), event.node_id):
            last = _Said(type(event), event.node_id)
            self._waiting.append(last)
        last.add(event.text)
        self._characters += len(event.text)

    def _drop(self) -> None:
        self._is_open = False
        self._waiting.clear()

    def end(self, last: Replied | Failed) -> None:
        """Add the last event: nothing comes after it. Who has been told that the turn is completed has its reply."""
        with self._changed:
            if self._is_open and not self._has_ended and not self._has_replied:
                self._waiting.append(last)
            self._has_ended = True
            self._changed.notify_all()

    def wait_for_first(self) -> None:
        """Wait until something has happened.

        Raises:
            BaseException: The turn failed with this before anything else happened.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._is_open)
            if self._waiting and isinstance(self._waiting[0], Failed):
                raise self._waiting[0].error

    def take(self, within_seconds: float) -> TurnEvent | Replied | Failed | None:
        """The next event; ``None`` if none comes within this time.

        Raises:
            EOFError: No event will come: the reader has left, or was dropped.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._is_open or self._has_ended, within_seconds)
            if not self._is_open or (self._has_ended and not self._waiting):
                raise EOFError
            if not self._waiting:
                return None
            event = self._waiting.popleft()
            self._changed.notify_all()
            if isinstance(event, Replied | Failed):
                self._drop()
            elif isinstance(event, _Said):
                said = event.joined()
                self._characters -= len(said.text)
                return said
            return event

    def leave(self) -> None:
        """The reader has left."""
        with self._changed:
            self._drop()
            self._changed.notify_all()
