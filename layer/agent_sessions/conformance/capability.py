"""What the tests of each capability are given: the repository under test, and the types it stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions import exceptions
from agent_sessions import types as kit_types

if TYPE_CHECKING:
    from agent_sessions.types import Session, SessionAgent, SessionMessage


class Capability:
    """The base of every capability's tests. Yours overrides the fixture ``repository``."""

    @pytest.fixture
    def repository(self) -> Any:
        """A new, empty repository for each test.

        Raises:
            NotImplementedError: It was not overridden.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `repository` that returns an empty one")

    @pytest.fixture
    def types(self) -> Any:
        """The module whose ``Session``, ``SessionAgent`` and ``SessionMessage`` the repository stores."""
        return kit_types

    @pytest.fixture
    def session_exception(self) -> type[Exception]:
        """The base of what the repository raises."""
        return exceptions.SessionException


def new_session(types: Any, session_id: str = "s1") -> Session:
    """A session that is not stored yet."""
    session: Session = types.Session(session_id=session_id, session_type=types.SessionType.AGENT)
    return session


def new_agent(types: Any, agent_id: str = "a1", **fields: Any) -> SessionAgent:
    """An agent that is not stored yet."""
    agent: SessionAgent = types.SessionAgent(
        **{"agent_id": agent_id, "state": {}, "conversation_manager_state": {}} | fields
    )
    return agent


def new_message(types: Any, message_id: int, text: str | None = None) -> SessionMessage:
    """A message that is not stored yet: the user's at even ids, the assistant's at odd ones."""
    role = "assistant" if message_id % 2 else "user"
    content = [{"text": f"message {message_id}" if text is None else text}]
    message: SessionMessage = types.SessionMessage.from_message({"role": role, "content": content}, message_id)
    return message


def with_agent(repository: Any, types: Any) -> Any:
    """The repository, holding session ``s1`` and its agent ``a1``."""
    repository.create_session(new_session(types))
    repository.create_agent("s1", new_agent(types))
    return repository
