"""An HTTP request, decoded once, strictly, and nowhere else.

A Function URL hands over the path and the query string as they were sent, percent-encoded, and the body as text or as
base64 (docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html). Lenient decoding makes one id of two: neither
``%E9`` nor ``%E8`` is UTF-8, and both would become U+FFFD. What cannot be decoded exactly is refused, and the routes
see decoded values only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from lambda_src.answers.errors import MalformedRequestError
from lambda_src.doors.validation import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}")  # a token of RFC 9110
_HALF_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SESSION_IN_PATH = re.compile(r"/sessions/([^/]+)")
_STANDS_FOR_ITSELF = "/%:@!$&'()*+,;=~"
"""What RFC 3986 lets stand in a path as it is, and the percent sign of what is encoded already."""


@dataclass(frozen=True)
class HttpRequest:
    """A request as the endpoint understands it.

    Attributes:
        method: In capitals.
        path: Percent-encoded, even if the event's writer had decoded it.
        query: The values of each parameter, decoded, in order.
        headers: By name in lower case; several of one name are joined by commas, as HTTP joins them.
        body: Text, or base64 when ``is_base64``; ``None`` when there is none.
        is_base64: See ``body``.
        context: What Lambda says of the request and its caller.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: str | None
    is_base64: bool
    context: Mapping[str, Any]


def is_http(event: object) -> bool:
    """Whether an event is an HTTP request, good or bad. Its errors are answered; a plain event's are raised."""
    if not isinstance(event, dict):
        return False
    context = event.get("requestContext")
    return isinstance(context, dict) and "http" in context and (isinstance(context["http"], dict) or "rawPath" in event)


def read_request(event: Mapping[str, Any]) -> HttpRequest:
    """Read a Function URL's event, payload format 2.0.

    Args:
        event: An event that :func:`is_http`.

    Raises:
        MalformedRequestError: No Function URL writes such an event.
        BadRequestError: The path or the query string cannot be decoded exactly.
    """
    context = event["requestContext"]
    http = context["http"]
    method = http.get("method") if isinstance(http, dict) else None
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise _odd("requestContext.http.method", "an HTTP method")
    path = event.get("rawPath")
    if not isinstance(path, str) or not path.startswith("/"):
        raise _odd("rawPath", "a path")
    body, is_base64 = event.get("body"), event.get("isBase64Encoded")
    if not isinstance(body, str | None):
        raise _odd("body", "text")
    if not isinstance(is_base64, bool | None):
        raise _odd("isBase64Encoded", "true or false")
    cookies = event.get("cookies")
    if cookies is not None and not (isinstance(cookies, list) and all(isinstance(cookie, str) for cookie in cookies)):
        raise _odd("cookies", "a list of text")
    return HttpRequest(
        method=method.upper(),
        path=_path(path),
        query=_query(event),
        headers=_headers(event),
        body=body or None,
        is_base64=bool(is_base64),
        context=context,
    )


def decoded(component: str) -> str:
    """The text that a component of a URL stands for.

    Args:
        component: Percent-encoded; characters beyond ASCII stand for themselves.

    Raises:
        ValueError: The component has half an escape, or bytes that are not UTF-8, which overlong forms and surrogates
            are not either (RFC 3629).
    """
    if _HALF_ESCAPE.search(component):
        raise ValueError("must be percent-encoded: % needs two hexadecimal digits after it")
    try:
        return unquote_to_bytes(component).decode()
    except UnicodeError:
        raise ValueError("must be percent-encoded UTF-8") from None


def session_in(path: object) -> str | None:
    """The session that a path names, even if the request is bad."""
    named = _SESSION_IN_PATH.match(path) if isinstance(path, str) else None
    if named is None:
        return None
    try:
        return decoded(named[1])
    except ValueError:
        return None


def described(event: Mapping[str, Any]) -> dict[str, str | None]:
    """Method and path of an event that :func:`is_http`, good or bad, for the log."""
    http = event["requestContext"]["http"]
    told = {"method": http.get("method") if isinstance(http, dict) else None, "path": event.get("rawPath")}
    return {name: value if isinstance(value, str) else None for name, value in told.items()}


def _path(path: str) -> str:
    try:
        return quote(path, safe=_STANDS_FOR_ITSELF)
    except UnicodeError:
        raise invalid([{"loc": ("path",), "msg": "must not contain unpaired surrogates"}]) from None


def _query(event: Mapping[str, Any]) -> dict[str, list[str]]:
    """The parameters of the raw query string. The event's parsed ones are decoded leniently and comma-joined."""
    parsed = _texts("queryStringParameters", event.get("queryStringParameters"))
    raw = event.get("rawQueryString")
    if not isinstance(raw, str | None):
        raise _odd("rawQueryString", "text")
    if not raw:  # an event that no Function URL wrote, for a test or by hand
        return {name: [_unicode(name, value)] for name, value in parsed.items()}
    query: dict[str, list[str]] = {}
    for pair in raw.replace("+", " ").split("&"):
        given_name, _, value = pair.partition("=")
        name = _parameter((), given_name)
        query.setdefault(name, []).append(_parameter((name,), value))
    return query


def _parameter(location: tuple[str, ...], component: str) -> str:
    try:
        return decoded(component)
    except ValueError as error:
        raise invalid([{"loc": ("query", *location), "msg": str(error)}]) from None


def _unicode(name: str, value: str) -> str:
    try:
        f"{name}{value}".encode()
    except UnicodeError:
        raise invalid([{"loc": ("query",), "msg": "must not contain unpaired surrogates"}]) from None
    return value


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for given_name, value in _texts("headers", event.get("headers")).items():
        name = given_name.lower()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _texts(member: str, value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise _odd(member, "an object whose values are text")
    return value


def _odd(member: str, expected: str) -> MalformedRequestError:
    return MalformedRequestError(f"No Function URL sends such an event: {member} must be {expected}.")
