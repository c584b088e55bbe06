"""Which stored record stands for which message object of a running agent.

Strands changes messages after they were stored: it redacts them, pins them, replaces them. The link back to the record
is the message's ``tracking_id`` where it has one (Strands 1.48 and later) and the object itself otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_sessions.window import is_pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from strands.types.content import Message


@dataclass
class HeldMessage:
    """A message of a running agent that has a record.

    Attributes:
        message_id: The record's id.
        message: The agent's own message object, which Strands may change at any time.
        pinned: Whether the record carries a pin.
    """

    message_id: int
    message: Message
    pinned: bool

    @property
    def tracking_id(self) -> str | None:
        """The message's durable id, where it has one."""
        return self.message.get("tracking_id")

    def stands_for(self, message: Message) -> bool:
        """Whether this record holds the given message."""
        tracking_id = message.get("tracking_id")
        if tracking_id and self.tracking_id:
            return tracking_id == self.tracking_id
        return self.message is message


@dataclass
class HeldMessages:
    """The records of one running agent's messages, in the order of their ids."""

    _held: list[HeldMessage] = field(default_factory=list)
    _latest: HeldMessage | None = None

    @property
    def latest(self) -> HeldMessage | None:
        """The record stored last, even when a conversation manager has removed its message since."""
        return self._latest

    @property
    def pinned_ids(self) -> list[int]:
        """The ids of the records that carry a pin."""
        return [held.message_id for held in self._held if held.pinned]

    def add(self, message_id: int, message: Message) -> None:
        """Remember that a message has been stored."""
        self._latest = HeldMessage(message_id, message, is_pinned(message))
        self._held.append(self._latest)

    def records_of(self, message: Message) -> list[HeldMessage]:
        """Every record that holds the message: a prompt that was retried is stored more than once."""
        return [held for held in self._held if held.stands_for(message)]

    def replaced(self, message: Message) -> list[HeldMessage]:
        """The records that a just added message replaces, if it is a new version of a stored one.

        Strands merges an added text into the previous message of the same role and announces the merged message as
        added. A prompt that was retried looks alike, but stands in the conversation twice.
        """
        return [held for held in self.records_of(message) if held.tracking_id]

    def forget_from(self, message_id: int) -> list[Message]:
        """Let go of the records from this id on, and return their messages."""
        gone = [held for held in self._held if held.message_id >= message_id]
        self._held = [held for held in self._held if held.message_id < message_id]
        self._latest = self._held[-1] if self._held else None
        return [held.message for held in gone]

    def changed_pins(self) -> list[HeldMessage]:
        """Records whose pin differs from their message's, as it is now."""
        return [held for held in self._held if held.pinned is not is_pinned(held.message)]

    def forget_removed(self, messages: Sequence[Message]) -> None:
        """Let go of the records whose messages have left the conversation: they cannot change any more."""
        present = {id(message) for message in messages}
        tracked = set(_tracking_ids(messages))
        self._held = [
            held for held in self._held if id(held.message) in present or held.tracking_id in tracked or held.pinned
        ]


def _tracking_ids(messages: Iterable[Message]) -> Iterable[str]:
    return (tracking_id for message in messages if (tracking_id := message.get("tracking_id")))
