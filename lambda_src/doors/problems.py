"""Problem documents (RFC 9457): how an answer that is not a reply looks over HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lambda_src.answers import errors
from lambda_src.doors.payload import serialize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:agent-session-kit:problem:"
_SESSION_IN_PATH = re.compile(r"/sessions/([^/]+)")


def problem(error: errors.EndpointError, *, session_id: str | None, request_id: str | None) -> dict[str, Any]:
    """The problem document for an error.

    Args:
        error: What to tell the caller.
        session_id: The session the request was about, where there is one.
        request_id: Lambda's id of the request, by which the log can be searched.
    """
    document = {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "session_id": session_id,
        "request_id": request_id,
    }
    return document | {name: value for name, value in error.extensions.items() if value is not None}


def headers(error: errors.EndpointError) -> dict[str, str]:
    """The headers that belong to an error."""
    result: dict[str, str] = {}
    if error.retry_after_seconds is not None:
        result["Retry-After"] = str(error.retry_after_seconds)
    if error.status == errors.UnauthenticatedError.status:
        result["WWW-Authenticate"] = "AWS4-HMAC-SHA256"  # RFC 9110 asks for the scheme that would be accepted
    return result


def response(error: errors.EndpointError, *, path: str, request_id: str | None) -> dict[str, Any]:
    """The whole answer as a Function URL expects it.

    Args:
        error: What to tell the caller.
        path: The request's path, which may name a session.
        request_id: See ``problem``.
    """
    named = _SESSION_IN_PATH.match(path)
    session_id = unquote(named[1], errors="replace") if named else None
    return {
        "statusCode": error.status,
        "headers": {"Content-Type": MEDIA_TYPE, **headers(error)},
        "body": serialize(problem(error, session_id=session_id, request_id=request_id)),
        "isBase64Encoded": False,
    }


def invalid(findings: Iterable[Mapping[str, Any]]) -> errors.BadRequestError:
    """The error for what a validator found; the values themselves are not repeated."""
    parts = [
        {
            "location": ".".join(str(step) for step in finding["loc"]) or "event",
            "detail": str(finding["msg"]).removeprefix("Value error, "),
        }
        for finding in findings
    ]
    first = parts[0]
    more = f" (and {len(parts) - 1} more)" if len(parts) > 1 else ""
    return errors.BadRequestError(f"{first['location']}: {first['detail']}{more}", errors=parts)
