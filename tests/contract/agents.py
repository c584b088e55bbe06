"""Real Strands agents over a scripted model, as each process of a conversation would build them."""

import copy
from typing import Any

from strands import Agent, tool
from strands.types.content import ContentBlock, Message

from tests.contract.subjects import Subject
from tests.doubles.scripted_model import ScriptedModel


@tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def open_agent(subject: Subject, *script: Any, session_id: str = "conversation", **options: Any) -> Agent:
    """A new process's agent in a session: a new manager, a new model, nothing carried over.

    Args:
        subject: Whose manager.
        *script: What the model answers.
        session_id: The session.
        **options: For the agent; ``agent_id`` is ``a1`` unless given.
    """
    defaults: dict[str, Any] = {
        "agent_id": "a1",
        "model": ScriptedModel(*script),
        "tools": [add],
        "callback_handler": None,
    }
    return Agent(**defaults | {"session_manager": subject.manager(session_id)} | options)


def model_of(agent: Agent) -> ScriptedModel:
    """The agent's scripted model."""
    assert isinstance(agent.model, ScriptedModel)
    return agent.model


def conversation(agent: Agent) -> list[Message]:
    """The agent's messages as they are now."""
    return copy.deepcopy(agent.messages)


def texts(messages: list[Message]) -> list[str]:
    """The text blocks of all messages, in order."""
    return [block["text"] for message in messages for block in message["content"] if "text" in block]


def stored_ids(subject: Subject, session_id: str = "conversation", agent_id: str = "a1") -> list[int]:
    """The ids of the messages in storage."""
    return [entry.message_id for entry in stored(subject, session_id, agent_id)]


def stored(subject: Subject, session_id: str = "conversation", agent_id: str = "a1") -> list[Any]:
    """The message records in storage."""
    found: list[Any] = subject.repository().list_messages(session_id, agent_id)
    return found


def image(data: bytes = b"\x89PNG\x00\xff") -> ContentBlock:
    """An image block."""
    return {"image": {"format": "png", "source": {"bytes": data}}}
