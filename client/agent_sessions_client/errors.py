"""What can go wrong between a caller and an endpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class AgentSessionsError(Exception):
    """The base of this package's errors."""


class ConnectionLostError(AgentSessionsError):
    """The endpoint could not be reached, at first or any more; the cause says how.

    If a turn had begun, it may have been taken all the same: send the request again with its Idempotency-Key.
    """


class EndpointProblemError(AgentSessionsError):
    """The endpoint answered with a problem instead of a reply.

    Attributes:
        status: The HTTP status.
        kind: The problem's name, such as ``session-busy``; empty for an answer that is no problem document.
        problem: The whole problem document (RFC 9457).
        retry_after_seconds: How long to wait before it makes sense to send the request again; ``None`` where waiting
            does not help.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_seconds: float | None = None) -> None:
        self.status = status
        self.problem = dict(problem)
        self.kind = str(problem.get("type", "")).rpartition(":")[2]
        self.retry_after_seconds = retry_after_seconds
        title = problem.get("title") or "no problem document"
        detail = problem.get("detail")
        super().__init__(f"{status} {title}{f': {detail}' if detail else ''}")


def problem_in(status: int, headers: Mapping[str, str], body: bytes) -> EndpointProblemError:
    """The error for an answer that is no success.

    Args:
        status: The HTTP status.
        headers: The answer's.
        body: A problem document, or what a gateway in between has to say.
    """
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    waited = headers.get("retry-after", "")
    return EndpointProblemError(
        status, problem if isinstance(problem, dict) else {}, float(waited) if waited.isdigit() else None
    )
