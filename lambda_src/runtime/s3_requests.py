"""Counts the requests that this process sends to S3, as S3 charges them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_LISTS = frozenset({"list-type", "versions", "uploads"})


class Sent(NamedTuple):
    """Requests to S3: all of them, and those that S3 charges as PUT or LIST."""

    requests: int = 0
    writes: int = 0


class RequestCounter:
    """Counts on every client that it watches, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = Sent()

    def watch(self, client: S3Client) -> None:
        """Count what a client sends. A request that is tried again is sent again."""
        client.meta.events.register("before-send.s3", self._count)

    def take(self) -> Sent:
        """What was sent since this was asked last. Each request is told once, whoever it was for."""
        with self._lock:
            sent, self._sent = self._sent, Sent()
            return sent

    def _count(self, request: Any, **_: Any) -> None:
        is_write = is_charged_as_write(request.method, request.url)
        with self._lock:
            self._sent = Sent(self._sent.requests + 1, self._sent.writes + is_write)


def is_charged_as_write(method: str, url: str) -> bool:
    """Whether S3 charges a request as PUT or LIST.

    Source: https://aws.amazon.com/s3/pricing/, "Requests & data retrievals". DeleteObjects, a POST, counts as DELETE.
    """
    query = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    if method == "GET":
        return bool(query & _LISTS)
    return method in {"PUT", "COPY"} or (method == "POST" and "delete" not in query)


SENT = RequestCounter()
"""What this process has sent."""
