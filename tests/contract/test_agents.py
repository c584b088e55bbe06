"""The contract for agents: created, read, updated, and nothing inside them is touched."""

from typing import Any

import pytest

from tests.contract.places import read_json
from tests.contract.strands_features import MANAGERS_STORE_BYTES_IN_STATE
from tests.contract.subjects import Subject

STATE: dict[str, Any] = {
    "text": "Grüße, 你好, 🙂",
    "number": 1.5,
    "whole": 10**15,
    "yes": True,
    "nothing": None,
    "nested": {"list": [1, [2, {"deep": "é"}]], "empty": {}, "": "blank key"},
}


@pytest.fixture
def repository(subject: Subject) -> Any:
    """A repository with one session, ``s1``."""
    repository = subject.repository()
    types = subject.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    return repository


def new_agent(subject: Subject, agent_id: str = "a1", **fields: Any) -> Any:
    return subject.types.SessionAgent(**{"agent_id": agent_id, "state": {}, "conversation_manager_state": {}} | fields)


def test_a_created_agent_is_read_back_untouched(subject: Subject, repository: Any) -> None:
    manager_state = {"__name__": "SlidingWindowConversationManager", "removed_message_count": 3, "unknown": [1]}
    internal = {"interrupt_state": {"interrupts": {}, "context": {}, "activated": False}, "later": {"x": [None]}}
    agent = new_agent(subject, state=STATE, conversation_manager_state=manager_state, _internal_state=internal)

    repository.create_agent("s1", agent)
    found = repository.read_agent("s1", "a1")

    assert found.agent_id == "a1"
    assert found.state == STATE
    assert found.conversation_manager_state == manager_state
    assert found._internal_state == internal


def test_an_agent_that_was_never_created_reads_as_none(subject: Subject, repository: Any) -> None:
    repository.create_agent("s1", new_agent(subject, "a1"))

    assert repository.read_agent("s1", "a") is None
    assert repository.read_agent("s1", "a11") is None
    assert repository.read_agent("another", "a1") is None


def test_an_update_replaces_the_state_and_keeps_when_the_agent_was_created(subject: Subject, repository: Any) -> None:
    created = new_agent(subject, state={"count": 1}, created_at="2020-01-01T00:00:00+00:00")
    repository.create_agent("s1", created)

    repository.update_agent("s1", new_agent(subject, state={"count": 2}))

    found = repository.read_agent("s1", "a1")
    assert found.state == {"count": 2}
    assert found.created_at == "2020-01-01T00:00:00+00:00"


def test_updating_an_agent_that_is_not_there_is_refused(subject: Subject, repository: Any) -> None:
    with pytest.raises(subject.session_exception):
        repository.update_agent("s1", new_agent(subject, "nobody"))

    assert repository.read_agent("s1", "nobody") is None


def test_agents_of_one_session_do_not_see_each_other(subject: Subject, repository: Any) -> None:
    repository.create_agent("s1", new_agent(subject, "a1", state={"me": 1}))
    repository.create_agent("s1", new_agent(subject, "a2", state={"me": 2}))
    message = subject.types.SessionMessage.from_message({"role": "user", "content": [{"text": "only a1"}]}, 0)
    repository.create_message("s1", "a1", message)

    assert repository.read_agent("s1", "a1").state == {"me": 1}
    assert repository.read_agent("s1", "a2").state == {"me": 2}
    assert repository.list_messages("s1", "a2") == []


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
