"""A gateway in front of an S3 server: what is like S3, and not quite S3, as seen by a client.

    with gateway(upstream_url, change=ignoring("if-match")) as url: ...

A change is given each request, before it is sent on. It may alter the request's headers, and return what to do with it:
``None`` to send it on, an :class:`Answer` to give in the server's place, or a function of the server's answer.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOT_FORWARDED = frozenset({"connection", "transfer-encoding", "content-length", "server", "date"})


@dataclass
class Asked:
    """A request on its way.

    Attributes:
        verb: ``GET``, ``PUT``, ``DELETE``, ``HEAD``; ``LIST``, ``LIST_VERSIONS``, ``DELETE_OBJECTS`` of a bucket.
        key: The object's key; empty for a request to a bucket.
        headers: As they will be sent on, names in small letters.
        body: Likewise.
    """

    verb: str
    key: str
    headers: dict[str, str]
    body: bytes

    @property
    def condition(self) -> str | None:
        """The name of the condition it carries, if any."""
        return next((name for name in ("if-match", "if-none-match") if name in self.headers), None)


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Change: TypeAlias = "Callable[[Asked], Answer | Callable[[Answer], Answer] | None]"


def error(status: int, code: str) -> Answer:
    """An error as S3 words it."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>No.</Message></Error>'
    return Answer(status, body.encode(), {"content-type": "application/xml"})


def _asked(method: str, path: str, headers: dict[str, str], body: bytes) -> Asked:
    split = urlsplit(path)
    query = parse_qs(split.query, keep_blank_values=True)
    _, _, key = unquote(split.path).lstrip("/").partition("/")
    of_bucket = {"GET": "LIST_VERSIONS" if "versions" in query else "LIST", "POST": "DELETE_OBJECTS"}
    return Asked(method if key else of_bucket.get(method, method), key, headers, body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = _asked(self.command, self.path, headers, body)
        self.server.seen.append(asked)
        change = self.server.change(asked)
        if isinstance(change, Answer):
            self._answer(change)
            return
        answer = self._forward(asked)
        self._answer(answer if change is None else change(answer))

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - names the base class looks up

    def _forward(self, asked: Asked) -> Answer:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            sent = {name: value for name, value in asked.headers.items() if name not in {"connection", "expect"}}
            sent["content-length"] = str(len(asked.body))
            connection.request(self.command, self.path, body=asked.body, headers=sent)
            response = connection.getresponse()
            given = {n.lower(): v for n, v in response.getheaders() if n.lower() not in _NOT_FORWARDED}
            date = response.getheader("date")
            return Answer(response.status, response.read(), given | ({"date": date} if date else {}))
        finally:
            connection.close()

    def _answer(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.command != "HEAD" or "content-length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Tests read their own output."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, change: Change) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.change = change
        self.seen: list[Asked] = []


class Gateway:
    """A running gateway.

    Attributes:
        url: Its own.
        seen: What it was asked.
        change: What it does to requests from now on.
    """

    def __init__(self, server: _Server) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.seen = server.seen

    @property
    def change(self) -> Change:
        return self._server.change

    @change.setter
    def change(self, change: Change) -> None:
        self._server.change = change


@contextmanager
def gateway(upstream_url: str, change: Change = lambda _: None) -> Iterator[Gateway]:
    """Run a gateway in front of a server."""
    server = _Server(urlsplit(upstream_url).netloc, change)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="s3-gateway", daemon=True)
    thread.start()
    try:
        yield Gateway(server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# --- stores that are like S3 ----------------------------------------------------------------------------


def no_conditional_delete(answer: Answer) -> Change:
    """A store that answers a conditional ``DeleteObject`` like this, and ignores ETags in ``DeleteObjects``."""

    def change(asked: Asked) -> Answer | None:
        if asked.verb == "DELETE" and asked.condition:
            return answer
        _without_etags(asked)
        return None

    return change


def ignoring(*conditions: str, verbs: tuple[str, ...] = ("PUT", "DELETE")) -> Change:
    """A store that does not look at these conditions."""

    def change(asked: Asked) -> None:
        if asked.verb in verbs:
            for name in conditions:
                asked.headers.pop(name, None)
        if "DELETE" in verbs:
            _without_etags(asked)

    return change


def _without_etags(asked: Asked) -> None:
    if asked.verb != "DELETE_OBJECTS":
        return
    asked.body = re.sub(rb"<ETag>[^<]*</ETag>", b"", asked.body)
    # What proves the body's integrity is of the one that was sent.
    for name in [name for name in asked.headers if name.startswith("x-amz-checksum-") or name == "content-md5"]:
        del asked.headers[name]
    asked.headers["content-md5"] = base64.b64encode(hashlib.md5(asked.body, usedforsecurity=False).digest()).decode()
