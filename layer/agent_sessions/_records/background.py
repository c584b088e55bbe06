"""Requests that go beside the caller: begun now or a moment later, and waited for when their answer decides something.

A store only says which threads may wait for it (:attr:`ObjectStore.executor`). When a request begins is decided here.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.object_store import ObjectStore

_T = TypeVar("_T")

HEAD_START_SECONDS = 0.003
"""What the request that somebody waits for gets before one that goes beside it: to prepare one takes 1 to 2 ms."""


def submit(
    objects: ObjectStore,
    work: Callable[[], _T],
    *,
    head_start: float = 0.0,
    wanted: threading.Event | None = None,
    begun: bool = False,
) -> Future[_T]:
    """Run something that waits for a store, beside the caller. Without threads to wait for the store, it is run now.

    Args:
        objects: The store.
        work: What to run.
        head_start: Seconds to wait before it begins, where it need not begin at once: preparing a request takes a
            millisecond of processor or two from a caller who is about to wait for something else anyway.
        wanted: Set when somebody waits for it: then it begins, whatever is left of the head start.
        begun: Whether to return only when it has begun.
    """
    executor = objects.executor
    if executor is None:
        return _done(work)
    has_begun = threading.Event()

    def begin() -> _T:
        if head_start:
            (wanted or threading.Event()).wait(head_start)
        has_begun.set()
        return work()

    future = executor.submit(begin)
    if begun:
        has_begun.wait()
    return future


def _done(work: Callable[[], _T]) -> Future[_T]:
    done: Future[_T] = Future()
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - a future carries it to whoever waits
        done.set_exception(error)
    else:
        done.set_result(result)
    return done
