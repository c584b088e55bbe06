"""What an answer of S3 means: by its error code, or by its status if it has no code.

S3 itself always sends a code. A gateway, a proxy or another implementation may answer with an empty body, or with a
page for people; then only the status is left. A listing or an object without what S3 always sends is no answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from agent_sessions.exceptions import SessionStorageError, is_transient_code

if TYPE_CHECKING:
    from collections.abc import Mapping

S3_ERRORS = (ClientError, BotoCoreError, ResponseParserError, HTTPError)
"""What a call may raise: while a body is read, urllib3's errors come unchanged."""

_BY_STATUS = {
    301: "PermanentRedirect",
    307: "TemporaryRedirect",
    308: "PermanentRedirect",
    400: "InvalidRequest",
    401: "AccessDenied",
    403: "AccessDenied",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "ConditionalRequestConflict",
    411: "MissingContentLength",
    412: "PreconditionFailed",
    413: "EntityTooLarge",
    414: "KeyTooLongError",
    416: "InvalidRange",
    429: "SlowDown",
    500: "InternalError",
    501: "NotImplemented",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
"""The code that S3 would have sent with each status."""

_ON_BUCKETS = {"ListObjectsV2", "ListObjectVersions", "DeleteObjects"}
"""Operations that name no single key: a 404 means that the bucket is missing."""

_OTHERS_MISSING = {"NoSuchBucket", "NoSuchAccessPoint", "NoSuchUpload", "NoSuchVersion"}
"""Codes of a 404 that is not about the key."""

_PASSING_STATUS = {408, 409, 425, 429}
_PASSING_CODES = {
    "RequestTimeout",
    "RequestTimeTooSkewed",  # after a freeze, a process has an old time for a moment
    "ExpiredToken",
    "TokenRefreshRequired",
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "RequestLimitExceeded",
    "TooManyRequests",
    "NoSuchKey",
}
"""S3's 4xx answers that sending again can mend: something was lost on the way, or credentials have expired."""


class NoAnswerError(BotoCoreError):
    """S3 answered 200, but not to what was asked: with a page of a proxy, say."""

    fmt = "the answer to {operation} lacks {what}: it does not come from S3"


def status_of(error: ClientError) -> int:
    """The HTTP status of an answer; ``0`` when it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError, *, missing: str = "NoSuchKey") -> str:
    """The error's code: S3's own, or the one that S3 would have sent with this status.

    Args:
        error: The answer.
        missing: What a 404 means here. It means the bucket, if the operation names no key or expects none.
    """
    code = str(error.response.get("Error", {}).get("Code") or "")
    if code and code != "Unknown" and not code.isdigit():
        return code
    status = int(code) if code.isdigit() else status_of(error)
    if status == 404:  # noqa: PLR2004 - HTTP's
        return "NoSuchBucket" if error.operation_name in _ON_BUCKETS else missing
    return _BY_STATUS.get(status, f"HTTP{status}" if status else "Unknown")


def is_missing(error: ClientError) -> bool:
    """Whether there is no object at the key."""
    code = code_of(error)
    return code == "NoSuchKey" or (
        status_of(error) == 404 and error.operation_name not in _ON_BUCKETS and code not in _OTHERS_MISSING  # noqa: PLR2004
    )


def is_refused(error: ClientError) -> bool:
    """Whether the answer says that a condition did not hold."""
    return code_of(error) == "PreconditionFailed" or status_of(error) == 412  # noqa: PLR2004 - HTTP's


def is_conflict(error: ClientError) -> bool:
    """Whether another write of the key was in flight. S3 then asks the client to try again."""
    return code_of(error) in {"ConditionalRequestConflict", "OperationAborted"}


def is_unsupported(error: ClientError, *, amazon: bool) -> bool:
    """Whether the answer says that the store does not know what was asked.

    Args:
        error: The answer.
        amazon: Whether S3 itself has sent it. Other stores answer 400 to what they do not know.
    """
    return status_of(error) in {405, 501} or (status_of(error) == 400 and not amazon)  # noqa: PLR2004 - HTTP's


def is_passing(status: int) -> bool:
    """Whether a status says that the store failed or was busy, whatever it was asked."""
    return status in {408, 429} or (status >= 500 and status != 501)  # noqa: PLR2004 - HTTP's


def failed(bucket: str, doing: str, key: str, error: Exception, *, missing: str = "NoSuchKey") -> SessionStorageError:
    """The error for a call that S3 refused, or that never reached S3.

    Args:
        bucket: The bucket.
        doing: What was to be done with the object: ``read``, ``write``, ``delete``, ``list``.
        key: The object's key, or the prefix that was to be listed.
        error: What the call ended with.
        missing: See :func:`code_of`.
    """
    code = code_of(error, missing=missing) if isinstance(error, ClientError) else type(error).__name__
    # Without s3:ListBucket a missing key is 403, not 404. Say so before somebody searches for hours.
    hint = " (reading needs s3:GetObject, and s3:ListBucket for keys that may be missing)" * (
        code == "AccessDenied" and doing == "read"
    )
    return SessionStorageError(
        f"bucket={bucket}, key={key} | S3 could not {doing} it: {error}{hint}",
        code=code,
        is_transient=is_transient_code(code) and not (isinstance(error, ClientError) and _is_refusal(error, code)),
        key=key,
    )


def require(response: Any, operation: str, *names: str) -> None:
    """Check that an answer holds at least one of the fields that S3's answers to this operation always have.

    Raises:
        NoAnswerError: The answer holds none of them.
    """
    if not any(name in response for name in names):
        raise NoAnswerError(operation=operation, what=names[0])


def date_of(metadata: Mapping[str, Any]) -> datetime:
    """The storage's time, from the answer's ``Date`` header; this machine's time if a store sends none."""
    header = metadata.get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(header) if header else datetime.now(UTC)


def _is_refusal(error: ClientError, code: str) -> bool:
    """Whether S3 blames the request, with an unlisted code that is neither a throttle nor a time-out."""
    status = status_of(error)
    if not 400 <= status < 500 or status in _PASSING_STATUS:  # noqa: PLR2004 - HTTP's classes
        return False
    return code not in _PASSING_CODES and "Throttl" not in code
