"""The contract for bytes: images and documents come back as they were, and lie in storage as documented JSON."""

import base64

from agent_sessions.conformance.binary import PNG, BinaryConformance, message_with_bytes
from tests.contract.places import read_json
from tests.contract.subjects import OfEachSubject, Subject


class TestBytes(OfEachSubject, BinaryConformance):
    pass


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
