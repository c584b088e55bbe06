"""Forking a session before one of its turns, once for each key."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from agent_sessions.exceptions import NotForkableError, SessionExistsError, SessionNotFoundError
from lambda_src.answers import errors
from lambda_src.turns.replays import digest

if TYPE_CHECKING:
    from agent_sessions.session_pages import Fork
    from agent_sessions.session_store import SessionStore
    from lambda_src.contract import ForkBody

_PERHAPS_MADE = (
    SessionExistsError,
    SessionNotFoundError,
    NotForkableError,
    errors.NotFoundError,
    errors.ForkRefusedError,
    errors.BadRequestError,
)
"""What a request is refused with that has made its fork before: there the fork is, or the source has changed since."""


def fork_session(
    store: SessionStore,
    owner: str,
    session_id: str,
    body: ForkBody,
    idempotency_key: str | None,
    *,
    default_agent_id: str,
) -> Fork:
    """Fork a session, or return the fork that the same request has made before.

    Args:
        store: The caller's sessions.
        owner: The caller's key prefix.
        session_id: Which of them.
        body: Where the fork begins.
        idempotency_key: The caller's name for the request.
        default_agent_id: The agent whose turns are looked at first.

    Raises:
        NotFoundError: There is no such turn, or nobody remembers it.
        ForkRefusedError: The turn has stored no message.
        NotForkableError: No fork can begin there.
        SessionTakenError: There is another session of the new id.
        IdempotencyKeyReusedError: The key was used for another fork.
        SessionNotFoundError: There is no such session, agent or message.
        SessionBusyError: Another request begins a session of the new id.
    """
    key = None if idempotency_key is None else digest(f"fork\0{owner}\0{session_id}\0{idempotency_key}")
    request = None if key is None else digest(f"{key}\0{body.model_dump_json()}")
    # Without an id of the caller's, the request sent again gets the same id.
    fork_id = body.session_id or key or secrets.token_hex(16)
    try:
        return _fork(store, session_id, body, fork_id, request, default_agent_id)
    except _PERHAPS_MADE as error:
        made = None if request is None else _made_before(store, fork_id, request)
        if made is not None:
            return made
        if not isinstance(error, SessionExistsError):
            raise
    if key is not None and body.session_id is None:
        raise errors.IdempotencyKeyReusedError("This key was used for another fork of this session. Nothing was done.")
    raise errors.SessionTakenError("There is a session of this id. Choose another session_id, or leave it out.")


def _fork(
    store: SessionStore, session_id: str, body: ForkBody, fork_id: str, request: str | None, default_agent_id: str
) -> Fork:
    agent_id, before_message = body.agent_id, body.before_message
    if body.before_turn is not None:
        agent_id, before_message = _find_first(store, session_id, body.agent_id, body.before_turn, default_agent_id)
    try:
        return store.fork(session_id, agent_id, before_message=before_message or 0, fork_id=fork_id, request=request)
    except ValueError as error:
        raise errors.BadRequestError(str(error).rpartition(" | ")[2]) from None


def _made_before(store: SessionStore, fork_id: str, request: str) -> Fork | None:
    """The fork of this id, if this request has made it."""
    try:
        fork = store.describe(fork_id).fork
    except SessionNotFoundError:
        return None
    return fork if fork is not None and fork.request == request else None


def _find_first(
    store: SessionStore, session_id: str, agent_id: str | None, turn_id: str, default_agent_id: str
) -> tuple[str, int]:
    """Whose turn it is, and its first message."""
    found = store.turns(session_id).find(agent_id or default_agent_id, lambda turn: turn.turn_id == turn_id)
    if found is None or (agent_id is not None and found.agent_id != agent_id):
        raise errors.NotFoundError("The session has no such turn, or has had many since. Send before_message instead.")
    if found.turn.first_id is None:
        raise errors.ForkRefusedError("The turn has stored no message: the session is what it was before it.")
    return found.agent_id, found.turn.first_id
