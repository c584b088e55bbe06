"""Ctrl-C while threads wait for a storage: a command stops, and does not wait for them.

A request that hangs cannot be called back. Python waits for every thread before a process ends, so a command that was
stopped ends its process itself. What a thread was writing is left as by a process that dies: nobody finds it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

from agent_sessions_cli.failures import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def end(ended: SystemExit) -> NoReturn:
    """End the process as a command has asked for; when it was stopped, without waiting for its threads."""
    if ended.code != ExitCode.INTERRUPTED:
        raise ended
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            stream.flush()
    os._exit(ExitCode.INTERRUPTED)
