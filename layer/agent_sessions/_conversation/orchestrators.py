"""A session's orchestrators (graphs, swarms and others): read, stored when new, replaced."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.understanding import understanding
from agent_sessions.exceptions import SessionConflictError
from agent_sessions.turn_request import OrchestratorRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.session_repository import SessionRepository

logger = logging.getLogger(__name__)


class Orchestrators:
    """The orchestrators of one session, over the documented methods of any repository.

    Args:
        repository: Where the session lives.
        session_id: The session.

    Attributes:
        restored: What was stored of each orchestrator when it was restored, by its id.
        turn_id: The turn under way. What is stored from now on names it, where records can name anything.
        used: Says what that turn has used so far. It is stored with the turn.
    """

    turn_id: str | None = None
    used: Callable[[], dict[str, int]] | None = None
    _redacted: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def __init__(self, repository: SessionRepository, session_id: str) -> None:
        self.restored: dict[str, OrchestratorRecord] = {}
        self._repository = repository
        self.session_id = session_id

    def restore_or_create(self, source: Any, *, is_new_session: bool) -> None:
        """Restore an orchestrator, or store it when the session has none of its id.

        Args:
            source: The orchestrator.
            is_new_session: Whether nothing of the session needs to be looked for.

        Raises:
            SessionCorruptError: The orchestrator cannot do anything with what is stored.
        """
        state = None if is_new_session else self.read(source.id)
        if state is None:
            try:
                self.create(source)
            except SessionConflictError:
                # Another caller has created it since.
                state = self.read(source.id)
                if state is None:
                    raise
        self.restored[source.id] = OrchestratorRecord(state, *self.noted_with(source.id))
        if state is not None and not _goes_on_with_what_is_gone(source, state):
            logger.debug("session_id=<%s>, multi_agent_id=<%s> | restoring", self.session_id, source.id)
            with understanding("an orchestrator's state", session_id=self.session_id, key=self.key(source.id)):
                source.deserialize_state(state)

    def key(self, multi_agent_id: str) -> str | None:  # noqa: ARG002
        """The key of an orchestrator's record, where there are keys."""
        return None

    def read(self, multi_agent_id: str) -> dict[str, Any] | None:
        """The state of an orchestrator, or ``None`` when the session has none of this id."""
        return self._repository.read_multi_agent(self.session_id, multi_agent_id)

    def noted_with(self, multi_agent_id: str) -> tuple[str | None, dict[str, int] | None]:  # noqa: ARG002
        """The turn that wrote the state that was read last, and what it had used; ``None`` where nothing notes that."""
        return None, None

    def create(self, source: Any) -> None:
        """Store the state of a new orchestrator.

        Raises:
            SessionConflictError: Another caller has stored one of this id.
        """
        self._repository.create_multi_agent(self.session_id, source)

    def update(self, source: Any) -> None:
        """Replace the state of an orchestrator.

        Raises:
            SessionConflictError: Another caller has replaced it since it was read, where the repository can tell.
        """
        stored = source if self._redacted is None else _Stored(source.id, self.state_to_store(source))
        self._repository.update_multi_agent(self.session_id, stored)

    def redact(self, source: Any, redacted: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace the state of an orchestrator, and leave nothing of what was taken back.

        Args:
            source: The orchestrator.
            redacted: Given a state, returns what may be stored of it. It is asked about each one from now on.

        Raises:
            SessionException: Storage failed. The next update makes up for it.
        """
        self._redacted = redacted
        self.update(source)

    def state_to_store(self, source: Any) -> dict[str, Any]:
        """The state of an orchestrator as it may be stored."""
        state: dict[str, Any] = source.serialize_state()
        return state if self._redacted is None else self._redacted(state)


class _Stored:
    """A state in the place of the orchestrator whose it is."""

    def __init__(self, multi_agent_id: str, state: dict[str, Any]) -> None:
        self.id = multi_agent_id
        self._state = state

    def serialize_state(self) -> dict[str, Any]:
        """The state."""
        return self._state


def _goes_on_with_what_is_gone(source: Any, state: dict[str, Any]) -> bool:
    """Whether a swarm's next agent is not in it any more: it begins anew. Older releases of Strands would fail."""
    if state.get("type") != "swarm" or not isinstance(getattr(source, "nodes", None), dict):
        return False
    handed_to = (state.get("context") or {}).get("handoff_node")
    named = {*(state.get("next_nodes_to_execute") or ()), *([handed_to] if handed_to else [])}
    return not named <= source.nodes.keys()
