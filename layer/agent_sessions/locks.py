"""Locks and events for objects that are copied or pickled, as Strands' session managers may be. A copy gets its own.

A lock says who is working at this moment, in this process. Nobody is working with a new copy.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


class Lock:
    """A reentrant lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> bool:
        """Wait for the lock."""
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is another lock, and free."""
        return type(self), ()


class Event(threading.Event):
    """An event."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is another event, which nothing has set."""
        return type(self), ()


class Condition(threading.Condition):
    """A condition with a lock of its own."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is another condition, for which nobody waits."""
        return type(self), ()
