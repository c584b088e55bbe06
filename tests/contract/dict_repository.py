"""A repository somebody else could have written: everything in one dictionary, as JSON text.

It knows nothing of this kit but the documented contract: the names, what is returned, what is raised.
"""

import json
from typing import Any

from agent_sessions.exceptions import SessionExistsError, SessionNotFoundError
from agent_sessions.session_repository import SessionRepository
from agent_sessions.types import Session, SessionAgent, SessionMessage, decode_bytes_values, encode_bytes_values


class DictRepository(SessionRepository):
    """Keeps each record as text under a tuple that names it."""

    def __init__(self) -> None:
        self.records: dict[tuple[str | int, ...], str] = {}

    def create_session(self, session: Session, **kwargs: Any) -> Session:
        self._create(("session", session.session_id), session.to_dict())
        return session

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        record = self._read(("session", session_id))
        return None if record is None else Session.from_dict(record)

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        self._create(("agent", session_id, session_agent.agent_id), session_agent.to_dict())

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        record = self._read(("agent", session_id, agent_id))
        return None if record is None else SessionAgent.from_dict(record)

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        self._update(("agent", session_id, session_agent.agent_id), session_agent.to_dict())

    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        self._create(("message", session_id, agent_id, session_message.message_id), session_message.to_dict())

    def read_message(self, session_id: str, agent_id: str, message_id: int, **kwargs: Any) -> SessionMessage | None:
        record = self._read(("message", session_id, agent_id, message_id))
        return None if record is None else SessionMessage.from_dict(record)

    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        self._update(("message", session_id, agent_id, session_message.message_id), session_message.to_dict())

    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **kwargs: Any
    ) -> list[SessionMessage]:
        ids = sorted(name[3] for name in self.records if name[:3] == ("message", session_id, agent_id))
        chosen = ids[offset:] if limit is None else ids[offset : offset + limit]
        return [
            SessionMessage.from_dict(json.loads(self.records["message", session_id, agent_id, number]))
            for number in chosen
        ]

    def create_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:
        self._create(("multi_agent", session_id, multi_agent.id), encode_bytes_values(multi_agent.serialize_state()))

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:
        record: dict[str, Any] | None = decode_bytes_values(self._read(("multi_agent", session_id, multi_agent_id)))
        return record

    def update_multi_agent(self, session_id: str, multi_agent: Any, **kwargs: Any) -> None:
        self._update(("multi_agent", session_id, multi_agent.id), encode_bytes_values(multi_agent.serialize_state()))

    def _create(self, name: tuple[str | int, ...], record: dict[str, Any]) -> None:
        if name in self.records:
            raise SessionExistsError(f"{name} already exists")
        self.records[name] = json.dumps(record)

    def _read(self, name: tuple[str | int, ...]) -> dict[str, Any] | None:
        text = self.records.get(name)
        record: dict[str, Any] | None = None if text is None else json.loads(text)
        return record

    def _update(self, name: tuple[str | int, ...], record: dict[str, Any]) -> None:
        previous = self._read(name)
        if previous is None:
            raise SessionNotFoundError(f"{name} does not exist")
        if "created_at" in previous:
            record = record | {"created_at": previous["created_at"]}
        self.records[name] = json.dumps(record)
