"""Keeping the cyclic garbage collector out of what only grows: imports, and clients with their descriptions."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def paused() -> Iterator[None]:
    """Do something without the collector.

    What is made stays. While it grows, the collector would go through half of it again and again, for nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def keep_what_is_there() -> None:
    """Have the collector never go through what is in memory now.

    For once in a process: garbage that is there, too, stays for ever.
    """
    gc.freeze()
