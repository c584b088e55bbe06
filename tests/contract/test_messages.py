"""The contract for messages: in order of their ids, paged by position, changed only where they are."""

import json
from typing import Any

import pytest

from tests.contract.places import read_json
from tests.contract.subjects import Subject

FOLDER = "session_s1/agents/agent_a1/messages"


@pytest.fixture
def repository(subject: Subject) -> Any:
    """A repository with session ``s1`` and its agent ``a1``."""
    return with_agent(subject)


def with_agent(subject: Subject) -> Any:
    repository = subject.repository()
    types = subject.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    agent = types.SessionAgent(agent_id="a1", state={}, conversation_manager_state={})
    repository.create_agent("s1", agent)
    return repository


def create_messages(subject: Subject, repository: Any, count: int) -> None:
    for number in range(count):
        role = "user" if number % 2 == 0 else "assistant"
        message = {"role": role, "content": [{"text": f"message {number}"}]}
        repository.create_message("s1", "a1", subject.types.SessionMessage.from_message(message, number))


def ids(messages: list[Any]) -> list[int]:
    return [message.message_id for message in messages]


def test_a_created_message_is_read_back(subject: Subject, repository: Any) -> None:
    message = {
        "role": "assistant",
        "content": [
            {"text": "Ümläut 🙂\n\ttab"},
            {"toolUse": {"toolUseId": "t1", "name": "clock", "input": {"zone": "UTC", "deep": [{"x": None}]}}},
            {"reasoningContent": {"reasoningText": {"text": "because", "signature": "sig"}}},
        ],
        "metadata": {"usage": {"inputTokens": 1}},
        "invented_later": {"kept": True},
    }
    repository.create_message("s1", "a1", subject.types.SessionMessage.from_message(message, 0))

    found = repository.read_message("s1", "a1", 0)

    assert found.message_id == 0
    assert found.message == message
    assert found.to_message() == message
    assert found.redact_message is None


def test_a_message_that_was_never_created_reads_as_none(subject: Subject, repository: Any) -> None:
    create_messages(subject, repository, 2)

    assert repository.read_message("s1", "a1", 2) is None
    assert repository.read_message("s1", "another", 0) is None


def test_messages_are_listed_in_the_order_of_their_ids_beyond_ten(subject: Subject, repository: Any) -> None:
    create_messages(subject, repository, 23)

    listed = repository.list_messages("s1", "a1")

    assert ids(listed) == list(range(23))
    assert [entry.message["content"][0]["text"] for entry in listed] == [f"message {n}" for n in range(23)]


def test_a_page_is_the_slice_of_the_whole_list(subject: Subject, repository: Any) -> None:
    create_messages(subject, repository, 12)
    whole = list(range(12))

    for offset in (0, 9, 10, 11, 40):
        assert ids(repository.list_messages("s1", "a1", offset=offset)) == whole[offset:]
        for limit in (0, 3, 50):
            page = repository.list_messages("s1", "a1", limit=limit, offset=offset)
            assert ids(page) == whole[offset : offset + limit], (limit, offset)


def test_an_agent_without_messages_has_an_empty_list(subject: Subject, repository: Any) -> None:
    assert repository.list_messages("s1", "a1") == []


def test_an_update_replaces_the_message_and_keeps_when_it_was_created(subject: Subject, repository: Any) -> None:
    types = subject.types
    first = types.SessionMessage(
        message={"role": "user", "content": [{"text": "before"}]}, message_id=0, created_at="2020-01-01T00:00:00+00:00"
    )
    repository.create_message("s1", "a1", first)
    found = repository.read_message("s1", "a1", 0)

    found.message = {"role": "user", "content": [{"text": "after"}]}
    found.created_at = "2021-01-01T00:00:00+00:00"
    repository.update_message("s1", "a1", found)

    again = repository.read_message("s1", "a1", 0)
    assert again.message["content"] == [{"text": "after"}]
    assert again.created_at == "2020-01-01T00:00:00+00:00"


def test_updating_a_message_that_is_not_there_is_refused(subject: Subject, repository: Any) -> None:
    create_messages(subject, repository, 1)
    absent = subject.types.SessionMessage.from_message({"role": "user", "content": [{"text": "x"}]}, 7)

    with pytest.raises(subject.session_exception):
        repository.update_message("s1", "a1", absent)

    assert ids(repository.list_messages("s1", "a1")) == [0]


def test_a_redacted_message_shows_the_redaction(subject: Subject, repository: Any) -> None:
    create_messages(subject, repository, 2)
    found = repository.read_message("s1", "a1", 0)

    found.redact_message = {"role": "user", "content": [{"text": "[redacted]"}]}
    repository.update_message("s1", "a1", found)

    shown = [entry.to_message()["content"] for entry in repository.list_messages("s1", "a1")]
    assert shown == [[{"text": "[redacted]"}], [{"text": "message 1"}]]


def test_fields_of_later_versions_are_ignored(subject: Subject) -> None:
    types = subject.types
    known = types.SessionMessage.from_message({"role": "user", "content": [{"text": "x"}]}, 0).to_dict()

    assert types.SessionMessage.from_dict(known | {"invented_later": 1}).to_dict() == known


def test_a_message_record_holds_what_strands_writes(ours_stored: Subject) -> None:
    create_messages(ours_stored, with_agent(ours_stored), 1)

    record = read_json(ours_stored.stored, f"{FOLDER}/message_0.json")

    assert set(record) - {"kit"} == {"message", "message_id", "redact_message", "created_at", "updated_at"}


def test_the_tracking_id_of_a_message_is_stored_with_it(ours_stored: Subject) -> None:
    repository = with_agent(ours_stored)
    message = {"role": "user", "content": [{"text": "Hello"}], "tracking_id": "durable-1"}
    repository.create_message("s1", "a1", ours_stored.types.SessionMessage.from_message(message, 0))

    assert read_json(ours_stored.stored, f"{FOLDER}/message_0.json")["message"]["tracking_id"] == "durable-1"
    assert repository.read_message("s1", "a1", 0).to_message()["tracking_id"] == "durable-1"


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "message_.json",
        "message_x.json",
        "message_1.json.bak",
        "message_-1.json",
        "message_01.json",
        ".tmp",
    ],
)
def test_foreign_objects_between_the_messages_are_ignored(ours_stored: Subject, name: str) -> None:
    repository = with_agent(ours_stored)
    create_messages(ours_stored, repository, 3)
    ours_stored.stored.write(f"{FOLDER}/{name}", b"nobody's")
    ours_stored.stored.write(f"{FOLDER}/deeper/message_1.json", b"nobody's")

    assert ids(repository.list_messages("s1", "a1")) == [0, 1, 2]
    assert ours_stored.stored.read(f"{FOLDER}/{name}") == b"nobody's"


def test_an_unreadable_message_is_reported_with_its_key_and_the_rest_stays_reachable(ours_stored: Subject) -> None:
    from agent_sessions.exceptions import SessionCorruptError

    repository = with_agent(ours_stored)
    create_messages(ours_stored, repository, 3)
    ours_stored.stored.write(f"{FOLDER}/message_1.json", b'{"message": ')

    with pytest.raises(SessionCorruptError) as caught:
        repository.read_message("s1", "a1", 1)

    assert caught.value.key is not None
    assert caught.value.key.endswith(f"{FOLDER}/message_1.json")
    assert repository.read_message("s1", "a1", 0).message_id == 0
    assert repository.read_message("s1", "a1", 2).message_id == 2
    assert ours_stored.stored.read(f"{FOLDER}/message_1.json") == b'{"message": '


def test_a_message_written_by_strands_without_our_fields_is_read(ours_stored: Subject) -> None:
    repository = with_agent(ours_stored)
    record = {
        "message": {"role": "user", "content": [{"text": "theirs"}]},
        "message_id": 0,
        "redact_message": None,
        "created_at": "2026-01-01T00:00:00+00:00",
        "updated_at": "2026-01-01T00:00:00+00:00",
    }
    ours_stored.stored.write(f"{FOLDER}/message_0.json", json.dumps(record, indent=2).encode())

    assert repository.list_messages("s1", "a1")[0].to_message()["content"] == [{"text": "theirs"}]
