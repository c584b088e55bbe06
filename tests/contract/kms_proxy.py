"""A reverse proxy in front of an S3 emulator that gives every write an ETag of its own, as SSE-KMS does.

With SSE-S3 the ETag of an object is the MD5 of its bytes, so two writes of the same bytes are indistinguishable; with
SSE-KMS "the ETag is not an MD5 digest" and changes with every write. Code that relies on either fails here. Emulators
give MD5 only, so this proxy hands out random ETags and translates them back in conditions. An ETag it no longer knows
is replaced by one that matches nothing, so that the emulator itself decides what a failed condition answers.
"""

import http.client
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

_NEVER = '"00000000000000000000000000000000"'
_NOT_FORWARDED = frozenset({"connection", "transfer-encoding", "content-length", "server", "date"})


class ETags:
    """Which ETag of ours stands for which of the emulator's, by object path. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, tuple[str, str]] = {}

    def written(self, path: str, theirs: str) -> str:
        """A fresh ETag for an object that was just written."""
        ours = f'"{secrets.token_hex(16)}"'
        with self._lock:
            self._current[path] = (ours, theirs)
        return ours

    def shown(self, path: str, theirs: str) -> str:
        """The ETag of an object that is read or listed: the one its last write got."""
        with self._lock:
            known = self._current.get(path)
        return known[0] if known and known[1] == theirs else self.written(path, theirs)

    def condition(self, path: str, value: str) -> str:
        """A condition's ETag as the emulator knows it."""
        if value == "*":
            return value
        with self._lock:
            known = self._current.get(path)
        return known[1] if known and known[0].strip('"') == value.strip('"') else _NEVER


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def do_GET(self) -> None:
        self._forward()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - names the base class looks up

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urlsplit(self.path)
        path = unquote(split.path)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        for name in ("If-Match", "If-None-Match"):
            if name in headers:
                headers[name] = self.server.etags.condition(path, headers[name])
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
            answered = [(name, value) for name, value in response.getheaders() if name.lower() not in _NOT_FORWARDED]
            self._answer(path, split.query, response.status, answered, content)
        finally:
            connection.close()

    def _answer(self, path: str, query: str, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        if "list-type=2" in query:
            content = self._translate_listing(path, content)
        self.send_response(status)
        length = str(len(content))
        for name, value in headers:
            shown = value
            if name.lower() == "etag":
                is_write = self.command == "PUT" and status < http.client.MULTIPLE_CHOICES
                shown = self.server.etags.written(path, value) if is_write else self.server.etags.shown(path, value)
            self.send_header(name, shown)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _translate_listing(self, path: str, content: bytes) -> bytes:
        def translate(found: re.Match[str]) -> str:
            key = unquote(found["key"])
            etag = found["etag"].replace("&quot;", '"')
            return found[0].replace(found["etag"], self.server.etags.shown(f"{path.rstrip('/')}/{key}", etag))

        pattern = r"<Key>(?P<key>[^<]*)</Key>(?:(?!</Contents>).)*?<ETag>(?P<etag>[^<]*)</ETag>"
        return re.sub(pattern, translate, content.decode(), flags=re.DOTALL).encode()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Tests read their own output."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.etags = ETags()


@contextmanager
def kms_proxy(upstream_url: str) -> Iterator[str]:
    """Run the proxy in front of an emulator and yield its own URL."""
    server = _Server(urlsplit(upstream_url).netloc)
    thread = threading.Thread(target=server.serve_forever, name="kms-proxy", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
