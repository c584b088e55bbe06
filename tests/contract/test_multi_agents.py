"""The contract for the state of graphs, swarms and other orchestrators."""

import pytest

from agent_sessions.conformance.orchestrators import Orchestrator, OrchestratorsConformance
from tests.contract.subjects import OfEachSubject, Subject


class TestOrchestrators(OfEachSubject, OrchestratorsConformance):
    pass


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
