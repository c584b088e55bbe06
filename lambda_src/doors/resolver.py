"""Powertools' router for Function URLs, safe to call from several threads.

In Lambda one process serves one request at a time. The local server has a thread for each request, and Powertools
keeps "the" current request in attributes of a class: one caller's turn would be answered with another's session.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver
from aws_lambda_powertools.utilities.data_classes import LambdaFunctionUrlEvent

from lambda_src.doors.payload import parse, serialize


@dataclass
class _Request:
    event: LambdaFunctionUrlEvent | None = None
    lambda_context: Any = None
    context: dict[str, Any] = field(default_factory=dict)
    processed_stack_frames: list[str] = field(default_factory=list)


class FunctionUrlRouter(LambdaFunctionUrlResolver):
    """A router whose notion of the current request belongs to the thread that serves it."""

    def __init__(self) -> None:
        self._current: ContextVar[_Request] = ContextVar("function_url_request")
        self._outside = _Request()
        super().__init__(enable_validation=True, serializer=serialize, json_body_deserializer=parse)

    @property
    def _request_state(self) -> _Request:
        return self._current.get(self._outside)

    def resolve(self, event: Any, context: Any) -> dict[str, Any]:
        """Route one request to its handler and return what Lambda expects."""
        token = self._current.set(_Request(LambdaFunctionUrlEvent(event, parse), context))
        try:
            return super().resolve(event, context)
        finally:
            self._current.reset(token)

    def prepare(self) -> None:
        """Build every route's chain of middlewares now; at a first request, two threads could build it twice."""
        for route in [*self._static_routes, *self._dynamic_routes]:
            route._build_middleware_stack(router_middlewares=self._router_middlewares, app=self)  # noqa: SLF001 - as above

    # Powertools declares these as plain attributes, of the class or of the router; it reads and writes them while it
    # resolves. Its own router for local servers replaces them by properties in the same way.
    @property
    def current_event(self) -> LambdaFunctionUrlEvent:  # type: ignore[override] # see above
        """The request being served in this thread."""
        if self._request_state.event is None:
            raise RuntimeError("no request is being served")
        return self._request_state.event

    @property
    def lambda_context(self) -> Any:  # type: ignore[override] # see above
        """The Lambda context of the request being served in this thread."""
        return self._request_state.lambda_context

    @property
    def context(self) -> dict[str, Any]:
        """Powertools' notes on the request being served in this thread."""
        return self._request_state.context

    @context.setter
    def context(self, value: dict[str, Any]) -> None:
        self._request_state.context = value

    @property
    def processed_stack_frames(self) -> list[str]:
        """Powertools' record of the middlewares that ran."""
        return self._request_state.processed_stack_frames

    @processed_stack_frames.setter
    def processed_stack_frames(self, value: list[str]) -> None:
        self._request_state.processed_stack_frames = value
