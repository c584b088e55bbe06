"""The records of a session's orchestrators: graphs, swarms and whatever else runs several agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from agent_sessions._conversation.orchestrators import Orchestrators
from agent_sessions._records.own_names import checked_multi_agent
from agent_sessions.types import decode_bytes_values, encode_bytes_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._life.upkeep import Upkeep
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions._records.records import Records
    from agent_sessions.turn_request import OrchestratorRecord


class OrchestratorObjects(Orchestrators):
    """The orchestrators of a session kept as objects, each one a record of its own.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        upkeep: Keeps the session from expiring in pieces.
    """

    def __init__(self, records: Records, layout: Layout, session_id: str, upkeep: Upkeep) -> None:
        self.restored: dict[str, OrchestratorRecord] = {}
        self._noted: dict[str, tuple[str, dict[str, int] | None]] = {}
        self._unforgotten: set[str] = set()
        self._records = records
        self._layout = layout
        self.session_id = session_id
        self._upkeep = upkeep

    def read(self, multi_agent_id: str) -> dict[str, Any] | None:
        """See :meth:`Orchestrators.read`."""
        record = self._records.own(self.session_id, self.key(multi_agent_id))
        if record is None:
            return None
        self._upkeep.note_earlier_use(record.stored.last_modified)
        turn_id, used = record.kit.get("turn"), record.kit.get("used")
        if isinstance(turn_id, str):
            self._noted[multi_agent_id] = (turn_id, used if _counts(used) else None)
        return state_in(checked_multi_agent(record, multi_agent_id))

    def noted_with(self, multi_agent_id: str) -> tuple[str | None, dict[str, int] | None]:
        """See :meth:`Orchestrators.noted_with`. Strands' managers rewrite the record without it."""
        return self._noted.get(multi_agent_id, (None, None))

    def create(self, source: Any) -> None:
        """Store the state of a new orchestrator.

        Raises:
            SessionConflictError: Another caller has stored one of this id.
        """
        key = self.key(source.id)
        self._upkeep.before_writing()
        self._upkeep.note_created(key, self._records.create_head(self.session_id, key, self._state_of(source)))
        self._upkeep.finish()

    def update(self, source: Any) -> None:
        """Replace the state of an orchestrator.

        Raises:
            SessionConflictError: Another caller has replaced it since it was read.
        """
        self._upkeep.before_update()
        self._upkeep.before_writing()
        key = self.key(source.id)
        version = self._records.update(self.session_id, key, self._state_of(source))
        if key in self._unforgotten:
            self._records.objects.erase(key, keep=[key])  # where older versions are kept, they hold the original
            self._unforgotten.discard(key)
        self._upkeep.note_use(version.written_at)
        self._upkeep.finish()

    def redact(self, source: Any, redacted: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """See :meth:`Orchestrators.redact`."""
        self._unforgotten.add(self.key(source.id))
        super().redact(source, redacted)

    def _state_of(self, source: Any) -> dict[str, Any]:
        record = record_of(source.id, self.state_to_store(source))
        if self.turn_id is None:
            return record
        used = {} if self.used is None else {"used": self.used()}
        return {**record, "kit": {**record["kit"], "turn": self.turn_id, **used}}

    def key(self, multi_agent_id: str) -> str:
        """See :meth:`Orchestrators.key`."""
        return self._layout.multi_agent(self.session_id, multi_agent_id)


def state_of(source: Any) -> dict[str, Any]:
    """The record of an orchestrator."""
    return record_of(source.id, source.serialize_state())


def record_of(multi_agent_id: str, state: dict[str, Any]) -> dict[str, Any]:
    """The record of an orchestrator's state. Whose it is stands under ``kit``: the state need not say so."""
    encoded: dict[str, Any] = encode_bytes_values(state)
    return {**encoded, "kit": {"id": multi_agent_id}}


def _counts(used: object) -> TypeGuard[dict[str, int]]:
    return isinstance(used, dict) and all(type(count) is int for count in used.values())


def state_in(record: Record) -> dict[str, Any]:
    """The orchestrator's own state in a record."""
    state: dict[str, Any] = decode_bytes_values(
        {name: value for name, value in record.content.items() if name != "kit"}
    )
    return state
