"""What belongs to a client and not to one store: its threads, its hints, and what it does before it sends."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionStorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3.client import S3Client

_pools: weakref.WeakKeyDictionary[Any, ThreadPoolExecutor] = weakref.WeakKeyDictionary()
_pools_lock = threading.Lock()
_hints: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()

if hasattr(os, "register_at_fork"):
    # A fork has the pools but not their threads: whoever waited for them would wait for ever.
    def _begin_anew_in_child() -> None:
        global _pools_lock  # noqa: PLW0603 - another thread may have held it when the process was forked
        _pools_lock = threading.Lock()
        _pools.clear()

    os.register_at_fork(after_in_child=_begin_anew_in_child)

_this_thread = threading.local()
"""``writes`` while it waits for a small write of ours; ``wanted``: see :meth:`ObjectStore.only_while`."""


def prepare(client: S3Client) -> None:
    """Have a client ask this module before it sends. It may be called any number of times."""
    with _pools_lock:
        events = client.meta.events
        events.register("before-send.s3.PutObject", _send_at_once, unique_id=_send_at_once.__qualname__)
        events.register("before-send.s3", _send_if_wanted, unique_id=_send_if_wanted.__qualname__)


def pool_of(client: S3Client) -> ThreadPoolExecutor:
    """The threads that wait for a client: one pool a client, with as many threads as it has connections."""
    with _pools_lock:
        pool = _pools.get(client)
        if pool is None:
            connections = client.meta.config.max_pool_connections  # type: ignore[attr-defined] # missing in the stubs
            pool = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="agent-sessions-s3")
            _pools[client] = pool
        return pool


def hints_of(client: S3Client) -> dict[str, str]:
    """See :attr:`ObjectStore.hints`."""
    return _hints.setdefault(client, {})


@contextmanager
def unannounced(*, when: bool) -> Iterator[None]:
    """Send this thread's writes without announcing them first: see :func:`_send_at_once`."""
    _this_thread.writes = when
    try:
        yield
    finally:
        _this_thread.writes = False


@contextmanager
def only_while(wanted: Callable[[], bool] | None) -> Iterator[None]:
    """See :meth:`ObjectStore.only_while`; ``None`` sends whatever a caller further out has said."""
    before = getattr(_this_thread, "wanted", None)
    _this_thread.wanted = wanted
    try:
        yield
    finally:
        _this_thread.wanted = before


def _send_at_once(request: Any, **_: Any) -> None:
    """Leave out the announcement of a small write, which would cost it a second round trip.

    botocore sends ``Expect: 100-continue`` and waits for S3's word before it sends the body. The header is not signed.
    What others write with the same client stays announced.
    """
    if getattr(_this_thread, "writes", False):
        request.headers.pop("Expect", None)


def _send_if_wanted(**_: Any) -> None:
    """Refuse to send what nobody waits for any more: see :meth:`ObjectStore.only_while`."""
    wanted = getattr(_this_thread, "wanted", None)
    if wanted is not None and not wanted():
        raise SessionStorageError("nobody waits for this request any more, it was not sent", code="Abandoned")
