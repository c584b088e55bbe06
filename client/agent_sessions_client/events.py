"""What a turn tells while it is taken: docs/HTTP.md of the kit has the table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TurnBegan:
    """The turn has begun. It can be followed and cancelled by its id from now on.

    Attributes:
        session_id: The session.
        agent_id: Who answers.
        turn_id: The turn.
        restored_messages: How many messages the agent remembers.
    """

    session_id: str
    agent_id: str
    turn_id: str
    restored_messages: int


@dataclass(frozen=True)
class Submitted:
    """A turn that was accepted and is taken without its caller.

    Attributes:
        session_id: The session.
        agent_id: Who will answer.
        turn_id: The turn.
    """

    session_id: str
    agent_id: str
    turn_id: str


@dataclass(frozen=True)
class Text:
    """A piece of what the agent says. All pieces of a turn together are all it said.

    Attributes:
        text: The piece.
        node_id: Of a graph or a swarm: the node that says it. What a lost connection missed of a node stays missed; the
            reply has each node's last message.
    """

    text: str
    node_id: str | None = None


@dataclass(frozen=True)
class Reasoning:
    """A piece of the model's reasoning, if the model shows it. What a lost connection missed stays missed."""

    text: str
    node_id: str | None = None


@dataclass(frozen=True)
class Tool:
    """A tool was called, or has ended.

    Attributes:
        tool_use_id: Of the call.
        name: The tool's, where it is told.
        status: ``None`` when it was called, then ``success`` or ``error``.
        node_id: Of a graph or a swarm: the node that calls it.
    """

    tool_use_id: str
    name: str | None = None
    status: str | None = None
    node_id: str | None = None


@dataclass(frozen=True)
class Node:
    """A node of a graph or a swarm begins, or has ended.

    Attributes:
        node_id: The node; a node inside another is ``outer/inner``.
        status: ``running``, then ``completed``, ``failed`` or ``interrupted``.
        usage: Tokens it has used, when it has ended.
        duration_ms: How long it took, when it has ended.
    """

    node_id: str
    status: str
    usage: dict[str, int] | None = None
    duration_ms: int | None = None


@dataclass(frozen=True)
class Message:
    """A message of the turn is stored.

    Attributes:
        message_id: Its number in the conversation.
        role: ``user`` or ``assistant``.
        content: Its content blocks, if the turn is followed; ``None`` if its text was told as pieces.
    """

    message_id: int
    role: str
    content: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Reply:
    """The turn is over and durable. It is the last event.

    Attributes:
        session_id: The session.
        agent_id: Who answered.
        turn_id: The turn; empty if the endpoint does not name it.
        message: Role and content blocks of the answer.
        stop_reason: Why it ended: ``end_turn``, ``interrupt``, ``cancelled`` …
        data: The whole reply, as the endpoint's contract has it.
    """

    session_id: str
    agent_id: str
    turn_id: str
    message: dict[str, Any]
    stop_reason: str
    data: dict[str, Any] = field(repr=False)

    @property
    def text(self) -> str:
        """What the answer says, without its other blocks."""
        return text_of(self.message.get("content"))


Plain = TurnBegan | Text | Reasoning | Tool | Node | Message
Event = Plain | Reply
_PLAIN: dict[str, type[Plain]] = {
    "turn": TurnBegan,
    "text": Text,
    "reasoning": Reasoning,
    "tool": Tool,
    "node": Node,
    "message": Message,
}


def event_of(name: str, data: str) -> Event | None:
    """The event of a stream's name and data; ``None`` for one that this version does not know.

    Fields that it does not know are left out, so that a newer endpoint may tell more.

    Raises:
        ValueError: The data is not the JSON object it should be.
        TypeError: A field is missing.
    """
    if name != "reply" and name not in _PLAIN:
        return None
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError(f"the data of a {name} event is no object")  # noqa: TRY004 - a value of the endpoint's
    return reply_of(value) if name == "reply" else _known(_PLAIN[name], value)


def reply_of(value: dict[str, Any]) -> Reply:
    """A reply from its parsed JSON object."""
    return Reply(
        session_id=value["session_id"],
        agent_id=value["agent_id"],
        turn_id=value.get("turn_id", ""),
        message=value["message"] or {},
        stop_reason=value["stop_reason"],
        data=value,
    )


def submitted_of(value: dict[str, Any]) -> Submitted:
    """An accepted turn from its parsed JSON object."""
    return Submitted(value["session_id"], value["agent_id"], value["turn_id"])


def text_of(content: Any) -> str:
    """The text of content blocks, joined as it was said."""
    blocks = content if isinstance(content, list) else []
    return "".join(block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str))


def _known(kind: type[Plain], value: dict[str, Any]) -> Event:
    names = kind.__dataclass_fields__
    return kind(**{name: item for name, item in value.items() if name in names})
