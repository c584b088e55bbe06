"""Messages: in order of their ids, paged by position, changed only where they are."""

from __future__ import annotations

from typing import Any

import pytest

from agent_sessions.conformance.capability import Capability, new_message, with_agent


class MessagesConformance(Capability):
    """What a repository owes the messages of an agent."""

    @pytest.fixture
    def conversation(self, repository: Any, types: Any) -> Any:
        """The repository, holding session ``s1`` and its agent ``a1``, which has no message yet."""
        return with_agent(repository, types)

    def test_a_created_message_is_read_back(self, conversation: Any, types: Any) -> None:
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
        conversation.create_message("s1", "a1", types.SessionMessage.from_message(message, 0))

        found = conversation.read_message("s1", "a1", 0)

        assert found.message_id == 0
        assert found.message == message
        assert found.to_message() == message
        assert found.redact_message is None

    def test_a_message_that_was_never_created_reads_as_none(self, conversation: Any, types: Any) -> None:
        create(conversation, types, 2)

        assert conversation.read_message("s1", "a1", 2) is None
        assert conversation.read_message("s1", "another", 0) is None

    def test_messages_are_listed_in_the_order_of_their_ids_beyond_ten(self, conversation: Any, types: Any) -> None:
        create(conversation, types, 23)

        listed = conversation.list_messages("s1", "a1")

        assert ids(listed) == list(range(23))
        assert [entry.message["content"][0]["text"] for entry in listed] == [f"message {n}" for n in range(23)]

    def test_a_page_is_the_slice_of_the_whole_list(self, conversation: Any, types: Any) -> None:
        create(conversation, types, 12)
        whole = list(range(12))

        for offset in (0, 9, 10, 11, 40):
            assert ids(conversation.list_messages("s1", "a1", offset=offset)) == whole[offset:]
            for limit in (0, 3, 50):
                page = conversation.list_messages("s1", "a1", limit=limit, offset=offset)
                assert ids(page) == whole[offset : offset + limit], (limit, offset)

    def test_an_agent_without_messages_has_an_empty_list(self, conversation: Any) -> None:
        assert conversation.list_messages("s1", "a1") == []

    def test_an_update_replaces_the_message_and_keeps_when_it_was_created(self, conversation: Any, types: Any) -> None:
        first = types.SessionMessage(
            message={"role": "user", "content": [{"text": "before"}]},
            message_id=0,
            created_at="2020-01-01T00:00:00+00:00",
        )
        conversation.create_message("s1", "a1", first)
        found = conversation.read_message("s1", "a1", 0)

        found.message = {"role": "user", "content": [{"text": "after"}]}
        found.created_at = "2021-01-01T00:00:00+00:00"
        conversation.update_message("s1", "a1", found)

        again = conversation.read_message("s1", "a1", 0)
        assert again.message["content"] == [{"text": "after"}]
        assert again.created_at == "2020-01-01T00:00:00+00:00"

    def test_updating_a_message_that_is_not_there_is_refused(
        self, conversation: Any, types: Any, session_exception: type[Exception]
    ) -> None:
        create(conversation, types, 1)

        with pytest.raises(session_exception):
            conversation.update_message("s1", "a1", new_message(types, 7))

        assert ids(conversation.list_messages("s1", "a1")) == [0]

    def test_a_redacted_message_shows_the_redaction(self, conversation: Any, types: Any) -> None:
        create(conversation, types, 2)
        found = conversation.read_message("s1", "a1", 0)

        found.redact_message = {"role": "user", "content": [{"text": "[redacted]"}]}
        conversation.update_message("s1", "a1", found)

        shown = [entry.to_message()["content"] for entry in conversation.list_messages("s1", "a1")]
        assert shown == [[{"text": "[redacted]"}], [{"text": "message 1"}]]


def create(repository: Any, types: Any, count: int) -> None:
    """Store the messages 0 to ``count`` - 1 of the agent ``a1``."""
    for number in range(count):
        repository.create_message("s1", "a1", new_message(types, number))


def ids(messages: list[Any]) -> list[int]:
    """The ids of messages, in the order in which they came."""
    return [message.message_id for message in messages]
