"""The contract for bytes: images and documents come back as they were, and lie in storage as documented JSON."""

import base64
from typing import Any

import pytest

from tests.contract.places import read_json
from tests.contract.subjects import Subject

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def message_with_bytes() -> dict[str, Any]:
    return {
        "role": "user",
        "content": [
            {"text": "Look:"},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
            {"document": {"format": "pdf", "name": "paper", "source": {"bytes": b""}}},
            {"toolResult": {"toolUseId": "t", "status": "success", "content": [{"image": {"source": {"bytes": PNG}}}]}},
        ],
    }


@pytest.fixture
def repository(subject: Subject) -> Any:
    repository = subject.repository()
    types = subject.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    repository.create_agent("s1", types.SessionAgent(agent_id="a1", state={}, conversation_manager_state={}))
    return repository


def test_bytes_in_a_message_come_back_as_bytes(subject: Subject, repository: Any) -> None:
    repository.create_message("s1", "a1", subject.types.SessionMessage.from_message(message_with_bytes(), 0))

    assert repository.read_message("s1", "a1", 0).message == message_with_bytes()
    assert repository.list_messages("s1", "a1")[0].to_message() == message_with_bytes()


def test_bytes_in_a_redaction_come_back_as_bytes(subject: Subject, repository: Any) -> None:
    repository.create_message("s1", "a1", subject.types.SessionMessage.from_message({"role": "user", "content": []}, 0))
    found = repository.read_message("s1", "a1", 0)
    found.redact_message = message_with_bytes()

    repository.update_message("s1", "a1", found)

    assert repository.read_message("s1", "a1", 0).to_message() == message_with_bytes()


def test_storing_does_not_change_the_callers_message(subject: Subject, repository: Any) -> None:
    message = message_with_bytes()

    repository.create_message("s1", "a1", subject.types.SessionMessage.from_message(message, 0))

    assert message == message_with_bytes()


def test_bytes_lie_in_storage_as_base64_under_the_documented_marker(ours_stored: Subject) -> None:
    manager = ours_stored.manager("s1")
    types = ours_stored.types
    manager.create_agent("s1", types.SessionAgent(agent_id="a1", state={}, conversation_manager_state={}))
    manager.create_message("s1", "a1", types.SessionMessage.from_message(message_with_bytes(), 0))

    record = read_json(ours_stored.stored, "session_s1/agents/agent_a1/messages/message_0.json")

    image = record["message"]["content"][1]["image"]["source"]["bytes"]
    assert image == {"__bytes_encoded__": True, "data": base64.b64encode(PNG).decode()}


def test_encoding_and_decoding_are_each_others_inverse_and_the_same_as_strands(subject: Subject) -> None:
    from strands.types import session as strands_types

    types = subject.types
    value = {"a": [b"\x00", {"b": b"\xff" * 3, "c": None}], "d": "text", "e": 1.5, "f": True}

    assert types.decode_bytes_values(types.encode_bytes_values(value)) == value
    assert types.encode_bytes_values(value) == strands_types.encode_bytes_values(value)
