"""Bytes: images and documents come back as they were."""

from __future__ import annotations

from typing import Any

import pytest

from agent_sessions.conformance.capability import Capability, with_agent

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def message_with_bytes() -> dict[str, Any]:
    """A prompt with an image, an empty document, and an image inside a tool's result."""
    return {
        "role": "user",
        "content": [
            {"text": "Look:"},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
            {"document": {"format": "pdf", "name": "paper", "source": {"bytes": b""}}},
            {"toolResult": {"toolUseId": "t", "status": "success", "content": [{"image": {"source": {"bytes": PNG}}}]}},
        ],
    }


class BinaryConformance(Capability):
    """What a repository owes the bytes in a message."""

    @pytest.fixture
    def conversation(self, repository: Any, types: Any) -> Any:
        """The repository, holding session ``s1`` and its agent ``a1``."""
        return with_agent(repository, types)

    def test_bytes_in_a_message_come_back_as_bytes(self, conversation: Any, types: Any) -> None:
        conversation.create_message("s1", "a1", types.SessionMessage.from_message(message_with_bytes(), 0))

        assert conversation.read_message("s1", "a1", 0).message == message_with_bytes()
        assert conversation.list_messages("s1", "a1")[0].to_message() == message_with_bytes()

    def test_bytes_in_a_redaction_come_back_as_bytes(self, conversation: Any, types: Any) -> None:
        conversation.create_message("s1", "a1", types.SessionMessage.from_message({"role": "user", "content": []}, 0))
        found = conversation.read_message("s1", "a1", 0)
        found.redact_message = message_with_bytes()

        conversation.update_message("s1", "a1", found)

        assert conversation.read_message("s1", "a1", 0).to_message() == message_with_bytes()

    def test_storing_does_not_change_the_callers_message(self, conversation: Any, types: Any) -> None:
        message = message_with_bytes()

        conversation.create_message("s1", "a1", types.SessionMessage.from_message(message, 0))

        assert message == message_with_bytes()
