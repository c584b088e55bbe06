"""What a client sends, as values: the same for the blocking and for the asynchronous client."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

EVENTS = "text/event-stream"
JSON = "application/json"
Prompt = str | list[dict[str, Any]]


@dataclass(frozen=True)
class Sent:
    """A request.

    Attributes:
        method: HTTP method.
        path: With its leading slash, encoded.
        body: Sent as JSON; ``None`` for none.
        headers: In addition to those of every request.
        params: Of the query string.
    """

    method: str
    path: str
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)


def turn(
    session_id: str | None,
    prompt: Prompt | None,
    *,
    accept: str,
    agent_id: str | None = None,
    interrupt_responses: list[dict[str, Any]] | None = None,
    idempotency_key: str | None = None,
) -> Sent:
    """A turn to take, in a session or, without one, in a new one.

    Every turn has an Idempotency-Key, so that the request sent again means the same turn.
    """
    body = {"prompt": prompt, "agent_id": agent_id, "interrupt_responses": interrupt_responses}
    path = "/sessions" if session_id is None else f"{session_path(session_id)}/messages"
    headers = {"Accept": accept, "Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    return Sent("POST", path, {name: value for name, value in body.items() if value is not None}, headers)


def sessions(order: str, limit: int, cursor: str | None) -> Sent:
    """A page of sessions."""
    params = {"order": order, "limit": str(limit), **({} if cursor is None else {"cursor": cursor})}
    return Sent("GET", "/sessions", params=params)


def rename(session_id: str, title: str | None) -> Sent:
    """A title to give, or to take back."""
    return Sent("PATCH", session_path(session_id), {"title": title})


def fork(
    session_id: str,
    *,
    before_turn: str | None,
    before_message: int | None,
    agent_id: str | None,
    fork_id: str | None,
    idempotency_key: str | None,
) -> Sent:
    """A session to begin as another one was. It has an Idempotency-Key, as a turn has."""
    body = {
        "before_turn": before_turn,
        "before_message": before_message,
        "agent_id": agent_id,
        "session_id": fork_id,
    }
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    given = {name: value for name, value in body.items() if value is not None}
    return Sent("POST", f"{session_path(session_id)}/fork", given, headers)


def without_caller(sent: Sent) -> Sent:
    """The same turn, taken without its caller."""
    return replace(sent, headers={**sent.headers, "Prefer": "respond-async"})


def turn_path(session_id: str, turn_id: str) -> str:
    """Where a turn is."""
    return f"{session_path(session_id)}/turns/{quote(turn_id, safe='')}"


def session_path(session_id: str) -> str:
    """Where a session is."""
    return f"/sessions/{quote(session_id, safe='')}"


def of_agent(agent_id: str | None) -> dict[str, str]:
    """The query parameter that names an agent."""
    return {} if agent_id is None else {"agent_id": agent_id}
