"""HTTP requests as a Lambda Function URL hands them to a function, and back (payload format 2.0).

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lambda_src.runtime.streamed_answer import StreamedAnswer

# What a synchronous invocation may carry in either direction (Lambda quotas).
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024

# Set by the server that sends the answer, whatever the function says of them.
_OF_THE_CONNECTION = frozenset(
    {"connection", "content-length", "date", "keep-alive", "proxy-connection", "server", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# A line break in a value would begin another header, or the body (RFC 9110, 5.5).
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# Bodies that arrive as text; all others are base64, an HTML form's included.
_TEXT = re.compile(r"text/.*|application/(.*\+)?(json|xml)|application/javascript", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """An HTTP request.

    Attributes:
        method: in capitals.
        target: the path and the query string, percent-encoded as they came.
        headers: name and value pairs, in order; names may repeat.
        body: the bytes.
        source_ip: who asks.
        protocol: such as ``HTTP/1.1``.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"


@dataclass(frozen=True)
class Response:
    """An HTTP response.

    Attributes:
        status: the status code.
        headers: name and value pairs; ``set-cookie`` may repeat.
        body: the bytes.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


def event_from(request: Request, request_id: str, now: float) -> dict[str, Any]:
    """Return the event a function behind a Function URL without IAM gets for a request.

    Args:
        request: what came.
        request_id: the invocation's id.
        now: seconds since the epoch.
    """
    path, _, query = request.target.partition("?")
    headers = _joined(request.headers)
    cookies = headers.pop("cookie", None)
    host = headers.get("host", "localhost")
    content_type = headers.get("content-type", "").partition(";")[0].strip()
    is_text = _TEXT.fullmatch(content_type) is not None and _is_utf8(request.body)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": path,
                "protocol": request.protocol,
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": bool(request.body) and not is_text,
    }
    if cookies is not None:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if query:
        event["queryStringParameters"] = _joined(parse_qsl(query, keep_blank_values=True), lower=False)
    if request.body:
        event["body"] = request.body.decode() if is_text else base64.b64encode(request.body).decode()
    return event


def payload_size(event: dict[str, Any]) -> int:
    """Return an event's size in bytes, as Lambda counts it against its limit."""
    return len(json.dumps(event, ensure_ascii=False).encode())


def response_from(result: Any) -> Response:
    """Return what a Function URL answers for a handler's result.

    Without a ``statusCode`` the result itself is the body of a 200, as the Function URL infers it.

    Raises:
        TypeError: when the result has no meaning over HTTP; a Function URL answers 502 then.
        ValueError: when a header cannot be sent, or the status is not one that ends a request.
    """
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result if isinstance(result, str) else json.dumps(result)
        return Response(200, [("content-type", "application/json")], body.encode())
    headers = _headers(result.get("headers") or {}, result.get("cookies") or [])
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    body = result.get("body") or ""
    if not isinstance(body, str):
        raise TypeError(f"the body of a response must be text, not {type(body).__name__}")
    content = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
    return Response(_final_status(result["statusCode"]), headers, content)


def streamed_headers(answer: StreamedAnswer) -> list[tuple[str, str]]:
    """Return the headers of a streamed answer.

    Raises:
        ValueError: when a header cannot be sent.
    """
    return _headers(answer.headers, answer.cookies)


def _headers(named: Mapping[Any, Any], cookies: Iterable[Any]) -> list[tuple[str, str]]:
    headers = [_header(str(name).lower(), str(value)) for name, value in named.items()]
    headers = [(name, value) for name, value in headers if name not in _OF_THE_CONNECTION]
    return headers + [_header("set-cookie", str(cookie)) for cookie in cookies]


def _header(name: str, value: str) -> tuple[str, str]:
    value = value.strip(" \t")
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the header {name!r} cannot be sent with the value {value!r}")
    return name, value


def _final_status(value: Any) -> int:
    status = int(value)
    if not 200 <= status <= 599:  # noqa: PLR2004 - 1xx are no answer yet
        raise ValueError(f"{status} is no status of an answer")
    return status


def _joined(pairs: Iterable[tuple[str, str]], *, lower: bool = True) -> dict[str, str]:
    """Return repeated names once, their values joined by commas."""
    joined: dict[str, str] = {}
    for given_name, value in pairs:
        name = given_name.lower() if lower else given_name
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
