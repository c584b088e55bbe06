"""What the local server refuses before the handler sees it, and how it says so: pure functions of a request's head."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lambda_src.doors.problems import MEDIA_TYPE, TYPE_PREFIX
from local.function_url import MAX_PAYLOAD_BYTES, Response

if TYPE_CHECKING:
    from local.function_url import Request

HOST: Final = "127.0.0.1"

_LOCAL_NAMES: Final = frozenset({HOST, "localhost", "::1"})
# A Function URL hands these to the function, whatever the function makes of them.
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_PROTOCOLS: Final = frozenset({"HTTP/1.0", "HTTP/1.1"})


def refused_by_head(request: Request, cors_origins: tuple[str, ...] = ()) -> Response | None:
    """Judge a request by its method and headers, before its body is asked for.

    Args:
        request: Without its body.
        cors_origins: Whose pages may ask, beside those of this machine.

    Returns:
        The refusal, or None when the body may come.
    """
    if request.method not in _METHODS:
        return problem(501, "not-implemented", "Not Implemented", f"There is no method {request.method}.")
    if request.protocol not in _PROTOCOLS:
        return problem(505, "http-version", "HTTP Version Not Supported", "Speak HTTP/1.1.")
    headers = dict(request.headers)
    strangers = [(name, value) for name, value in request.headers if name in {"host", "origin"} and not is_local(value)]
    if not all(name == "origin" and value in cors_origins for name, value in strangers):
        return problem(
            403,
            "not-local",
            "Not from this machine",
            "Only this machine's own programs and pages may ask, and pages of CORS_ORIGINS.",
        )
    if int(headers.get("content-length", "0")) > MAX_PAYLOAD_BYTES:
        return too_large()
    if "transfer-encoding" in headers and "expect" in headers:
        return length_required()  # refused before the body is sent
    return None


def too_large() -> Response:
    """Return the refusal of a request above Lambda's limit."""
    return problem(413, "payload-too-large", "Too large", "A request can have 6 MB. Send large files in several turns.")


def length_required() -> Response:
    """Return the refusal of a body whose length is not stated."""
    return problem(411, "length-required", "Length required", "Send the body with a Content-Length.")


def malformed(detail: str) -> Response:
    """Return the refusal of what is no HTTP request, or not a whole one."""
    return problem(400, "malformed-request", "The request cannot be read", detail)


def too_slow(seconds: float) -> Response:
    """Return the refusal of a request that does not arrive in time."""
    return problem(408, "request-timeout", "Too slow", f"A request has to arrive within {seconds:g} seconds.")


def shutting_down() -> Response:
    """Return the refusal of a request that comes while the server ends."""
    return problem(503, "shutting-down", "Shutting down", "The server is ending. Start it again.")


def function_failed(detail: str) -> Response:
    """Return the answer when the handler gave none that can be sent."""
    return problem(502, "internal-error", "The function failed", detail)


def problem(status: int, slug: str, title: str, detail: str) -> Response:
    """Return a problem document (RFC 9457) for a request that never reaches the handler."""
    document = {"type": f"{TYPE_PREFIX}{slug}", "title": title, "status": status, "detail": detail}
    return Response(status, [("content-type", MEDIA_TYPE)], json.dumps(document).encode())


def is_local(host_or_origin: str) -> bool:
    """Whether a Host or Origin header names this machine.

    Any web page can make the user's browser ask 127.0.0.1. Such a request carries the page's origin or, if the page's
    name was made to resolve to this machine, that name as its host.
    """
    try:
        return urlsplit(host_or_origin if "//" in host_or_origin else f"//{host_or_origin}").hostname in _LOCAL_NAMES
    except ValueError:
        return False
