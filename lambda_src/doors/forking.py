"""Forking a session before one of its turns, once for each key."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from agent_sessions.exceptions import SessionExistsError, SessionNotFoundError
from lambda_src.answers import errors
from lambda_src.turns.replays import digest

if TYPE_CHECKING:
    from agent_sessions.session_pages import Fork
    from agent_sessions.session_store import SessionStore
    from lambda_src.contract import ForkBody


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
    """
    agent_id, before_message = body.agent_id, body.before_message
    if body.before_turn is not None:
        agent_id, before_message = _find_first(store, session_id, body.agent_id, body.before_turn, default_agent_id)
    fork_id = body.session_id or _fork_id(owner, session_id, idempotency_key)
    try:
        return store.fork(session_id, agent_id, before_message=before_message or 0, fork_id=fork_id)
    except ValueError as error:
        raise errors.BadRequestError(str(error).rpartition(" | ")[2]) from None
    except SessionExistsError:
        return _made_before(store, fork_id, (session_id, agent_id, before_message), idempotency_key, body)


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


def _fork_id(owner: str, session_id: str, key: str | None) -> str:
    """The id of a fork. The request sent again gets the same id."""
    return secrets.token_hex(16) if key is None else digest(f"fork\0{owner}\0{session_id}\0{key}")


def _made_before(
    store: SessionStore,
    fork_id: str,
    asked: tuple[str, str | None, int | None],
    idempotency_key: str | None,
    body: ForkBody,
) -> Fork:
    """The fork of this id, if this request has made it."""
    session_id, agent_id, before_message = asked
    try:
        fork = store.describe(fork_id).fork if idempotency_key is not None else None
    except SessionNotFoundError:
        fork = None
    is_same = fork is not None and (fork.forked_from, fork.before_message) == (session_id, before_message)
    if fork is not None and is_same and agent_id in {None, fork.agent_id}:
        return fork
    if idempotency_key is not None and body.session_id is None:
        raise errors.IdempotencyKeyReusedError("This key was used for another fork of this session. Nothing was done.")
    raise errors.SessionTakenError("There is a session of this id. Choose another session_id, or leave it out.")
