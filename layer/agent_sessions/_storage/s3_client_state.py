"""What belongs to a client and not to one store: its threads, its hints, and its hooks before sending."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_sessions._storage import s3_authorities
from agent_sessions.exceptions import SessionStorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3.client import S3Client

_pools: weakref.WeakKeyDictionary[Any, ThreadPoolExecutor] = weakref.WeakKeyDictionary()
_pools_lock = threading.Lock()
_hints: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()

if hasattr(os, "register_at_fork"):
    # A forked process has the pools but not their threads: waiting for them would never end.
    def _begin_anew_in_child() -> None:
        global _pools_lock  # noqa: PLW0603 - another thread may have held it when the process was forked
        _pools_lock = threading.Lock()
        _pools.clear()

    os.register_at_fork(after_in_child=_begin_anew_in_child)

_this_thread = threading.local()
"""``writes``: set while this thread waits for a small write; ``wanted``: see :meth:`ObjectStore.only_while`."""


def prepare(client: S3Client) -> None:
    """Have a client call this module before it sends. It may be called any number of times."""
    s3_authorities.read_once(client)
    with _pools_lock:
        events = client.meta.events
        events.register("before-send.s3.PutObject", _send_at_once, unique_id=_send_at_once.__qualname__)
        events.register("before-send.s3", _send_if_wanted, unique_id=_send_if_wanted.__qualname__)


def pool_of(client: S3Client) -> ThreadPoolExecutor:
    """The threads that wait for a client: one pool per client, with as many threads as the client has connections."""
    with _pools_lock:
        pool = _pools.get(client)
        if pool is None:
            connections = client.meta.config.max_pool_connections  # type: ignore[attr-defined] # missing in the stubs
            pool = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="agent-sessions-s3")
            _pools[client] = pool
        return pool


def hints_of(client: S3Client) -> dict[str, str]:
    """See :attr:`ObjectStore.hints`; ``unused`` says that nothing has been restored with this client yet."""
    return _hints.setdefault(client, {"unused": "yes"})


@contextmanager
def unannounced(*, when: bool) -> Iterator[None]:
    """Send this thread's writes without ``Expect: 100-continue``: see :func:`_send_at_once`."""
    _this_thread.writes = when
    try:
        yield
    finally:
        _this_thread.writes = False


@contextmanager
def only_while(wanted: Callable[[], bool] | None) -> Iterator[None]:
    """See :meth:`ObjectStore.only_while`; ``None`` keeps what an outer caller has set."""
    before = getattr(_this_thread, "wanted", None)
    _this_thread.wanted = wanted
    try:
        yield
    finally:
        _this_thread.wanted = before


def _send_at_once(request: Any, **_: Any) -> None:
    """Remove ``Expect: 100-continue`` from a small write, which would cost it a second round trip.

    botocore sends it and waits for S3's answer before it sends the body. The header is not signed. Writes of others
    with the same client keep it.
    """
    if getattr(_this_thread, "writes", False):
        request.headers.pop("Expect", None)


def _send_if_wanted(**_: Any) -> None:
    """Do not send a request that nobody waits for any more: see :meth:`ObjectStore.only_while`."""
    wanted = getattr(_this_thread, "wanted", None)
    if wanted is not None and not wanted():
        raise SessionStorageError("nobody waits for this request any more, it was not sent", code="Abandoned")
