"""The contract for agents: created, read, updated, and nothing inside them is touched."""

from typing import Any

import pytest

from agent_sessions.conformance.agents import STATE, AgentsConformance
from agent_sessions.conformance.capability import new_session
from tests.contract.places import read_json
from tests.contract.strands_features import MANAGERS_STORE_BYTES_IN_STATE
from tests.contract.subjects import OfEachSubject, Subject


class TestAgents(OfEachSubject, AgentsConformance):
    pass


@pytest.fixture
def repository(subject: Subject) -> Any:
    """A repository with one session, ``s1``."""
    repository = subject.repository()
    repository.create_session(new_session(subject.types))
    return repository


def new_agent(subject: Subject, agent_id: str = "a1", **fields: Any) -> Any:
    return subject.types.SessionAgent(**{"agent_id": agent_id, "state": {}, "conversation_manager_state": {}} | fields)


def test_bytes_in_an_agents_state_come_back_as_bytes(subject: Subject, repository: Any) -> None:
    if not subject.is_ours and not MANAGERS_STORE_BYTES_IN_STATE:
        pytest.skip("Strands' managers of this version cannot store bytes in an agent's state")
    agent = new_agent(subject, state={"blob": b"\x00\xff", "list": [b"", {"deep": b"z"}]})
    repository.create_agent("s1", agent)

    assert repository.read_agent("s1", "a1").state == {"blob": b"\x00\xff", "list": [b"", {"deep": b"z"}]}


def test_fields_of_later_versions_are_ignored(subject: Subject) -> None:
    known = new_agent(subject, state=STATE).to_dict()

    assert subject.types.SessionAgent.from_dict(known | {"invented_later": 1}).to_dict() == known


def test_an_agent_record_holds_what_strands_writes(ours_stored: Subject) -> None:
    repository = ours_stored.manager("s1")
    repository.create_agent("s1", new_agent(ours_stored))

    record = read_json(ours_stored.stored, "session_s1/agents/agent_a1/agent.json")

    expected = {"agent_id", "state", "conversation_manager_state", "_internal_state", "created_at", "updated_at"}
    assert set(record) - {"kit"} == expected


def test_an_unreadable_agent_record_is_reported_with_its_key_and_never_overwritten(ours_stored: Subject) -> None:
    from agent_sessions.exceptions import SessionCorruptError

    repository = ours_stored.manager("s1")
    key = "session_s1/agents/agent_a1/agent.json"
    ours_stored.stored.write(key, b"not json")

    with pytest.raises(SessionCorruptError) as caught:
        repository.read_agent("s1", "a1")
    with pytest.raises(SessionCorruptError):
        repository.update_agent("s1", new_agent(ours_stored))

    assert caught.value.key is not None
    assert caught.value.key.endswith(key)
    assert ours_stored.stored.read(key) == b"not json"
