"""The records of a session's orchestrators: graphs, swarms and whatever else runs several agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.orchestrators import Orchestrators
from agent_sessions._records.own_names import checked_multi_agent
from agent_sessions.types import decode_bytes_values, encode_bytes_values

if TYPE_CHECKING:
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
        self._written_by: dict[str, str] = {}
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
        turn_id = record.kit.get("turn")
        if isinstance(turn_id, str):
            self._written_by[multi_agent_id] = turn_id
        return state_in(checked_multi_agent(record, multi_agent_id))

    def turn_that_wrote(self, multi_agent_id: str) -> str | None:
        """See :meth:`Orchestrators.turn_that_wrote`. Strands' managers rewrite the record without it."""
        return self._written_by.get(multi_agent_id)

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
        version = self._records.update(self.session_id, self.key(source.id), self._state_of(source))
        self._upkeep.note_use(version.written_at)
        self._upkeep.finish()

    def _state_of(self, source: Any) -> dict[str, Any]:
        state = state_of(source)
        return state if self.turn_id is None else {**state, "kit": {**state["kit"], "turn": self.turn_id}}

    def key(self, multi_agent_id: str) -> str:
        """See :meth:`Orchestrators.key`."""
        return self._layout.multi_agent(self.session_id, multi_agent_id)


def state_of(source: Any) -> dict[str, Any]:
    """The record of an orchestrator. Whose it is stands under ``kit``: its own state need not say so."""
    state: dict[str, Any] = encode_bytes_values(source.serialize_state())
    return {**state, "kit": {"id": source.id}}


def state_in(record: Record) -> dict[str, Any]:
    """The orchestrator's own state in a record."""
    state: dict[str, Any] = decode_bytes_values(
        {name: value for name, value in record.content.items() if name != "kit"}
    )
    return state
