"""Call the Lambda handler as the Lambda service would, in this process."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS = 120.0
"""The function's time limit, the same as the deployed one's default."""


Handler: TypeAlias = "Callable[[dict[str, Any], LambdaContext], Any]"


@dataclass(frozen=True)
class LambdaContext:
    """What Lambda tells a function about the invocation: the attributes of the Python runtime's context object.

    Attributes:
        deadline: when the time is up, on the clock ``monotonic`` reads.
        monotonic: the clock, in seconds.
    """

    deadline: float
    monotonic: Callable[[], float] = time.monotonic
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_name: str = "agent-endpoint-local"
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:local:000000000000:function:agent-endpoint-local"
    memory_limit_in_mb: str = "1024"
    log_group_name: str = "local"
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left, never less than 0."""
        return max(0, int((self.deadline - self.monotonic()) * 1000))


class InFlight:
    """Counts the requests being answered, so that the server can end without cutting one off."""

    def __init__(self) -> None:
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()

    def enter(self) -> bool:
        """Count one more request; False when the server is ending and no request may begin."""
        with self._changed:
            self._count += not self._closed
            return not self._closed

    def leave(self) -> None:
        """Count one request less."""
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def close(self) -> int:
        """Let no request begin any more, and return how many are being answered."""
        with self._changed:
            self._closed = True
            return self._count

    @property
    def is_over(self) -> bool:
        """Whether no request may begin and none is being answered."""
        with self._changed:
            return self._closed and self._count == 0

    def drained(self, timeout_seconds: float) -> bool:
        """Wait until nothing is being answered; False when the time is up first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, timeout_seconds)
