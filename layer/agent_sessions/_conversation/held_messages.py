"""Which stored record stands for which message object of a running agent.

Strands changes messages after they were stored: it redacts them, pins them, replaces them. The link back to the record
is the message's ``tracking_id`` where it has one (Strands 1.48 and later) and the object itself otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions._conversation.window import is_pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from strands.types.content import Message


class HeldMessages:
    """The records of one running agent's messages, in the order of their ids.

    Attributes:
        latest_id: The record stored last, even when a conversation manager has removed its message since.
        pinned_ids: The records that carry a pin.
    """

    def __init__(self) -> None:
        self.latest_id: int | None = None
        self.pinned_ids: set[int] = set()
        self._messages: dict[int, Message] = {}

    def add(self, message_id: int, message: Message) -> None:
        """Remember that a message has been stored."""
        self.latest_id = message_id
        self._messages[message_id] = message
        if "metadata" in message and is_pinned(message):
            self.pinned_ids.add(message_id)

    def replace(self, message_ids: Iterable[int], message: Message) -> None:
        """Another message object stands for these records now."""
        for message_id in message_ids:
            self._messages[message_id] = message

    def message(self, message_id: int) -> Message:
        """The message object a record stands for."""
        return self._messages[message_id]

    def records_of(self, message: Message) -> list[int]:
        """Every record that holds the message: a prompt that was retried is stored more than once."""
        tracking_id = message.get("tracking_id")
        return [
            message_id
            for message_id, held in self._messages.items()
            if held is message or (tracking_id and held.get("tracking_id") == tracking_id)
        ]

    def replaced_by(self, message: Message) -> list[int]:
        """The records that a just added message replaces, if it is a new version of a stored one.

        Strands merges an added text into the previous message of the same role and announces the merged message as
        added. A prompt that was retried looks alike, but stands in the conversation twice.
        """
        return self.records_of(message) if message.get("tracking_id") else []

    def changed_pins(self) -> list[int]:
        """Records whose pin differs from their message's, as it is now."""
        return [
            message_id
            for message_id, held in self._messages.items()
            if ("metadata" in held or message_id in self.pinned_ids)
            and is_pinned(held) is not (message_id in self.pinned_ids)
        ]

    def pin_is_stored(self, message_id: int) -> None:
        """The record's pin is the message's now."""
        if is_pinned(self._messages[message_id]):
            self.pinned_ids.add(message_id)
        else:
            self.pinned_ids.discard(message_id)

    def forget_from(self, message_id: int) -> list[Message]:
        """Let go of the records from this id on, and return their messages."""
        gone = [self._messages.pop(held) for held in list(self._messages) if held >= message_id]
        self.pinned_ids = {held for held in self.pinned_ids if held < message_id}
        self.latest_id = max(self._messages, default=None)
        return gone

    def forget_removed(self, messages: Sequence[Message]) -> None:
        """Let go of the records whose messages have left the conversation: they cannot change any more."""
        if len(messages) >= len(self._messages):
            return
        present = {id(message) for message in messages}
        tracked = {tracking_id for message in messages if (tracking_id := message.get("tracking_id"))}
        self._messages = {
            message_id: held
            for message_id, held in self._messages.items()
            if id(held) in present
            or held.get("tracking_id") in tracked
            or message_id in self.pinned_ids
            or message_id == self.latest_id
        }
