"""What an agent's record held when a turn began. It stands with the turn's first message, so that a fork can go back.

Under ``kit`` of that message, as ``before``, stands one of::

    {"state": …, "conversation_manager_state": …, "_internal_state": …, "pinned": […], "joined": […]}
    {"as": 12}          what stands with message 12: nothing has changed since
    {"bytes": 70000}    too much to be kept, or something of it was taken back

The agent's record notes under ``kit``, as ``before``, which message carries what it held last:
``{"message": 12, "digest": …}``. A turn that changes nothing costs some twenty bytes and no request.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from agent_sessions.types import is_message_id
from agent_sessions.values import canonical

BEFORE = "before"
"""Under ``kit``, of a turn's first message and of an agent's record."""

MOST_BYTES = 16 * 1024
"""As JSON. What is larger is not kept."""

FIELDS = ("state", "conversation_manager_state", "_internal_state")
"""What of an agent's record a turn may change."""


class Carrier(NamedTuple):
    """The message that carries what an agent's record holds.

    Attributes:
        message_id: The message.
        digest: Of what it carries.
    """

    message_id: int
    digest: str

    @classmethod
    def noted_in(cls, kit: dict[str, Any]) -> Carrier | None:
        """The carrier that an agent's record notes; ``None`` if it notes none."""
        found = kit.get(BEFORE)
        if not isinstance(found, dict) or not is_message_id(found.get("message")):
            return None
        return cls(found["message"], str(found.get("digest")))

    @classmethod
    def of(cls, message_id: int, before: dict[str, Any]) -> Carrier | None:
        """The message itself, if it carries everything."""
        return cls(message_id, _digest(canonical(before))) if FIELDS[0] in before else None

    def to_dict(self) -> dict[str, Any]:
        """As the agent's record notes it."""
        return {"message": self.message_id, "digest": self.digest}


def before_turn(held: dict[str, Any], carrier: Carrier | None) -> dict[str, Any]:
    """What a turn's first message says of what the agent's record holds.

    Args:
        held: What it holds.
        carrier: The message that carries what it held when an earlier turn began.
    """
    text = canonical(held)
    if carrier is not None and carrier.digest == _digest(text):
        return {"as": carrier.message_id}
    return held if len(text) <= MOST_BYTES else {"bytes": len(text)}


def not_kept(before: dict[str, Any]) -> dict[str, Any]:
    """In the place of what was before a turn, when something of it was taken back."""
    return {"bytes": len(canonical(before))}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
