"""Sending an answer to Lambda's Runtime API while it is being made.

Sources: AWS Lambda developer guide, "Implementing response streaming in a custom runtime", and "Using the Lambda
runtime API" (2018-06-01).
"""

from __future__ import annotations

import base64
import json
import math
import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lambda_src.runtime.http_prelude import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPConnection
    from types import TracebackType

    from lambda_src.runtime.http_prelude import PreparedAnswer

ERROR_TYPE: Final = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY: Final = "Lambda-Runtime-Function-Error-Body"
INVOCATION_ID: Final = "Lambda-Runtime-Invocation-Id"
_ACCEPTED = 202

GIVE_UP_SECONDS = 0.5
"""How long before the end of the function's time nobody waits any more for a reader who does not read. By then the work
behind the answer is over, and the process has time to ask for the next event."""


class AnswerRefusedError(Exception):
    """The Runtime API took an answer's bytes and then refused it; the message is its status."""


@dataclass(frozen=True)
class Invocation:
    """Whose answer it is.

    Attributes:
        runtime_api: Host and port of the Runtime API.
        request_id: The invocation's.
        attempt_id: This attempt's id, if Lambda names one. It is sent back as it came.
        time_left: Tells how many seconds the function has left for it.
    """

    runtime_api: str
    request_id: str
    attempt_id: str | None = None
    time_left: Callable[[], float] = lambda: math.inf


def post(invocation: Invocation, answer: PreparedAnswer, report: Callable[[BaseException], object]) -> None:
    """Send an answer, piece by piece as it is made.

    When it returns, the process asks for the next event, or is frozen. So it returns when the work behind the body is
    over, even if nobody takes the body any more: a turn whose caller has left is finished and stored like any other.
    A caller who stays and does not read is waited for until the function's time is nearly up.

    Args:
        invocation: Whose answer it is.
        answer: Ready to be sent.
        report: Is told what went wrong after the answer began: the body failed, which the caller sees in trailers, or
            the Runtime API takes no more of it.
    """
    from http.client import HTTPException  # late: not every start of a process answers a request

    try:
        _send(invocation, answer, report)
    except (OSError, HTTPException, AnswerRefusedError) as error:
        report(error)
    finally:
        answer.end()


def place_of(trace: TracebackType | None) -> str:
    """File and line where an error was raised; an error's own words may quote a conversation."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(trace)]
    return places[-1] if places else "an unknown place"


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes | BaseException]:
    """The pieces of a body. If the body fails, the last part is its error.

    So an ``OSError`` of the body is told from one of the connection.
    """
    try:
        yield from pieces
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the answer has begun and has to be ended
        yield error


def _send(invocation: Invocation, answer: PreparedAnswer, report: Callable[[BaseException], object]) -> None:
    connection = _begin(invocation)
    try:
        trailers = b""
        _send_in_time(connection, _chunk(answer.prelude), invocation)
        for part in _parts(answer.pieces):
            if isinstance(part, BaseException):
                report(part)
                trailers = _trailers(part)
            elif part:  # a chunk of no bytes would end the body
                _send_in_time(connection, _chunk(part), invocation)
        _send_in_time(connection, b"0\r\n" + trailers + b"\r\n", invocation)
        response = connection.getresponse()
        response.read()
        if response.status != _ACCEPTED:
            raise AnswerRefusedError(response.status)
    finally:
        connection.close()


def _send_in_time(connection: HTTPConnection, data: bytes, invocation: Invocation) -> None:
    """Send, and wait no longer for what comes next, until the Runtime API has taken this.

    Raises:
        TimeoutError: It has not taken it: its reader does not read.
    """
    left = invocation.time_left() - GIVE_UP_SECONDS
    if left <= 0:
        raise TimeoutError
    connection.sock.settimeout(None if left == math.inf else left)  # of all of it, and of the answer behind it
    connection.send(data)


def _begin(invocation: Invocation) -> HTTPConnection:
    from http.client import HTTPConnection

    connection = HTTPConnection(invocation.runtime_api)
    path = f"/2018-06-01/runtime/invocation/{invocation.request_id}/response"
    connection.putrequest("POST", path, skip_accept_encoding=True)
    connection.putheader("Content-Type", CONTENT_TYPE)
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Trailer", f"{ERROR_TYPE}, {ERROR_BODY}")
    if invocation.attempt_id is not None:
        connection.putheader(INVOCATION_ID, invocation.attempt_id)
    connection.endheaders()
    return connection


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _trailers(error: BaseException) -> bytes:
    name = type(error).__name__
    told = {"errorType": name, "errorMessage": f"raised at {place_of(error.__traceback__)}", "stackTrace": []}
    body = base64.b64encode(json.dumps(told).encode()).decode()
    kind = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{ERROR_TYPE}: Function.{kind}\r\n{ERROR_BODY}: {body}\r\n".encode()
