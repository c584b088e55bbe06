"""Time as the server tells it, and as a test sets it."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since the epoch, UTC."""


class SettableClock:
    """A clock that runs with the system until a test holds it.

    Args:
        now: Seconds since the epoch to stand still at; ``None`` follows the system's clock.
    """

    def __init__(self, now: float | None = None) -> None:
        self._held = now

    def __call__(self) -> float:
        """Tell the time in seconds since the epoch."""
        held = self._held
        return time.time() if held is None else held

    def set(self, now: float | None) -> None:
        """Stand still at ``now``; ``None`` follows the system's clock again."""
        self._held = now

    def advance(self, seconds: float) -> float:
        """Move on by ``seconds`` and stand still there.

        Returns:
            The new time.
        """
        self._held = self() + seconds
        return self._held
