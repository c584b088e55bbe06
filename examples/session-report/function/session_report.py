"""A function that has the session layer and nothing else: what happened in a session, without its words.

The event names the session: ``{"owner": {"issuer": ..., "subject": ...}, "session_id": ...}``. ``owner`` may also be
the key prefix that ``owner_prefix`` makes of the two.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from agent_sessions.owner import owner_prefix
from agent_sessions.session_store import SessionStore
from agent_sessions.types import SessionMessage


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Summarise one session.

    Args:
        event: ``owner`` and ``session_id``.

    Returns:
        Turns, tools and tokens of each agent.

    Raises:
        ValueError: When the event does not name an owner.
        SessionNotFoundError: When the owner has no such session.
    """
    store = SessionStore.from_url(os.environ["SESSION_STORE"]).for_owner(_owner(event.get("owner")))
    return report(store, event["session_id"])


def report(store: SessionStore, session_id: str) -> dict[str, Any]:
    """Turns, tools and tokens of each agent of a session.

    Args:
        store: The owner's sessions.
        session_id: Which of them.

    Returns:
        JSON values only.

    Raises:
        SessionNotFoundError: When there is no such session.
    """
    session = store.describe(session_id)
    return {
        "session_id": session_id,
        "created_at": session.created_at,
        "last_used_at": session.last_used_at,
        "agents": {
            agent.agent_id: _agent_report(_messages(store, session_id, agent.agent_id)) for agent in session.agents
        },
    }


def _agent_report(messages: Iterator[SessionMessage]) -> dict[str, Any]:
    count = turns = failed_tools = 0
    tools: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for record in messages:
        message: dict[str, Any] = dict(record.to_message())
        count += 1
        blocks = message["content"]
        results = [block["toolResult"] for block in blocks if "toolResult" in block]
        # What a tool returned is a message of the user too, but not one of a person.
        turns += message["role"] == "user" and not results
        failed_tools += sum(result.get("status") == "error" for result in results)
        tools.update(block["toolUse"]["name"] for block in blocks if "toolUse" in block)
        usage = (message.get("metadata") or {}).get("usage") or {}
        tokens.update({name: number for name, number in usage.items() if isinstance(number, int)})
    return {
        "messages": count,
        "turns": turns,
        "tools": dict(sorted(tools.items())),
        "failed_tools": failed_tools,
        "tokens": dict(sorted(tokens.items())),
    }


def _messages(store: SessionStore, session_id: str, agent_id: str) -> Iterator[SessionMessage]:
    cursor: str | None = None
    while True:
        page = store.messages(session_id, agent_id, cursor=cursor)
        yield from page.messages
        cursor = page.next_cursor
        if cursor is None:
            return


def _owner(owner: Any) -> str:
    match owner:
        case {"issuer": str(issuer), "subject": str(subject)}:
            return owner_prefix(issuer, subject)
        case str(prefix) if prefix.startswith("o_"):
            return prefix
    raise ValueError('owner must be {"issuer": ..., "subject": ...} or the prefix that owner_prefix() makes of them')
