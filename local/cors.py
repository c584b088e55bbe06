"""What a Function URL with a CORS configuration tells browsers: pure functions of a request and the allowed origins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from local.function_url import Response

if TYPE_CHECKING:
    from local.function_url import Request

# As infra/policies/cors.py gives them to the Function URL; a test compares the two.
METHODS: Final = ("GET", "POST", "PATCH", "DELETE")
REQUEST_HEADERS: Final = (
    *("accept", "authorization", "content-type", "idempotency-key", "last-event-id", "prefer", "session-owner"),
    *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token"),
)
EXPOSED_HEADERS: Final = (
    *("Allow", "Idempotency-Key", "Location", "Preference-Applied", "Retry-After", "WWW-Authenticate"),
    *("X-Request-Id", "x-amzn-RequestId"),
)
MAX_AGE_SECONDS: Final = 600


def preflight(request: Request, origins: tuple[str, ...]) -> Response | None:
    """The answer to a preflight (Fetch standard, "CORS-preflight request"), which never reaches the handler.

    Args:
        request: Any request.
        origins: Whose pages may call; none: there is no CORS configuration.

    Returns:
        The answer, or None for a request that is no preflight.
    """
    headers = dict(request.headers)
    if not origins or request.method != "OPTIONS" or "access-control-request-method" not in headers:
        return None
    allowed = answer_headers(request, origins)
    if allowed:
        allowed += [
            ("access-control-allow-methods", ",".join(METHODS)),
            ("access-control-allow-headers", ",".join(REQUEST_HEADERS)),
            ("access-control-max-age", str(MAX_AGE_SECONDS)),
        ]
    return Response(200, [("vary", "Origin"), *allowed])


def answer_headers(request: Request, origins: tuple[str, ...]) -> list[tuple[str, str]]:
    """The headers that let a page read an answer. An origin is allowed by name, and never with credentials.

    The function's own answers say ``Vary: Origin`` already.

    Args:
        request: What was asked.
        origins: Whose pages may call.
    """
    if not origins:
        return []
    origin = dict(request.headers).get("origin")
    if origin not in origins:
        return []
    return [
        ("access-control-allow-origin", str(origin)),
        ("access-control-expose-headers", ",".join(EXPOSED_HEADERS)),
    ]
