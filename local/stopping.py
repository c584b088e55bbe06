"""When the server is asked to stop: by Ctrl-C or SIGTERM, whichever thread the system hands the signal to.

Python runs a signal's handler in the main thread. When the system interrupts another thread, a main thread that waits
for a lock goes on waiting, and the signal with it. What is written to a wakeup descriptor is written in the interrupted
thread, so a main thread that reads there hears of each (Python's documentation of ``signal.set_wakeup_fd``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Stopping:
    """Takes SIGINT and SIGTERM from now on. For the main thread, once in a process."""

    def __init__(self) -> None:
        self._is_asked = False
        self._hears, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self._is_asked:  # asked twice: do not wait for anything
            os._exit(128 + number)
        self._is_asked = True

    def wait(self) -> None:
        """Wait until the first signal."""
        while not self._is_asked:
            self._hears.recv(1)

    def finish(self, work: Callable[[], int]) -> int:
        """Do something that takes its time; a second signal ends the process meanwhile.

        Args:
            work: What to do, in another thread.

        Returns:
            What it returned.
        """
        with ThreadPoolExecutor(1) as beside:
            future = beside.submit(work)
            future.add_done_callback(self._wake)
            while not future.done():
                self._hears.recv(1)
            return future.result()

    def _wake(self, _: object) -> None:
        with contextlib.suppress(BlockingIOError):  # there is so much to hear already
            self._wakes.send(b"\0")
