"""After a write that failed: why nothing more is written until the session is reloaded."""

from __future__ import annotations

from agent_sessions.exceptions import SessionConflictError, SessionException, SessionStorageError


def as_failure(error: BaseException) -> SessionException:
    """What to remember of a write's failure, whatever a repository raised."""
    if isinstance(error, SessionException):
        return error
    return SessionStorageError(f"{type(error).__name__}: {error}", code=type(error).__name__)


def refusal_after(failure: SessionException, session_id: str) -> SessionException:
    """What a later write is refused with."""
    message = f"session_id={session_id} | not stored, reload the session: an earlier write failed: {failure}"
    if isinstance(failure, SessionStorageError):
        return SessionStorageError(
            message, code=failure.code, is_transient=failure.is_transient, session_id=session_id, key=failure.key
        )
    return SessionConflictError(message, session_id=session_id, key=failure.key)
