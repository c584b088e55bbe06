"""The contract for messages: in order of their ids, paged by position, changed only where they are."""

import json
from typing import Any

import pytest

from agent_sessions.conformance import capability
from agent_sessions.conformance.messages import MessagesConformance, create, ids
from tests.contract.places import read_json
from tests.contract.subjects import OfEachSubject, Subject

FOLDER = "session_s1/agents/agent_a1/messages"


class TestMessages(OfEachSubject, MessagesConformance):
    pass


def with_agent(subject: Subject) -> Any:
    """A repository with session ``s1`` and its agent ``a1``."""
    return capability.with_agent(subject.repository(), subject.types)


def create_messages(subject: Subject, repository: Any, count: int) -> None:
    create(repository, subject.types, count)


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
