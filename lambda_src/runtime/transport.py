"""Answers that leave Lambda's managed Python runtime while they are made.

The managed runtime hands a handler's result over when it is whole. Its client, ``awslambdaric``, imports the handler's
module into its own process before it asks for the first event. So a module of ours can replace two methods there: the
one that makes bytes of a result, and the one that posts them. Nothing else changes: the path, SnapStart and wrappers
stay as they are.

    handler returns ──► LambdaMarshaller.marshal_response        prepares an HTTP answer: prelude and first piece
                   ──► LambdaRuntimeClient.post_invocation_result    sends it: prelude, pieces, trailers

A URL with the invoke mode ``RESPONSE_STREAM`` takes every answer in that form, and one with ``BUFFERED`` takes none. A
function cannot see which mode its URL has: the deployment sets the mode and ``STREAMING`` together. The result of a
plain event is posted as before.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol

from lambda_src.runtime.answer_stream import Invocation, place_of, post
from lambda_src.runtime.http_prelude import CONTENT_TYPE, PreparedAnswer, is_http_answer, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CLIENT = "awslambdaric.lambda_runtime_client"
_MARSHALLER = "awslambdaric.lambda_runtime_marshaller"
_LOOP = "awslambdaric.bootstrap"
_MARSHAL_TAKES: Final = ["self", "response"]
_POST_TAKES: Final = (
    ["self", "invoke_id", "result_data", "content_type"],  # until awslambdaric 4.0.1
    ["self", "invoke_id", "result_data", "content_type", "invocation_id"],
)
_WHAT_TO_DO = (
    "This function cannot stream its answers: {difference}. Deploy it with streaming=false until the kit knows this "
    "runtime; answers come whole then."
)


# The runtime's client posts on the thread that has called the handler, and does not say how much time is left.
_TIME_LEFT: ContextVar[Callable[[], float]] = ContextVar("time_left", default=lambda: math.inf)


class UnknownRuntimeError(RuntimeError):
    """The runtime's client is not one that the transport knows; the message says what to do."""


class AnswerFailedError(Exception):
    """An answer failed before anything of it was sent; the message names the error's type and place, not its words."""


class _RuntimeClient(Protocol):
    lambda_runtime_address: str


def install(
    *, streaming: bool, report: Callable[[BaseException], object], environment: Mapping[str, str] | None = None
) -> bool:
    """Have HTTP answers streamed from now on, where this process is Lambda's.

    Args:
        streaming: Whether the function's URL takes answers in that form.
        report: Is told what went wrong after an answer had begun.
        environment: Variables to read instead of the process's own.

    Returns:
        Whether it was done. Outside Lambda there is no runtime client, and nothing to replace.

    Raises:
        UnknownRuntimeError: The runtime's client has other classes or methods than those this module knows.
    """
    values = os.environ if environment is None else environment
    if not streaming or "AWS_LAMBDA_RUNTIME_API" not in values:
        return False
    client, marshaller = _known_classes()
    if getattr(client.post_invocation_result, "streams", False):
        return True
    _replace(client, marshaller, report)
    return True


def keep_within(time_left: Callable[[], float]) -> None:
    """Have the answer to the present invocation sent within its time, even if nobody reads it.

    Args:
        time_left: Tells how many seconds the function has left. Asked on the thread that sends.
    """
    _TIME_LEFT.set(time_left)


def _known_classes() -> tuple[Any, Any]:
    """The class that posts results and the class that makes bytes of them.

    Raises:
        UnknownRuntimeError: One of them is not as it was when this module was written.
    """
    client = getattr(sys.modules.get(_CLIENT), "LambdaRuntimeClient", None)
    marshaller = getattr(sys.modules.get(_MARSHALLER), "LambdaMarshaller", None)
    if not inspect.isclass(client) or not inspect.isclass(marshaller):
        raise _unknown("the process was not started by awslambdaric, the runtime's client")
    if _parameters(marshaller, "marshal_response") != _MARSHAL_TAKES:
        raise _unknown("LambdaMarshaller.marshal_response of the runtime's client takes other arguments")
    if _parameters(client, "post_invocation_result") not in _POST_TAKES:
        raise _unknown("LambdaRuntimeClient.post_invocation_result of the runtime's client takes other arguments")
    if "lambda_runtime_address" not in _parameters(client, "__init__"):
        raise _unknown("LambdaRuntimeClient of the runtime's client is not given the address of the Runtime API")
    if not isinstance(getattr(client, "marshaller", None), marshaller):
        raise _unknown("LambdaRuntimeClient of the runtime's client has another marshaller")
    called = getattr(getattr(sys.modules.get(_LOOP), "handle_event_request", None), "__code__", None)
    if called is None or not {"marshal_response", "post_invocation_result"} <= set(called.co_names):
        raise _unknown("handle_event_request of the runtime's client goes another way")
    # Newer clients have a base class that posts, for other kinds of client too. All of them are replaced: one left
    # behind would be given what it cannot post.
    posting = next(base for base in client.__mro__ if "post_invocation_result" in vars(base))
    return posting, marshaller


def _parameters(owner: Any, name: str) -> list[str]:
    method = inspect.getattr_static(owner, name, None)
    return list(inspect.signature(method).parameters) if inspect.isfunction(method) else []


def _unknown(difference: str) -> UnknownRuntimeError:
    return UnknownRuntimeError(_WHAT_TO_DO.format(difference=difference))


def _replace(client: Any, marshaller: Any, report: Callable[[BaseException], object]) -> None:
    marshal_as_ever = marshaller.marshal_response
    post_as_ever = client.post_invocation_result

    def marshal_response(self: object, response: Any) -> tuple[Any, str]:
        if not is_http_answer(response):
            result: tuple[Any, str] = marshal_as_ever(self, response)
            return result
        try:
            return prepare(response), CONTENT_TYPE
        except BaseException as error:  # noqa: BLE001 - the runtime logs what it is given, and words may quote
            failed = AnswerFailedError(f"{type(error).__name__} raised at {place_of(error.__traceback__)}")
        raise failed

    def post_invocation_result(
        self: _RuntimeClient,
        invoke_id: str,
        result_data: Any,
        content_type: str = "application/json",
        invocation_id: str | None = None,
    ) -> None:
        if isinstance(result_data, PreparedAnswer):
            time_left = _TIME_LEFT.get()
            invocation = Invocation(self.lambda_runtime_address, invoke_id, invocation_id, time_left)
            post(invocation, result_data, report)
        else:
            attempt = () if invocation_id is None else (invocation_id,)  # older clients know of none
            post_as_ever(self, invoke_id, result_data, content_type, *attempt)

    post_invocation_result.streams = True  # type: ignore[attr-defined] # so that it is replaced once
    marshaller.marshal_response = marshal_response
    client.post_invocation_result = post_invocation_result
