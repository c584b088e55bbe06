"""What routes know of the request they serve: who asks, what its headers say, and how much time is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lambda_src.turns.time_limit import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.session_store import SessionStore
    from lambda_src.doors.resolver import FunctionUrlRouter
    from lambda_src.endpoint import Endpoint
    from lambda_src.runtime.event_loop import Result


class CurrentRequest:
    """The request being served in this thread.

    Args:
        endpoint: What the request acts on.
        router: Knows the request.
    """

    def __init__(self, endpoint: Endpoint, router: FunctionUrlRouter) -> None:
        self._endpoint = endpoint
        self._router = router

    @property
    def request_id(self) -> str:
        """Lambda's id of the request, by which the log can be searched."""
        return str(self._router.lambda_context.aws_request_id)

    @property
    def path(self) -> str:
        """The path, percent-encoded."""
        return self._router.current_event.raw_path

    def header(self, name: str) -> str | None:
        """A header's value, several of one name joined by commas."""
        value = self._router.current_event.resolved_headers_field.get(name)
        return None if value is None else str(value)

    def json(self) -> dict[str, Any]:
        """The body, as it was sent."""
        return dict(self._router.current_event.json_body or {})

    def owner(self) -> str:
        """The key prefix of the sessions that the request is about: the caller's, or of whom it speaks for."""
        return self._router.owner

    def store(self) -> SessionStore:
        """Where the caller's sessions are."""
        return self._endpoint.store(self.owner())

    def remaining_seconds(self) -> Callable[[], float]:
        """Tells how much time the function has left for this request, from any thread."""
        context = self._router.lambda_context
        return lambda: context.get_remaining_time_in_millis() / 1000

    def time_limit(self) -> TimeLimit:
        """How long what is begun now may take."""
        return TimeLimit.within(self.remaining_seconds()(), self._endpoint.settings.deadline_margin_seconds)

    def has_time(self) -> Callable[[], bool]:
        """Tells whether the function has time left for what can be left to the next request."""
        remaining, margin = self.remaining_seconds(), self._endpoint.settings.deadline_margin_seconds
        return lambda: remaining() > margin

    def in_time(self, work: Callable[[], Result]) -> Result:
        """Read something. If the storage does not answer, say so while there is time.

        Raises:
            OutOfTimeError: The storage does not answer.
        """
        return self._endpoint.in_time(work, self.remaining_seconds())
