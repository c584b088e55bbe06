"""The records a session is made of, with the names and the JSON that Strands gives them.

A record read from storage and written again keeps what this package does not know: whatever is inside ``message``,
``state``, ``conversation_manager_state`` and ``_internal_state`` passes through untouched. The package's own fields
stand under one key, ``kit``, which Strands' ``from_dict`` ignores.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from agent_sessions.exceptions import SessionCorruptError, UnstorableValueError
from agent_sessions.values import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands.types.content import Message


class SessionType(str, Enum):  # noqa: UP042 - the base classes Strands documents
    """What a session holds. Strands knows one type; multi-agent sessions use it too."""

    AGENT = "AGENT"


def utc_now() -> str:
    """The present moment in ISO 8601 with its UTC offset, as every timestamp of a record is written."""
    return datetime.now(UTC).isoformat()


def is_of_life(incarnation: str | None, life: str | None) -> bool:
    """Whether a record is of a session's present life.

    Args:
        incarnation: What the record names: the life it was written in; ``None`` when Strands wrote it.
        life: The session's life. A fork's stands behind the one it was forked from: ``source/fork``. What was copied
            belongs to both.
    """
    return incarnation is None or incarnation == life or (life or "").startswith(f"{incarnation}/")


def encode_bytes_values(obj: Any) -> Any:
    """A value for JSON, in which ``bytes`` become ``{"__bytes_encoded__": true, "data": base64}``.

    See ``values`` for what else is changed.

    Raises:
        UnstorableValueError: JSON has no form for something in it.
    """
    return _as_json(obj, "value")


def decode_bytes_values(obj: Any) -> Any:
    """Undo :func:`encode_bytes_values`."""
    return from_json(obj)


def _as_json(value: Any, name: str) -> Any:
    made, problem = to_json(value, name)
    if problem is not None:
        raise UnstorableValueError(*problem)
    return made


def _copied(name: str, copy: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Copy a part of an agent's state. Strands copies nested values with a call or two for each level."""
    try:
        return copy()
    except RecursionError as error:
        raise UnstorableValueError(name, "dict", "nested too deeply to be copied") from error


def is_bidirectional(agent: Any) -> bool:
    """Whether an agent is a ``BidiAgent``: it has no conversation manager and no stored internal state."""
    loaded = sys.modules.get("strands.agent.agent")  # if there is an Agent, its class is loaded
    return not (loaded is not None and isinstance(agent, loaded.Agent)) and not hasattr(agent, "conversation_manager")


@dataclass
class Session:
    """A session.

    Attributes:
        session_id: The id it was created with.
        session_type: What it holds.
        created_at: ISO 8601, UTC.
        updated_at: ISO 8601, UTC.
        kit: This package's own fields; absent in sessions that Strands created.
    """

    session_id: str
    session_type: SessionType
    created_at: str = field(default_factory=utc_now)
    updated_at: str = field(default_factory=utc_now)
    kit: dict[str, Any] | None = field(default=None, kw_only=True)

    @classmethod
    def from_dict(cls, env: dict[str, Any]) -> Session:
        """Read a session from its JSON object. Unknown keys are ignored.

        Raises:
            SessionCorruptError: The object is not a session's.
        """
        known = _known(cls, env, ("session_id", "session_type"), ("created_at", "updated_at"))
        return cls(**known, kit=_kit_in(env))

    def to_dict(self) -> dict[str, Any]:
        """The session as a JSON object."""
        record: dict[str, Any] = {
            "session_id": self.session_id,
            "session_type": str.__str__(self.session_type),  # later releases of Strands may know more types
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }
        return _with_kit(record, self.kit)


@dataclass
class SessionMessage:
    """One message of an agent's conversation.

    Attributes:
        message: The message, bytes included.
        message_id: Its index in the conversation: 0, 1, 2, …
        redact_message: The replacement, when the message has been redacted.
        created_at: ISO 8601, UTC. Survives updates.
        updated_at: ISO 8601, UTC.
        kit: This package's own fields; absent in messages that Strands wrote.
    """

    message: Message
    message_id: int
    redact_message: Message | None = None
    created_at: str = field(default_factory=utc_now)
    updated_at: str = field(default_factory=utc_now)
    kit: dict[str, Any] | None = field(default=None, kw_only=True)

    @classmethod
    def from_message(cls, message: Message, index: int) -> SessionMessage:
        """The record of a message at an index, created now."""
        now = utc_now()
        return cls(message=message, message_id=index, created_at=now, updated_at=now)

    def to_message(self) -> Message:
        """The message as a conversation may show it: the replacement if it was redacted."""
        return self.message if self.redact_message is None else self.redact_message

    @classmethod
    def from_dict(cls, env: dict[str, Any]) -> SessionMessage:
        """Read a message from its JSON object. Unknown keys are ignored.

        Raises:
            SessionCorruptError: The object is not a message's.
        """
        known = _known(cls, env, ("message", "message_id"), ("redact_message", "created_at", "updated_at"))
        return cls(**{key: decode_bytes_values(value) for key, value in known.items()}, kit=_kit_in(env))

    def to_dict(self) -> dict[str, Any]:
        """The message as a JSON object, bytes encoded."""
        record: dict[str, Any] = {
            "message": _as_json(self.message, "message"),
            "message_id": self.message_id,
            "redact_message": _as_json(self.redact_message, "redact_message"),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }
        return _with_kit(record, self.kit)


@dataclass
class SessionAgent:
    """What a session keeps of an agent besides its messages.

    Attributes:
        agent_id: The agent's id, unique within the session.
        state: What the application put into ``agent.state``.
        conversation_manager_state: The state that the agent's conversation manager gets back.
        _internal_state: Strands' own: pending interrupts, and the state of models that keep the conversation.
        created_at: ISO 8601, UTC. Survives updates.
        updated_at: ISO 8601, UTC.
        kit: This package's own fields; absent when Strands wrote the record.
    """

    agent_id: str
    state: dict[str, Any]
    conversation_manager_state: dict[str, Any]
    _internal_state: dict[str, Any] = field(default_factory=dict)
    created_at: str = field(default_factory=utc_now)
    updated_at: str = field(default_factory=utc_now)
    kit: dict[str, Any] | None = field(default=None, kw_only=True)

    @classmethod
    def from_agent(cls, agent: Any) -> SessionAgent:
        """The record of an agent as it is now.

        Args:
            agent: A Strands ``Agent``, or a ``BidiAgent``, which has no conversation manager.

        Raises:
            ValueError: When the agent has no id.
            UnstorableValueError: Its state is nested too deeply.
        """
        if agent.agent_id is None:
            raise ValueError("agent_id needs to be defined.")
        state = _copied("state", agent.state.get)
        if is_bidirectional(agent):
            return cls(agent_id=agent.agent_id, state=state, conversation_manager_state={})
        interrupts = _copied("_internal_state.interrupt_state", agent._interrupt_state.to_dict)  # noqa: SLF001 - no public access
        return cls(
            agent_id=agent.agent_id,
            state=state,
            conversation_manager_state=_copied("conversation_manager_state", agent.conversation_manager.get_state),
            _internal_state={"interrupt_state": interrupts, "model_state": agent._model_state},  # noqa: SLF001 - no public access
        )

    @classmethod
    def from_bidi_agent(cls, agent: Any) -> SessionAgent:
        """The record of a ``BidiAgent``: the same as :meth:`from_agent`, under the name Strands before 1.56 has."""
        return cls.from_agent(agent)

    @classmethod
    def from_dict(cls, env: dict[str, Any]) -> SessionAgent:
        """Read an agent from its JSON object. Unknown keys are ignored.

        Raises:
            SessionCorruptError: The object is not an agent's.
        """
        needed = ("agent_id", "state", "conversation_manager_state")
        known = _known(cls, env, needed, ("_internal_state", "created_at", "updated_at"))
        return cls(**{key: decode_bytes_values(value) for key, value in known.items()}, kit=_kit_in(env))

    def to_dict(self) -> dict[str, Any]:
        """The agent as a JSON object, bytes encoded."""
        record: dict[str, Any] = {
            "agent_id": self.agent_id,
            "state": _as_json(self.state, "state"),
            "conversation_manager_state": _as_json(self.conversation_manager_state, "conversation_manager_state"),
            "_internal_state": _as_json(self._internal_state, "_internal_state"),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }
        return _with_kit(record, self.kit)

    @property
    def waits_for_answers(self) -> bool:
        """Whether the agent has interrupted its turn, and waits for what it has asked."""
        state = self._internal_state.get("interrupt_state")
        return isinstance(state, dict) and bool(state.get("activated"))

    def initialize_internal_state(self, agent: Any) -> None:
        """Give an agent back its pending interrupts and its model's state, where the record has them."""
        if is_bidirectional(agent):
            return
        if "interrupt_state" in self._internal_state:
            from strands.interrupt import _InterruptState

            stored = cast("dict[str, Any]", self._internal_state["interrupt_state"])
            agent._interrupt_state = _InterruptState.from_dict(stored)  # noqa: SLF001 - no public access
        if "model_state" in self._internal_state:
            agent._model_state = self._internal_state["model_state"]  # noqa: SLF001 - no public access

    def initialize_bidi_internal_state(self, agent: Any) -> None:
        """As :meth:`initialize_internal_state`, under the name Strands before 1.56 has."""
        self.initialize_internal_state(agent)


def _known(kind: type, env: dict[str, Any], needed: tuple[str, ...], others: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a record that are known here."""
    fields: object = env  # anything may be stored there
    missing = [key for key in needed if key not in env] if isinstance(fields, dict) else list(needed)
    if missing:
        raise SessionCorruptError(f"not a {kind.__name__}: it has no {missing[0]}")
    return {key: env[key] for key in (*needed, *others) if key in env}


def _kit_in(env: dict[str, Any]) -> dict[str, Any] | None:
    kit = env.get("kit")
    return kit if isinstance(kit, dict) else None


def is_message_id(found: object) -> TypeGuard[int]:
    """Whether something can be a message's id."""
    return type(found) is int and found >= 0


def ids_in(kit: dict[str, Any] | None, name: str) -> list[int]:
    """The message ids under a name of a record's own fields; empty if something else stands there."""
    found = (kit or {}).get(name)
    return [number for number in found if is_message_id(number)] if isinstance(found, list) else []


def _with_kit(record: dict[str, Any], kit: dict[str, Any] | None) -> dict[str, Any]:
    if kit is not None:
        record["kit"] = kit
    return record
