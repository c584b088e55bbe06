"""Agents: created, read, updated, and nothing inside their records is touched."""

from __future__ import annotations

from typing import Any

import pytest

from agent_sessions.conformance.capability import Capability, new_agent, new_message, new_session

STATE: dict[str, Any] = {
    "text": "Grüße, 你好, 🙂",
    "number": 1.5,
    "whole": 10**15,
    "yes": True,
    "nothing": None,
    "nested": {"list": [1, [2, {"deep": "é"}]], "empty": {}, "": "blank key"},
}


class AgentsConformance(Capability):
    """What a repository owes an agent's record."""

    @pytest.fixture
    def with_session(self, repository: Any, types: Any) -> Any:
        """The repository, holding one session, ``s1``."""
        repository.create_session(new_session(types))
        return repository

    def test_a_created_agent_is_read_back_untouched(self, with_session: Any, types: Any) -> None:
        manager_state = {"__name__": "SlidingWindowConversationManager", "removed_message_count": 3, "unknown": [1]}
        internal = {"interrupt_state": {"interrupts": {}, "context": {}, "activated": False}, "later": {"x": [None]}}
        agent = new_agent(types, state=STATE, conversation_manager_state=manager_state, _internal_state=internal)

        with_session.create_agent("s1", agent)
        found = with_session.read_agent("s1", "a1")

        assert found.agent_id == "a1"
        assert found.state == STATE
        assert found.conversation_manager_state == manager_state
        assert found._internal_state == internal

    def test_an_agent_that_was_never_created_reads_as_none(self, with_session: Any, types: Any) -> None:
        with_session.create_agent("s1", new_agent(types))

        assert with_session.read_agent("s1", "a") is None
        assert with_session.read_agent("s1", "a11") is None
        assert with_session.read_agent("another", "a1") is None

    def test_an_update_replaces_the_state_and_keeps_when_the_agent_was_created(
        self, with_session: Any, types: Any
    ) -> None:
        created = new_agent(types, state={"count": 1}, created_at="2020-01-01T00:00:00+00:00")
        with_session.create_agent("s1", created)

        with_session.update_agent("s1", new_agent(types, state={"count": 2}))

        found = with_session.read_agent("s1", "a1")
        assert found.state == {"count": 2}
        assert found.created_at == "2020-01-01T00:00:00+00:00"

    def test_updating_an_agent_that_is_not_there_is_refused(
        self, with_session: Any, types: Any, session_exception: type[Exception]
    ) -> None:
        with pytest.raises(session_exception):
            with_session.update_agent("s1", new_agent(types, "nobody"))

        assert with_session.read_agent("s1", "nobody") is None

    def test_agents_of_one_session_do_not_see_each_other(self, with_session: Any, types: Any) -> None:
        with_session.create_agent("s1", new_agent(types, "a1", state={"me": 1}))
        with_session.create_agent("s1", new_agent(types, "a2", state={"me": 2}))
        with_session.create_message("s1", "a1", new_message(types, 0, "only a1"))

        assert with_session.read_agent("s1", "a1").state == {"me": 1}
        assert with_session.read_agent("s1", "a2").state == {"me": 2}
        assert with_session.list_messages("s1", "a2") == []
