"""Turns that nobody waits for: taken by another invocation of this function, or on a thread of this process."""

from __future__ import annotations

import os
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

from lambda_src.answers import errors
from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.logs import log_refusal
from lambda_src.metrics import recorded
from lambda_src.runtime.aws import boto_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_src.metrics.recorded import Recorded

_TOO_LARGE = "RequestTooLargeException"


MAX_EVENT_BYTES = 1024 * 1024
"""Lambda's limit for events that it does not answer at once."""


def checked(payload: bytes) -> bytes:
    """An event's bytes, if Lambda takes so many.

    Raises:
        PayloadTooLargeError: It does not.
    """
    if len(payload) > MAX_EVENT_BYTES:
        raise too_large()
    return payload


def too_large() -> errors.PayloadTooLargeError:
    """The error for a turn that is too large to be left to another invocation."""
    return errors.PayloadTooLargeError("A turn without a caller can have 1 MB.")


def invoke(async_function: str, payload: bytes) -> None:
    """Have Lambda invoke this function with an event, and not wait for it.

    Args:
        async_function: ``name:alias``, or ``:alias`` of this function.
        payload: A plain event as JSON. Lambda tries it again when it fails, and may deliver it twice. Its
            ``request_id`` makes sure that it is answered once.

    Raises:
        PayloadTooLargeError: The event is over 1 MB, Lambda's limit for what it does not answer at once.
        StorageFailedError: Lambda did not take it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    name, _, alias = async_function.rpartition(":")
    try:
        client = boto_session().client("lambda")
        client.invoke(
            FunctionName=name or os.environ["AWS_LAMBDA_FUNCTION_NAME"],
            Qualifier=alias,
            InvocationType="Event",
            Payload=payload,
        )
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        if code == _TOO_LARGE:
            raise too_large() from None
        raise errors.StorageFailedError(
            f"The turn was not accepted ({code}). Sending the request again is safe.", retry_after_seconds=1
        ) from error


def take_on_thread(take: Callable[[], object], write: Callable[[Recorded], object]) -> Callable[[], None]:
    """Take a turn on a thread of this process, in the context of the request that asked for it.

    Args:
        take: Takes the turn.
        write: Gets the metrics of the turn, which are not those of the request, when the turn is over.

    Returns:
        A function that waits for its end.
    """

    def run() -> None:
        asked_by = recorded.current()
        record = recorded.begin(**({} if asked_by is None else asked_by.ids))
        try:
            take()
        except BaseException as error:  # noqa: BLE001 - nobody else hears of it
            log_refusal(answer_for(error), error)
        finally:
            write(record)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="turn-without-caller", daemon=True)
    thread.start()
    return thread.join
