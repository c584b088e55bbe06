"""A progress bar for work that takes longer than a second, on a terminal alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Task, TaskID

QUIET_SECONDS = 1.0
"""Work that is done sooner shows no bar."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.1f}/s" if task.speed else "-/s", style="dim")


class Work:
    """Work of many parts. The bar is on standard error, with the rate and the time that is left.

    Args:
        what: What is done, in a word.
        count: How many parts there are; asked when the bar appears.
        console: Where the bar is shown.
        clock: Seconds.
    """

    def __init__(
        self,
        what: str,
        count: Callable[[], int],
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._count = count
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._began = clock()
        self._done = 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """The work itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def advance(self, parts: int = 1) -> None:
        """Note that parts are done."""
        self._done += parts
        if self._bar is None and self._console.is_terminal and self._clock() - self._began >= QUIET_SECONDS:
            columns = (TextColumn(self._what), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, get_time=self._clock)
            self._task = self._bar.add_task(self._what, total=max(self._count(), self._done))
            self._bar.start()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done)
