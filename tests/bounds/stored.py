"""Sessions as they lie in storage, built without taking turns: a long one would take an hour."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

BEGIN = datetime(2026, 3, 1, 15, 30, tzinfo=UTC).timestamp()
DAY = 86_400.0
LIFE = "0123456789abcdef0123456789abcdef"


def session_objects(
    session_id: str,
    *,
    messages: int = 2,
    agent_ids: Sequence[str] = ("default",),
    text: str = "",
    life: str | None = LIFE,
    states_end: bool = True,
    window: int | None = None,
    manager: dict[str, Any] | None = None,
    pinned: Collection[int] = (),
    markers_of: Sequence[str] = (),
) -> Iterator[tuple[str, bytes]]:
    """The objects of a session, by their keys below the prefix.

    Args:
        session_id: The session.
        messages: How many each agent has.
        agent_ids: Its agents.
        text: What each message says behind its number.
        life: The life they are of; ``None`` as Strands writes them.
        states_end: Whether the agents' records say which message is the next, as the kit's usually do.
        window: How many unpinned messages the conversation manager has left; ``None`` when the agent has none.
        manager: The state of another conversation manager.
        pinned: Messages that carry a pin.
        markers_of: Agents of which its record says that they have had markers of recent use.
    """
    folder, now = f"session_{session_id}", "2026-03-01T15:30:00+00:00"
    times = {"created_at": now, "updated_at": now}
    for agent_id in agent_ids:
        agent = f"{folder}/agents/agent_{agent_id}"
        log = {"format": 1, "first_id": 0, "next_id": messages, "base": "base", "tail": [], "unconfirmed": None}
        record = {
            "agent_id": agent_id,
            "state": {},
            "conversation_manager_state": manager
            or ({} if window is None else window_state(messages - len(pinned) - window)),
            **times,
        }
        yield f"{agent}/agent.json", _body(record, life, **({"log": log} if states_end else {}))
        for number in range(messages):
            said: dict[str, Any] = {
                "role": ("user", "assistant")[number % 2],
                "content": [{"text": f"{number}{text}"}],
                **({"metadata": {"custom": {"pinned": True}}} if number in pinned else {}),
            }
            message = {"message": said, "message_id": number, "redact_message": None, **times}
            yield f"{agent}/messages/message_{number}.json", _body(message, life)
    recent = {"recent": {"agents": [*markers_of]}} if markers_of else {}
    yield f"{folder}/session.json", _body({"session_id": session_id, "session_type": "AGENT", **times}, life, **recent)


def marker_object(session_id: str, at: float = BEGIN, agent_id: str = "default") -> tuple[str, bytes]:
    """The marker of a session that was used on a day: its key below the prefix, and its bytes."""
    return f"recent/{99_999 - int(at // DAY):05}/session_{session_id}/agent_{agent_id}.json", b"{}"


def window_state(removed: int) -> dict[str, Any]:
    """The state of a conversation manager that has removed so many messages."""
    kind = "SlidingWindowConversationManager"
    return {"__name__": kind, "removed_message_count": max(0, removed), "model_call_count": 0}


def _body(record: dict[str, Any], life: str | None, **kit: Any) -> bytes:
    if life is not None:
        record["kit"] = {"format": 1, "incarnation": life, "nonce": life, **kit}
    return json.dumps(record).encode()
