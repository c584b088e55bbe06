"""Where Lambda enters: ``lambda_src.handler.lambda_handler``.

The settings are read when this module is imported. So a wrong value fails the start of the function, with the
variable's name, and not the first request.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.logs import keep_words_out, log_broken_answer, log_refusal, logger
from lambda_src.doors import caller, plain_event, problems
from lambda_src.doors.http_request import described, is_http
from lambda_src.doors.payload import check_response
from lambda_src.doors.response_headers import add_headers, status_of
from lambda_src.doors.routes import build_router
from lambda_src.endpoint import Endpoint
from lambda_src.metrics import recorded
from lambda_src.runtime import aws, transport
from lambda_src.runtime.streamed_answer import StreamedAnswer
from lambda_src.settings import load_settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from lambda_src.metrics.recorded import Recorded

keep_words_out()
endpoint = Endpoint(load_settings())
router = build_router(endpoint)
caller.prepare(endpoint.settings)
transport.install(streaming=endpoint.settings.streaming, report=log_broken_answer)
aws.register_snapshot_hooks(endpoint.prime)


def lambda_handler(event: Any, context: LambdaContext) -> dict[str, Any] | StreamedAnswer:
    """Answer a Function URL request, in one piece or as it comes, or take the turn of a plain event.

    This is the outermost room: nothing leaves it but an answer or an error of ours. The runtime logs whatever it is
    given, and an exception that ends the process ends other people's requests with it.

    Raises:
        EndpointError: For plain events only, when there is no reply; over HTTP that is a problem document.
    """
    logger.thread_safe_append_keys(request_id=context.aws_request_id)
    transport.keep_within(lambda: context.get_remaining_time_in_millis() / 1000)
    record = recorded.begin(context.aws_request_id)
    is_over = True
    try:
        if not is_http(event):
            return _answer_plain_event(event, context)
        answer = _answer_http(event, context)
        if isinstance(answer, StreamedAnswer):
            is_over = False
            return _written_when_over(answer, record)
        return answer
    finally:
        logger.thread_safe_clear_keys()
        if is_over:
            endpoint.metric_lines.write(record)


def _written_when_over(answer: StreamedAnswer, record: Recorded) -> StreamedAnswer:
    """A streamed answer that writes its request's metrics when its turn is over, and before the process is frozen."""

    def over() -> None:
        try:
            answer.over()
        finally:
            endpoint.metric_lines.write(record)

    return replace(answer, over=over)


def _answer_http(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | StreamedAnswer:
    started = time.monotonic()
    response: dict[str, Any] | StreamedAnswer
    try:
        response = router.resolve(event, context)
        if isinstance(response, dict):
            response = check_response(response)
    except BaseException as error:  # noqa: BLE001 - the outermost room: nothing may leave it but an answer
        refusal = answer_for(error)
        log_refusal(refusal, error)
        response = problems.response(refusal, path=event.get("rawPath"), request_id=context.aws_request_id)
    add_headers(response, context.aws_request_id)
    logger.info(
        "request answered",
        extra={
            **described(event),
            "status": status_of(response),
            "duration_ms": round((time.monotonic() - started) * 1000),
            **({"streamed": True} if isinstance(response, StreamedAnswer) else {}),
        },
    )
    return response


def _answer_plain_event(event: Any, context: LambdaContext) -> dict[str, Any]:
    try:
        return plain_event.answer(
            endpoint,
            event,
            lambda: context.get_remaining_time_in_millis() / 1000,
            request_id=context.aws_request_id,
        )
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised again under a name that can be caught
        refusal = answer_for(error)
        log_refusal(refusal, error)
    # A printed exception shows the chain behind it, and a foreign exception may quote a conversation. What is safe to
    # know has just been logged.
    refusal.__cause__ = refusal.__context__ = None
    raise refusal
