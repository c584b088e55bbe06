"""Powertools' router for Function URLs, safe to call from several threads.

In Lambda one process serves one request at a time. The local server has a thread for each request, and Powertools
keeps "the" current request in attributes of a class: one caller's turn would be answered with another's session.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver
from aws_lambda_powertools.utilities.data_classes import LambdaFunctionUrlEvent
from aws_lambda_powertools.utilities.data_classes.common import CaseInsensitiveDict

from lambda_src.doors.http_request import read_request
from lambda_src.doors.payload import read_json, serialize

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_src.doors.http_request import HttpRequest
    from lambda_src.runtime.streamed_answer import StreamedAnswer


class RoutedEvent(LambdaFunctionUrlEvent):
    """The event that Powertools sees: the values we have decoded, so that nobody decodes them another way.

    Args:
        request: The request.
    """

    def __init__(self, request: HttpRequest) -> None:
        http = {"method": request.method, "path": request.path}
        super().__init__(
            {
                "rawPath": request.path,
                "rawQueryString": urlencode(request.query, doseq=True),
                # Powertools compares the content type in its own way; ``json_body`` has compared it in ours.
                "headers": {**request.headers, "content-type": "application/json"},
                "requestContext": {**request.context, "http": http, "stage": "$default"},
            }
        )
        self._request = request

    @property
    def resolved_query_string_parameters(self) -> dict[str, list[str]]:
        """The values of each parameter."""
        return {name: list(values) for name, values in self._request.query.items()}

    @property
    def resolved_headers_field(self) -> dict[str, str]:
        """The headers, their values whole."""
        headers: dict[str, str] = CaseInsensitiveDict(self._request.headers)  # type: ignore[no-untyped-call]
        return headers

    @property
    def json_body(self) -> Any:
        """The body, read when a route takes one."""
        request = self._request
        content_type = request.headers.get("content-type")
        return read_json(request.body, is_base64=request.is_base64, content_type=content_type)


@dataclass
class _Request:
    event: RoutedEvent | None = None
    lambda_context: Any = None
    owner: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    streamed: StreamedAnswer | None = None
    processed_stack_frames: list[str] = field(default_factory=list)


class FunctionUrlRouter(LambdaFunctionUrlResolver):
    """A router whose notion of the current request belongs to the thread that serves it.

    Args:
        identify: Tells whose sessions a request is about, by its event; raises if it cannot.
        is_public: Whether anybody may ask for a path. Before anything else is looked at, the others ask who is calling.
    """

    def __init__(
        self, identify: Callable[[dict[str, Any]], str], is_public: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._identify = identify
        self.is_public = is_public
        self._current: ContextVar[_Request] = ContextVar("function_url_request")
        self._outside = _Request()
        super().__init__(enable_validation=True, serializer=serialize)

    @property
    def _request_state(self) -> _Request:
        return self._current.get(self._outside)

    def resolve(self, event: Any, context: Any) -> dict[str, Any] | StreamedAnswer:  # type: ignore[override] # see above
        """Route one request to its handler and return what Lambda expects, or the stream that a route has begun.

        Raises:
            EndpointError: The request cannot be decoded, or its caller is not known. Whatever goes wrong later is
                answered.
        """
        routed = RoutedEvent(read_request(event))
        owner = None if self.is_public(routed.path) else self._identify(routed.raw_event)
        token = self._current.set(_Request(routed, context, owner))
        try:
            answer = super().resolve(event, context)
            return self._request_state.streamed or answer
        finally:
            self._current.reset(token)

    def stream(self, answer: StreamedAnswer) -> None:
        """Answer the current request with a stream. What its route returns besides is not sent."""
        self._request_state.streamed = answer

    @property
    def owner(self) -> str:
        """The key prefix of the sessions that the current request is about."""
        if self._request_state.owner is None:
            raise RuntimeError("nobody was asked who is calling")
        return self._request_state.owner

    def prepare(self) -> None:
        """Build every route's chain of middlewares now; at a first request, two threads could build it twice."""
        for route in [*self._static_routes, *self._dynamic_routes]:
            route._build_middleware_stack(router_middlewares=self._router_middlewares, app=self)  # noqa: SLF001 - as above

    def allowed_methods(self) -> list[str]:
        """The methods that the current request's path takes; none when there is no such path."""
        routes = [*self._static_routes, *self._dynamic_routes]
        return sorted({route.method for route in routes if route.rule.match(self.current_event.path)})

    # Powertools declares these as plain attributes, of the class or of the router; it reads and writes them while it
    # resolves. Its own router for local servers replaces them by properties in the same way.
    @property
    def current_event(self) -> RoutedEvent:  # type: ignore[override] # see above
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
