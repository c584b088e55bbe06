"""What a Function URL does between HTTP and the handler, as an ASGI application.

The handler is ordinary, blocking code: each request gets a thread of its own, so that no turn waits for another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar, cast

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse

from lambda_src.answers.diagnosis import diagnosis
from local.cors import answer_headers, preflight
from local.function_url import (
    MAX_PAYLOAD_BYTES,
    Request,
    Response,
    event_from,
    payload_size,
    response_from,
    streamed_headers,
)
from local.invocation import TIMEOUT_SECONDS, LambdaContext
from local.refusals import function_failed, length_required, refused_by_head, shutting_down, too_large
from local.streaming import carry, is_streamed

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from lambda_src.runtime.streamed_answer import StreamedAnswer
    from local.invocation import Handler, InFlight

Result = TypeVar("Result")

_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class FunctionUrl:
    """Answers HTTP requests with a Lambda handler.

    Args:
        handler: The function.
        in_flight: Counts a request from when the handler gets it until its answer is on the way.
        cors_origins: Whose pages may call.
    """

    def __init__(self, handler: Handler, in_flight: InFlight, cors_origins: tuple[str, ...] = ()) -> None:
        self._handler = handler
        self._cors_origins = cors_origins
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A refused request never reaches the handler."""
        try:
            request = await _receive(HttpRequest(scope, receive), self._cors_origins)
        except _RefusedError as refusal:
            await _send(refusal.response, scope, receive, send, closing=True)
            return
        except ClientDisconnect:
            return  # half a body is no request, and nobody waits for an answer
        if (answered := preflight(request, self._cors_origins)) is not None:
            await _send(answered, scope, receive, send)
            return
        if not self._in_flight.enter():
            await _send(shutting_down(), scope, receive, send, closing=True)
            return
        try:
            answer = await _in_thread(lambda: _invoke(self._handler, request))
            for_pages = answer_headers(request, self._cors_origins)
            if is_streamed(answer):
                await carry(answer, _encoded([*streamed_headers(answer), *for_pages]), receive, send)
            else:
                whole = cast("Response", answer)
                whole = dataclasses.replace(whole, headers=[*whole.headers, *for_pages])
                await _send(whole, scope, receive, send)
        finally:
            self._in_flight.leave()


class _RefusedError(Exception):
    """A request is refused."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


async def _receive(http: HttpRequest, cors_origins: tuple[str, ...]) -> Request:
    """Take a whole request. Raise :class:`_RefusedError` as soon as its head, or its size so far, is refused."""
    head = _head(http)
    refusal = refused_by_head(head, cors_origins)
    if refusal is not None:
        raise _RefusedError(refusal)
    pieces: list[bytes] = []
    size = 0
    async with contextlib.aclosing(http.stream()) as stream:
        async for piece in stream:
            size += len(piece)
            if size > MAX_PAYLOAD_BYTES:
                raise _RefusedError(too_large())
            pieces.append(piece)
    if "transfer-encoding" in http.headers:
        raise _RefusedError(length_required())
    return dataclasses.replace(head, body=b"".join(pieces))


def _head(http: HttpRequest) -> Request:
    scope = http.scope
    query = scope["query_string"]
    return Request(
        method=http.method,
        target=(scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in http.headers.raw],
        source_ip=http.client.host if http.client else "127.0.0.1",
        protocol=f"HTTP/{scope['http_version']}",
    )


def _invoke(handler: Handler, request: Request) -> Response | StreamedAnswer:
    context = LambdaContext(deadline=time.monotonic() + TIMEOUT_SECONDS)
    try:
        event = event_from(request, context.aws_request_id, time.time())
        if payload_size(event) > MAX_PAYLOAD_BYTES:
            return too_large()
        result = handler(event, context)
        if is_streamed(result):
            return dataclasses.replace(result, headers={**result.headers, "x-amzn-requestid": context.aws_request_id})
        response = response_from(result)
    except BaseException as error:  # noqa: BLE001 - like Lambda, the server survives whatever a handler raises
        _show(error)
        response = function_failed("It raised; the server's output says why.")
    if len(response.body) > MAX_PAYLOAD_BYTES:
        response = function_failed("Its reply is larger than 6 MB.")
    headers = [*response.headers, ("x-amzn-requestid", context.aws_request_id)]
    return dataclasses.replace(response, headers=headers)


def _show(error: BaseException) -> None:
    """Write what an error is and where it was raised, without its words: they may quote a conversation."""
    found = diagnosis(error)
    with contextlib.suppress(OSError):  # the reader may have left
        sys.stderr.write(f"{found['error']}\n" + "".join(f"  {place}\n" for place in found["error_at"]))
        sys.stderr.flush()


async def _send(response: Response, scope: Scope, receive: Receive, send: Send, *, closing: bool = False) -> None:
    content = b"" if response.status in _BODILESS else response.body
    http = HttpResponse(content, response.status)
    http.raw_headers += _encoded(response.headers)
    if closing:
        http.raw_headers.append((b"connection", b"close"))
    await http(scope, receive, send)


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _in_thread(work: Callable[[], Result]) -> Result:
    """Run blocking work in a new thread: ``asyncio.to_thread`` has only a few threads for all requests."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        response = work()
        with contextlib.suppress(RuntimeError):  # the loop has ended: stopped twice, the server does not wait
            loop.call_soon_threadsafe(_resolve, done, response)

    threading.Thread(target=run, name="request", daemon=True).start()
    return await done


def _resolve(done: asyncio.Future[Result], response: Result) -> None:
    if not done.cancelled():
        done.set_result(response)
