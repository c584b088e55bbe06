"""The authorities that a client trusts for TLS, read once and not for every connection.

urllib3 has OpenSSL read botocore's whole file of authorities, some 140, whenever it opens a connection: 25 ms of
processor and more, most of what a connection costs. They are kept in the client's TLS context, which all its
connections share, so that the first reading is enough.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_lock = threading.Lock()


def read_once(client: Any) -> None:
    """Have a client read its authorities once. It may be called any number of times.

    Args:
        client: A boto3 client. One that is not made as botocore makes it today is left alone.
    """
    context = _context_of(client)
    if context is not None:
        with _lock:
            if not isinstance(context.load_verify_locations, _Once):
                context.load_verify_locations = _Once(context.load_verify_locations)  # type: ignore[method-assign]


def share(client: Any, other: Any) -> None:
    """Have two clients read their authorities once.

    Args:
        client: A boto3 client.
        other: One that has not opened a connection yet. It is made alike: with the same session, and with nothing said
            about TLS. A client that does not verify would switch that off for both.
    """
    context, settings = _context_of(client), _pool_settings(other)
    if context is not None and settings is not None:
        read_once(client)
        settings["ssl_context"] = context


class _Once:
    """Loads each file once, also where two connections are opened at the same time."""

    def __init__(self, load: Callable[..., None]) -> None:
        self._load = load
        self._loaded: set[tuple[Any, ...]] = set()
        self._loading = threading.Lock()

    def __call__(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        given = (cafile, capath, cadata)
        with self._loading:
            if given not in self._loaded:
                self._load(*given)
                self._loaded.add(given)


def _context_of(client: Any) -> ssl.SSLContext | None:
    settings = _pool_settings(client)
    return None if settings is None else settings.get("ssl_context")


def _pool_settings(client: Any) -> dict[str, Any] | None:
    # botocore offers no other way to its pool of connections.
    http = getattr(getattr(client, "_endpoint", None), "http_session", None)
    settings = getattr(getattr(http, "_manager", None), "connection_pool_kw", None)
    return settings if isinstance(settings, dict) else None
