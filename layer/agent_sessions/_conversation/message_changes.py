"""Changes of messages that are stored already: extended, replaced, pinned, repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from agent_sessions._conversation.window import is_pinned, with_pin
from agent_sessions.exceptions import UnstorableValueError
from agent_sessions.types import decode_bytes_values
from agent_sessions.values import to_json

if TYPE_CHECKING:
    from strands.types.content import Message

    from agent_sessions._conversation.held_messages import Extension, HeldMessages
    from agent_sessions._conversation.journal import Journal
    from agent_sessions.types import SessionMessage


class MessageChanges:
    """Writes to storage what becomes of one agent's messages after they were stored.

    Args:
        journal: Where the session is written.
        agent_id: The agent.
        held: Which record stands for which of its messages.
    """

    def __init__(self, journal: Journal, agent_id: str, held: HeldMessages) -> None:
        self._journal = journal
        self._agent_id = agent_id
        self._held = held
        self._repaired: dict[int, Message] = {}

    def extend(self, extension: Extension, message: Message) -> None:
        """Add blocks to a stored message.

        What is stored is extended, not replaced: the agent may have a shortened copy of it.

        Args:
            extension: What to add, and where.
            message: The object that stands for it from now on.
        """
        added = snapshot(extension.blocks, "message.content")

        def change(record: SessionMessage) -> SessionMessage:
            for stored in (record.message, record.redact_message):
                if stored is not None:
                    stored["content"] = [*stored["content"], *added]
            return record

        self._journal.rewrite(self._agent_id, extension.message_id, change)
        self._held.replace([extension.message_id], message)

    def replace(self, message_id: int, message: Message) -> None:
        """Put another content into a stored message."""
        content = snapshot(message)

        def change(record: SessionMessage) -> SessionMessage:
            record.message = content
            if record.redact_message is not None:
                record.redact_message = content
            return record

        self._journal.rewrite(self._agent_id, message_id, change)
        self._held.replace([message_id], message)

    def store_pins(self) -> None:
        """Write pins back: a conversation manager sets them long after the messages were stored."""
        for message_id in self._held.changed_pins():
            pinned = is_pinned(self._held.message(message_id))

            def change(record: SessionMessage, pinned: bool = pinned) -> SessionMessage:
                record.message = with_pin(record.message, pinned)
                if record.redact_message is not None:
                    record.redact_message = with_pin(record.redact_message, pinned)
                return record

            self._journal.rewrite(self._agent_id, message_id, change)
            self._held.record_pin(message_id)

    def note_repair(self, message_id: int, message: Message) -> None:
        """A message has got another content in memory, which :meth:`store_repairs` is to store."""
        self._repaired[message_id] = message

    def store_repairs(self) -> None:
        """Write back contents whose tool calls and results did not match when they were restored."""
        for message_id, message in list(self._repaired.items()):
            content = snapshot(message)

            def change(record: SessionMessage, content: Message = content) -> SessionMessage:
                if record.redact_message is None:
                    record.message = content
                else:
                    record.redact_message = content
                return record

            self._journal.rewrite(self._agent_id, message_id, change)
            del self._repaired[message_id]


def check(message: Message) -> None:
    """See that a message can be stored.

    Raises:
        UnstorableValueError: It cannot.
    """
    _, problem = to_json(message, "message")
    if problem is not None:
        raise UnstorableValueError(*problem)


def put_back(message: Message, before: Message | None, messages: list[Message]) -> None:
    """Take a message that the storage refused out of the conversation in memory.

    Args:
        message: The very object, where it stands last.
        before: What it has taken the place of; ``None`` when it was added.
        messages: The conversation.
    """
    for index in range(len(messages) - 1, -1, -1):
        if messages[index] is message:
            messages[index : index + 1] = [] if before is None else [before]
            return


def snapshot(value: Any, name: str = "message") -> Any:
    """A copy that later changes of the value do not reach.

    Raises:
        UnstorableValueError: It cannot be stored.
    """
    made, problem = to_json(value, name)
    if problem is not None:
        raise UnstorableValueError(*problem)
    return cast("Any", decode_bytes_values(made))
