"""Ctrl-C while threads wait for a storage: a command stops, and does not wait for them.

A request that hangs cannot be called back. Python waits for every thread before a process ends, so a command that was
stopped ends its process itself. What a thread was writing is left as by a process that dies: nobody finds it.

Python raises ``KeyboardInterrupt`` between two steps of the main thread. A signal that comes right before a step that
waits would be seen when the wait is over, which may be never: it is sent to the main thread again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

from agent_sessions_cli.failures import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

AGAIN_SECONDS = 0.1
"""A signal that the main thread has not seen by then is sent to it again."""


@contextlib.contextmanager
def threads_that_read(count: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads. Whoever leaves waits for what is under way; after Ctrl-C, for nothing."""
    threads = ThreadPoolExecutor(count)
    try:
        yield threads
    except KeyboardInterrupt:
        threads.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        threads.shutdown(cancel_futures=True)
        raise
    threads.shutdown()


@contextlib.contextmanager
def ctrl_c_that_is_heard() -> Iterator[None]:
    """Have the main thread hear of each Ctrl-C, also of one that comes in the instant before it begins to wait."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not hasattr(signal, "pthread_kill"):
        yield  # somebody else's handler, or a system that wakes the main thread itself
        return
    heard, main = threading.Event(), threading.main_thread().ident
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def raise_it(number: int, frame: FrameType | None) -> None:
        heard.set()
        signal.default_int_handler(number, frame)

    def send_again() -> None:
        while os.read(reader, 64):  # a byte for each signal; none when the pipe is closed
            if heard.wait(AGAIN_SECONDS):
                heard.clear()
            elif main is not None:
                signal.pthread_kill(main, signal.SIGINT)
        os.close(reader)

    threading.Thread(target=send_again, daemon=True).start()
    signal.signal(signal.SIGINT, raise_it)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(writer)


def end(ended: SystemExit) -> NoReturn:
    """End the process as a command has asked for; when it was stopped, without waiting for its threads."""
    if ended.code != ExitCode.INTERRUPTED:
        raise ended
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            stream.flush()
    os._exit(ExitCode.INTERRUPTED)
