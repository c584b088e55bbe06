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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import unescape

_NEVER = '"00000000000000000000000000000000"'
_QUOTE: Final = {"&quot;": '"'}
_NOT_FORWARDED = frozenset({"connection", "transfer-encoding", "content-length", "server", "date"})


class ETags:
    """Which ETag of ours stands for which of the emulator's, by object and version. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, tuple[str, str]] = {}
        self._versions: dict[tuple[str, str], tuple[str, str]] = {}

    def written(self, path: str, theirs: str, version: str | None = None) -> str:
        """A fresh ETag for an object that was just written."""
        pair = (f'"{secrets.token_hex(16)}"', theirs)
        with self._lock:
            self._current[path] = pair
            if version:
                self._versions[path, version] = pair
        return pair[0]

    def shown(self, path: str, theirs: str, version: str | None = None) -> str:
        """The ETag of an object that is read or listed: the one its write got."""
        with self._lock:
            known = self._versions.get((path, version or ""), self._current.get(path))
        return known[0] if known and known[1] == theirs else self.written(path, theirs, version)

    def condition(self, path: str, value: str, version: str | None = None) -> str:
        """A condition's ETag as the emulator knows it."""
        if value == "*":
            return value
        with self._lock:
            known = self._versions.get((path, version or ""), self._current.get(path))
        return known[1] if known and known[0].strip('"') == value.strip('"') else _NEVER


def _element(name: str, xml: str) -> str | None:
    found = re.search(rf"<{name}>([^<]*)</{name}>", xml)
    return found[1] if found else None


def _is_checksum(header: str) -> bool:
    return header.lower().startswith("x-amz-checksum-") or header.lower() in {"content-md5", "content-length"}


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
        if "delete" in parse_qs(split.query, keep_blank_values=True):
            body = self._in_blocks(path, body, self.server.etags.condition)
            headers = {name: value for name, value in headers.items() if not _is_checksum(name)}
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
        if "list-type=2" in query or "versions" in parse_qs(query, keep_blank_values=True):
            content = self._in_blocks(path, content, self.server.etags.shown)
        self.send_response(status)
        length = str(len(content))
        for name, value in headers:
            shown = value
            if name.lower() == "etag":
                is_write = self.command == "PUT" and status < http.client.MULTIPLE_CHOICES
                translate = self.server.etags.written if is_write else self.server.etags.shown
                shown = translate(path, value, dict(headers).get("x-amz-version-id"))
            self.send_header(name, shown)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _in_blocks(self, path: str, content: bytes, translate: Callable[[str, str, str | None], str]) -> bytes:
        """Translate the ETag of every object that a listing or a deletion names."""

        def block(found: re.Match[str]) -> str:
            key, etag = _element("Key", found[0]), _element("ETag", found[0])
            if key is None or etag is None:
                return found[0]
            object_path = f"{path.rstrip('/')}/{unquote(key)}"
            translated = translate(object_path, unescape(etag, _QUOTE), _element("VersionId", found[0]))
            return found[0].replace(etag, translated)

        return re.sub(r"<(Contents|Version|Object)>.*?</\1>", block, content.decode(), flags=re.DOTALL).encode()

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
