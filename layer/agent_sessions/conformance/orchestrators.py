"""The state of graphs, swarms and other orchestrators. A repository without them leaves this capability out."""

from __future__ import annotations

from typing import Any

import pytest

from agent_sessions.conformance.capability import Capability, new_session


class Orchestrator:
    """What a repository needs of an orchestrator: its id and its state."""

    def __init__(self, orchestrator_id: str, state: dict[str, Any]) -> None:
        self.id = orchestrator_id
        self.state = state

    def serialize_state(self) -> dict[str, Any]:
        """The state that is stored."""
        return self.state


class OrchestratorsConformance(Capability):
    """What a repository owes the state of an orchestrator."""

    @pytest.fixture
    def with_session(self, repository: Any, types: Any) -> Any:
        """The repository, holding one session, ``s1``."""
        repository.create_session(new_session(types))
        return repository

    def test_a_created_state_is_read_back_untouched(self, with_session: Any) -> None:
        state = {"type": "graph", "completed": ["a", "b"], "nested": {"deep": [None, 1.5, "é"]}, "empty": {}}

        with_session.create_multi_agent("s1", Orchestrator("g1", state))

        assert with_session.read_multi_agent("s1", "g1") == state

    def test_a_state_that_was_never_created_reads_as_none(self, with_session: Any) -> None:
        with_session.create_multi_agent("s1", Orchestrator("g1", {"x": 1}))

        assert with_session.read_multi_agent("s1", "g") is None
        assert with_session.read_multi_agent("another", "g1") is None

    def test_an_update_replaces_the_state(self, with_session: Any) -> None:
        with_session.create_multi_agent("s1", Orchestrator("g1", {"step": 1, "gone": True}))

        with_session.update_multi_agent("s1", Orchestrator("g1", {"step": 2}))

        assert with_session.read_multi_agent("s1", "g1") == {"step": 2}

    def test_updating_a_state_that_is_not_there_is_refused(
        self, with_session: Any, session_exception: type[Exception]
    ) -> None:
        with pytest.raises(session_exception):
            with_session.update_multi_agent("s1", Orchestrator("nobody", {}))

        assert with_session.read_multi_agent("s1", "nobody") is None

    def test_states_of_one_session_do_not_see_each_other(self, with_session: Any) -> None:
        with_session.create_multi_agent("s1", Orchestrator("g1", {"me": 1}))
        with_session.create_multi_agent("s1", Orchestrator("g10", {"me": 10}))

        with_session.update_multi_agent("s1", Orchestrator("g1", {"me": 2}))

        assert with_session.read_multi_agent("s1", "g10") == {"me": 10}
