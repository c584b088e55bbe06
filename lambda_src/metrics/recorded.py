"""What one request has come to so far, in numbers. Whoever knows of something adds it, on whatever thread.

The record belongs to the request's context: threads and tasks that take part in the request have a copy of it.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from lambda_src.metrics import table
from lambda_src.metrics.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from lambda_src.metrics.stopwatch import Kind
    from lambda_src.metrics.table import Metric

_current: ContextVar[Recorded | None] = ContextVar("recorded", default=None)


class Recorded:
    """The numbers of one request.

    Args:
        request_id: By which its log lines are found.
        **known: What else is known of the request.

    Attributes:
        ids: Names and ids of the request, for the log line. Never a dimension.
        started: When it began, in seconds since the epoch.
    """

    def __init__(self, request_id: str, **known: Any) -> None:
        self.ids: dict[str, Any] = {"request_id": request_id, **known}
        self.started = time.time()
        self._values: dict[Metric, float] = {table.REQUESTS: 1}
        self._lock = threading.Lock()
        self._stopwatch: Stopwatch | None = None
        self._is_closed = False

    def add(self, metric: Metric, value: float = 1) -> None:
        """Add to a metric. A metric to which nothing was added is not in the line."""
        if value:
            with self._lock:
                self._values[metric] = self._values.get(metric, 0) + value

    def name(self, **ids: Any) -> None:
        """Note ids for the log line."""
        self.ids.update(ids)

    def close(self) -> bool:
        """End the record. Returns whether this call has ended it."""
        with self._lock:
            was_open, self._is_closed = not self._is_closed, True
            return was_open

    def values(self) -> dict[Metric, float]:
        """The value of each metric that the request has."""
        with self._lock:
            return dict(self._values)

    # --- the turn ---------------------------------------------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Measure a turn. If it is not begun, its durations are nobody's."""
        self._stopwatch = stopwatch = Stopwatch()
        waited_before = self._values.get(table.LEASE_WAIT, 0)
        try:
            yield
        finally:
            self._stopwatch = None
            self._measure(stopwatch, waited_before)

    def _measure(self, stopwatch: Stopwatch, waited_before: float) -> None:
        model, tool, rest = (1000 * seconds for seconds in stopwatch.seconds())
        with self._lock:
            if not self._values.get(table.TURNS):
                self._values.pop(table.RESTORE_DURATION, None)
                return
            # Every turn has these, so that they are averages and percentiles of all turns.
            wait = self._values.setdefault(table.LEASE_WAIT, 0)
            self._values.setdefault(table.RESTORED_MESSAGES, 0)
            self._values[table.TURN_DURATION] = model + tool + rest
            self._values[table.MODEL_DURATION] = model
            self._values[table.TOOL_DURATION] = tool
            self._values[table.SESSION_OVERHEAD] = max(0.0, rest - (wait - waited_before))

    def note_cut_off(self) -> None:
        """Note that the turn ends without a reply. Of a turn that was not begun, this says nothing."""
        with self._lock:
            if self._values.get(table.TURNS):
                self._values[table.TURNS_CUT_OFF] = 1

    def running(self, kind: Kind) -> AbstractContextManager[None]:
        """Count the time until the end of the block for a model or a tool."""
        return nullcontext() if self._stopwatch is None else self._stopwatch.running(kind)


def begin(request_id: str, **known: Any) -> Recorded:
    """Begin the record of a request, in the present context."""
    recorded = Recorded(request_id, **known)
    _current.set(recorded)
    return recorded


def current() -> Recorded | None:
    """The record of the present request; ``None`` outside of one."""
    return _current.get()


def add(metric: Metric, value: float = 1) -> None:
    """Add to a metric of the present request, if there is one."""
    recorded = _current.get()
    if recorded is not None:
        recorded.add(metric, value)


def name(**ids: Any) -> None:
    """Note ids for the log line of the present request."""
    recorded = _current.get()
    if recorded is not None:
        recorded.name(**ids)


def note_cut_off() -> None:
    """Note that the turn of the present request ends without a reply."""
    recorded = _current.get()
    if recorded is not None:
        recorded.note_cut_off()


def measured_turn() -> AbstractContextManager[None]:
    """Measure a turn of the present request."""
    recorded = _current.get()
    return nullcontext() if recorded is None else recorded.turn()


def running(kind: Kind) -> AbstractContextManager[None]:
    """Count the time until the end of the block for a model or a tool of the present turn."""
    recorded = _current.get()
    return nullcontext() if recorded is None else recorded.running(kind)


@contextmanager
def restoring() -> Iterator[None]:
    """Count the time until the end of the block as restoring."""
    started = time.perf_counter()
    try:
        yield
    finally:
        add(table.RESTORE_DURATION, 1000 * (time.perf_counter() - started))
