"""Erasing a session within the function's time, and telling how far it came when the storage does not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions.exceptions import SessionStorageError
from lambda_src.answers import errors
from lambda_src.answers.error_answers import answer_for
from lambda_src.contract import Erasure
from lambda_src.runtime.event_loop import AbandonedError, within

if TYPE_CHECKING:
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


def _with_what_is_known(answer: errors.EndpointError, stage: str) -> errors.EndpointError:
    return type(answer)(
        f"{answer.detail} {_KNOWN.get(stage, '')}".rstrip(),
        retry_after_seconds=answer.retry_after_seconds,
        **answer.extensions,
        erasure=stage,
    )
