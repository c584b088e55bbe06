"""Problem documents (RFC 9457): how an answer that is not a reply looks over HTTP."""

from __future__ import annotations

from typing import Any

from lambda_src.answers import errors
from lambda_src.doors.http_request import session_in
from lambda_src.doors.payload import serialize

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:agent-session-kit:problem:"


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
    if isinstance(error, errors.UnauthenticatedError):
        result["WWW-Authenticate"] = error.challenge  # RFC 9110 asks for the scheme that would be accepted
    if isinstance(error, errors.MethodNotAllowedError):
        result["Allow"] = ", ".join(error.allowed)
    return result


def response(error: errors.EndpointError, *, path: object, request_id: str | None) -> dict[str, Any]:
    """The whole answer as a Function URL expects it.

    Args:
        error: What to tell the caller.
        path: The request's path, good or bad. It may name a session.
        request_id: See ``problem``.
    """
    return {
        "statusCode": error.status,
        "headers": {"Content-Type": MEDIA_TYPE, **headers(error)},
        "body": serialize(problem(error, session_id=session_in(path), request_id=request_id)),
        "isBase64Encoded": False,
    }
