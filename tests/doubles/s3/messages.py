"""A request and an answer, and which of S3's operations a request is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

Verb = Literal["GET", "HEAD", "PUT", "DELETE", "LIST", "LIST_VERSIONS", "DELETE_OBJECTS", "BUCKET"]
"""What S3 bills and a log counts by. ``BUCKET`` is everything that concerns a bucket as such."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request, whole.

    Attributes:
        headers: Names in lower case.
        key: Empty when the request concerns a bucket.
    """

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def verb(self) -> Verb:
        """Name the operation as a bill does."""
        if self.key:
            return self.method if self.method in ("GET", "HEAD", "PUT", "DELETE") else "BUCKET"  # type: ignore[return-value]  # narrowed by the test beside it
        if self.method == "GET" and "versions" in self.query:
            return "LIST_VERSIONS"
        if self.method == "GET" and self.bucket and not (_BUCKET_SUBRESOURCES & self.query.keys()):
            return "LIST"
        return "DELETE_OBJECTS" if self.method == "POST" and "delete" in self.query else "BUCKET"

    @property
    def log_key(self) -> str:
        """Return the key, or for a listing its prefix: what fault rules match and logs show."""
        return self.key or self.query.get("prefix", "")


_BUCKET_SUBRESOURCES = frozenset({"location", "versioning", "lifecycle", "policy", "acl", "encryption", "uploads"})


@dataclass(slots=True)
class Response:
    """An HTTP answer; ``content-length`` and ``date`` are added on the way out."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def parse_target(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Read a path-style target, ``/bucket/key?query``."""
    path, _, query_text = target.partition("?")
    bucket, _, key = path.lstrip("/").partition("/")
    query = dict(parse_qsl(query_text, keep_blank_values=True)) if query_text else {}
    return Request(method, unquote(bucket), unquote(key), query, headers, body)
