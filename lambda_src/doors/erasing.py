"""Erasing a session, or all of a caller's, within the function's time, and telling how far it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions.exceptions import SessionStorageError
from lambda_src.answers import errors
from lambda_src.answers.error_answers import answer_for
from lambda_src.contract import Erasure, Receipt, Undeleted
from lambda_src.runtime.event_loop import AbandonedError, within

if TYPE_CHECKING:
    from agent_sessions.session_pages import ErasureReceipt
    from agent_sessions.session_store import SessionStore
    from lambda_src.turns.turn import TimeLimit

ERASING_SECONDS = 20.0
"""How long one request erases at most: callers wait half a minute for an answer, not the function's whole time."""

# By how far the erasure has come: see ``agent_sessions.session_pages.ErasureStage``.
_KNOWN = {
    "open": "Nothing was erased; the session is as it was.",
    "closing": "Whether the session is closed is not known. Send the request again.",
    "closed": (
        "The session is closed: nobody reads it any more. Not everything of it is erased yet; send the request again."
    ),
}


def erase_session(store: SessionStore, session_id: str, limit: TimeLimit) -> Erasure | None:
    """Erase a session, or close it and erase what there is time for.

    Args:
        store: The caller's sessions.
        session_id: Which of them.
        limit: The function's time.

    Returns:
        What is left; ``None`` when nothing is.

    Raises:
        OutOfTimeError: The storage does not answer; ``erasure`` says whether the session is closed.
        EndpointError: The storage failed; likewise.
        SessionNotFoundError: There is no such session.
    """
    erasure = store.erasure(session_id)
    seconds = min(ERASING_SECONDS, limit.seconds)
    try:
        # On a thread that can be left behind. If it wakes up in a later invocation, it sends nothing more: by then the
        # session may have begun its next life.
        report = within(limit.last_seconds, lambda: erasure.run(within_seconds=seconds))
    except AbandonedError as error:
        erasure.abandon()
        stage = erasure.stage.value  # read once: it may change at this moment
        if stage == "closed":
            return Erasure(session_id=session_id, erased_objects=erasure.erased, objects_left=None)
        if stage != "erased":
            out_of_time = errors.OutOfTimeError("The storage did not answer within the function's time.")
            raise _with_what_is_known(out_of_time, stage) from error
        return None
    except SessionStorageError as error:
        raise _with_what_is_known(answer_for(error), erasure.stage.value) from error
    if report.is_whole:
        return None
    return Erasure(session_id=session_id, erased_objects=report.erased, objects_left=report.left)


def erase_all(store: SessionStore, owner: str, limit: TimeLimit) -> Receipt:
    """Erase every session of the caller, or as much as there is time for.

    Args:
        store: The caller's sessions.
        owner: The caller's key prefix. What could not be deleted is named without it.
        limit: The function's time.

    Returns:
        The totals since the erasure began. If it is not complete, the request sent again goes on.

    Raises:
        OutOfTimeError: The storage does not answer, and nothing is known to be erased.
        EndpointError: The storage failed, or refuses to delete something for good; ``receipt`` tells the totals.
        SessionBusyError: Another erasure of the same sessions is at work.
    """
    erasure = store.owner_erasure()
    seconds = min(ERASING_SECONDS, limit.seconds)
    try:
        receipt = within(limit.last_seconds, lambda: erasure.run(within_seconds=seconds))
    except AbandonedError as error:
        erasure.abandon()
        known = _receipt(erasure.receipt(), owner)
        if known.began_at is None:
            raise errors.OutOfTimeError(
                "The storage did not answer within the function's time. Send the request again."
            ) from error
        return known
    except SessionStorageError as error:
        raise _with_receipt(answer_for(error), _receipt(erasure.receipt(), owner)) from error
    told = _receipt(receipt, owner)
    if told.complete or receipt.goes_on:
        return told
    codes = ", ".join(sorted({undeleted.code for undeleted in told.left}))
    refused = errors.StorageRefusedError(
        f"{told.left_count} objects could not be deleted ({codes}). Everything else is erased, and nobody reads what "
        "is left."
    )
    raise _with_receipt(refused, told)


def _receipt(receipt: ErasureReceipt, owner: str) -> Receipt:
    return Receipt(
        sessions=receipt.sessions,
        objects=receipt.objects,
        versions=receipt.versions,
        markers=receipt.markers,
        bytes=receipt.bytes,
        began_at=receipt.began_at,
        ended_at=receipt.ended_at,
        left=[
            Undeleted(name=undeleted.name.rpartition(f"{owner}/")[2], code=undeleted.code) for undeleted in receipt.left
        ],
        left_count=receipt.left_count,
        complete=receipt.is_whole,
    )


def _with_receipt(answer: errors.EndpointError, receipt: Receipt) -> errors.EndpointError:
    return type(answer)(
        answer.detail,
        retry_after_seconds=answer.retry_after_seconds,
        **answer.extensions,
        receipt=receipt.model_dump(mode="json"),
    )


def _with_what_is_known(answer: errors.EndpointError, stage: str) -> errors.EndpointError:
    return type(answer)(
        f"{answer.detail} {_KNOWN.get(stage, '')}".rstrip(),
        retry_after_seconds=answer.retry_after_seconds,
        **answer.extensions,
        erasure=stage,
    )
