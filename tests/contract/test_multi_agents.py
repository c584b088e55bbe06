"""The contract for the state of graphs, swarms and other orchestrators."""

from typing import Any

import pytest

from tests.contract.subjects import Subject


class Orchestrator:
    """The least a repository needs to know of one: its id and its state."""

    def __init__(self, orchestrator_id: str, state: dict[str, Any]) -> None:
        self.id = orchestrator_id
        self.state = state

    def serialize_state(self) -> dict[str, Any]:
        return self.state


@pytest.fixture
def repository(subject: Subject) -> Any:
    repository = subject.repository()
    types = subject.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    return repository


def test_a_created_state_is_read_back_untouched(subject: Subject, repository: Any) -> None:
    state = {"type": "graph", "completed": ["a", "b"], "nested": {"deep": [None, 1.5, "é"]}, "empty": {}}

    repository.create_multi_agent("s1", Orchestrator("g1", state))

    assert repository.read_multi_agent("s1", "g1") == state


def test_a_state_that_was_never_created_reads_as_none(subject: Subject, repository: Any) -> None:
    repository.create_multi_agent("s1", Orchestrator("g1", {"x": 1}))

    assert repository.read_multi_agent("s1", "g") is None
    assert repository.read_multi_agent("another", "g1") is None


def test_an_update_replaces_the_state(subject: Subject, repository: Any) -> None:
    repository.create_multi_agent("s1", Orchestrator("g1", {"step": 1, "gone": True}))

    repository.update_multi_agent("s1", Orchestrator("g1", {"step": 2}))

    assert repository.read_multi_agent("s1", "g1") == {"step": 2}


def test_updating_a_state_that_is_not_there_is_refused(subject: Subject, repository: Any) -> None:
    with pytest.raises(subject.session_exception):
        repository.update_multi_agent("s1", Orchestrator("nobody", {}))

    assert repository.read_multi_agent("s1", "nobody") is None


def test_states_of_one_session_do_not_see_each_other(subject: Subject, repository: Any) -> None:
    repository.create_multi_agent("s1", Orchestrator("g1", {"me": 1}))
    repository.create_multi_agent("s1", Orchestrator("g10", {"me": 10}))

    repository.update_multi_agent("s1", Orchestrator("g1", {"me": 2}))

    assert repository.read_multi_agent("s1", "g10") == {"me": 10}


def test_bytes_in_a_state_come_back_as_bytes(ours: Subject) -> None:
    repository = ours.repository()
    types = ours.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))

    repository.create_multi_agent("s1", Orchestrator("g1", {"image": {"bytes": b"\x00\xff"}}))

    assert repository.read_multi_agent("s1", "g1") == {"image": {"bytes": b"\x00\xff"}}


def test_the_state_lies_where_strands_looks_for_it(ours_stored: Subject) -> None:
    ours_stored.manager("s1").create_multi_agent("s1", Orchestrator("g1", {"x": 1}))

    assert "session_s1/multi_agents/multi_agent_g1/multi_agent.json" in ours_stored.stored.keys()  # noqa: SIM118 - a method of Place


def test_a_repository_without_multi_agent_support_says_so() -> None:
    from agent_sessions.session_repository import SessionRepository

    class WithoutMultiAgent(SessionRepository):
        create_session = read_session = create_agent = read_agent = update_agent = None  # type: ignore[assignment]
        create_message = read_message = update_message = list_messages = None  # type: ignore[assignment]

    with pytest.raises(NotImplementedError, match="WithoutMultiAgent"):
        WithoutMultiAgent().create_multi_agent("s1", Orchestrator("g1", {}))
    with pytest.raises(NotImplementedError):
        WithoutMultiAgent().read_multi_agent("s1", "g1")
    with pytest.raises(NotImplementedError):
        WithoutMultiAgent().update_multi_agent("s1", Orchestrator("g1", {}))
