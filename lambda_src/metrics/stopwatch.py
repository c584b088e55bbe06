"""Where the time of one turn goes: to the model, to tools, or to the session.

    turn     ├──────────────────────────────────────────────┤
    model        ├────────┤            ├─────────┤
    tools                  ├────────┤ ├───┤
    is       ·····MMMMMMMMMTTTTTTTTT··TTMMMMMMMMMM···········     M model, T tools, · session

Several calls may be under way at once, in a graph for one. Each moment counts once: for the model, if it is asked, else
for a tool, if one runs.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["model", "tool"]


class Stopwatch:
    """Measures what is under way, from the first moment on.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way = {"model": 0, "tool": 0}
        self._spent = {"model": 0.0, "tool": 0.0, "": 0.0}
        self._changed_at = clock()

    @contextmanager
    def running(self, kind: Kind) -> Iterator[None]:
        """Count the time until the end of the block for a model or a tool."""
        self._change(kind, 1)
        try:
            yield
        finally:
            self._change(kind, -1)

    def seconds(self) -> tuple[float, float, float]:
        """Seconds so far: of the model, of tools, and of all else."""
        with self._lock:
            self._count()
            return self._spent["model"], self._spent["tool"], self._spent[""]

    def _change(self, kind: Kind, by: int) -> None:
        with self._lock:
            self._count()
            self._under_way[kind] += by

    def _count(self) -> None:
        now = self._clock()
        counts_for = next((kind for kind in ("model", "tool") if self._under_way[kind]), "")
        self._spent[counts_for] += now - self._changed_at
        self._changed_at = now
