"""Which stored record stands for which message object of a running agent.

Strands changes messages after they were stored: it redacts them, pins them, replaces them. What leads back to the
record is the object itself, for a caller may use one ``tracking_id`` for many messages: Strands writes it into the
dictionary that the caller passes, and callers use their dictionaries again. The id decides only where Strands says so
(a ``MessageUpdatedEvent``), or where the object is gone because Strands has put a copy in its place. See
``docs/adr, "whose-message-is-this"``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from agent_sessions._conversation.window import is_pinned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from strands.types.content import Message


class Extension(NamedTuple):
    """What Strands has added to a stored message.

    Attributes:
        message_id: Its record.
        blocks: The content blocks that were added, at its end.
    """

    message_id: int
    blocks: list[Any]


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
        self._objects: set[int] = set()
        self._used_again = False  # whether one object may have been stored more than once

    def add(self, message_id: int, message: Message) -> None:
        """Remember that a message has been stored."""
        self._used_again = self._used_again or id(message) in self._objects
        self._objects.add(id(message))
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

    # --- which record is meant --------------------------------------------------------------------------

    def extended_by(self, message: Message, conversation: Sequence[Message]) -> Extension | None:
        """The record whose message Strands has extended and announces as added, although it is stored.

        Strands adds what arrives while an agent works (results of background tasks) to the last message when that is
        of the same role: it puts a copy in its place, with the same ``tracking_id``, whose content begins with the very
        blocks of the one that was there.

        Args:
            message: The announced message, which no caller has given.
            conversation: The agent's messages.

        Returns:
            What was added to it; ``None`` for a message that is new.
        """
        if self.latest_id is None:
            return None
        before = self._messages.get(self.latest_id)
        if before is None or before is message or not message.get("tracking_id"):
            return None
        if before.get("tracking_id") != message["tracking_id"] or before["role"] != message["role"]:
            return None
        if any(other is before for other in conversation):
            return None
        old, new = cast("list[Any]", before["content"]), cast("list[Any]", message["content"])
        if len(new) <= len(old) or any(was is not now for was, now in zip(old, new, strict=False)):
            return None
        return Extension(self.latest_id, new[len(old) :])

    def follows_what_is_gone(self, message: Message, conversation: Sequence[Message]) -> bool:
        """Whether a message that is about to be stored follows one of its own role which has left the conversation.

        Args:
            message: The message, which the conversation has already.
            conversation: The agent's messages.
        """
        before = self._messages.get(self.latest_id) if self.latest_id is not None else None
        if before is None or before["role"] != message["role"]:
            return False
        others = list(conversation)
        for index in range(len(others) - 1, -1, -1):
            if others[index] is message:
                del others[index]
                break
        name = _tracked(before)
        return not any(other is before or (name and _tracked(other) == name) for other in others)

    def updated_by(self, message: Message) -> int | None:
        """The record of the message that Strands says it has replaced: of those with its ``tracking_id`` the last."""
        tracking_id = message.get("tracking_id")
        found = [number for number, held in self._messages.items() if tracking_id and _tracked(held) == tracking_id]
        return max(found, default=None)

    def standing_for(self, message_id: int) -> list[int]:
        """The records of the message that this record holds, this one last: who retries a prompt stores it again.

        A dictionary that was used for another message in between is among them; what is stored tells the two apart.
        """
        message = self._messages[message_id]
        tracking_id = _tracked(message)
        return [
            *(
                other
                for other, held in self._messages.items()
                if other != message_id and (held is message or (tracking_id and _tracked(held) == tracking_id))
            ),
            message_id,
        ]

    def ids_of(self, messages: Iterable[Message]) -> list[int | None]:
        """The record of each of a conversation's messages; ``None`` where a message has none, as a summary."""
        numbers = {id(held): number for number, held in self._messages.items()}
        return [numbers.get(id(message)) for message in messages]

    def redacted_by(self, replacement: Message) -> int | None:
        """The record that this very object was stored in last; if it was in none, the record stored last of all."""
        own = max((number for number, held in self._messages.items() if held is replacement), default=None)
        return self.latest_id if own is None else own

    def is_yet_to_come(self, message: Message, conversation: Sequence[Message]) -> bool:
        """Whether a message stands in the conversation and is not stored yet."""
        return any(other is message for other in conversation) and not any(
            held is message for held in self._messages.values()
        )

    # --- pins -------------------------------------------------------------------------------------------

    def changed_pins(self) -> list[int]:
        """Records whose pin differs from their message's, as it is now."""
        return [
            message_id
            for message_id, held in self._messages.items()
            if ("metadata" in held or message_id in self.pinned_ids)
            and is_pinned(held) is not (message_id in self.pinned_ids)
        ]

    def record_pin(self, message_id: int) -> None:
        """The record's pin is the message's now."""
        if is_pinned(self._messages[message_id]):
            self.pinned_ids.add(message_id)
        else:
            self.pinned_ids.discard(message_id)

    # --- forgetting -------------------------------------------------------------------------------------

    def forget_from(self, message_id: int) -> list[Message]:
        """Let go of the records from this id on, and return their messages."""
        gone = [self._messages.pop(held) for held in list(self._messages) if held >= message_id]
        self.pinned_ids = {held for held in self.pinned_ids if held < message_id}
        self.latest_id = max(self._messages, default=None)
        return gone

    def forget_removed(self, conversation: Sequence[Message]) -> None:
        """Let go of the records whose messages have left the conversation: they cannot change any more.

        An object that stands in the conversation twice, and was stored three times, has left it once.
        """
        if len(conversation) >= len(self._messages) and not self._used_again:
            return
        objects = Counter(id(message) for message in conversation)
        newest_first = sorted(self._messages, reverse=True)
        present = {number for number in newest_first if _take(objects, id(self._messages[number]))}
        # Strands keeps the id where it puts a copy in a message's place, shortened perhaps.
        copies = Counter(_tracked(message) for message in conversation if objects[id(message)] > 0)
        present |= {
            number
            for number in newest_first
            if number not in present and (name := _tracked(self._messages[number])) and _take(copies, name)
        }
        present |= {number for number in self._messages if number in self.pinned_ids or number == self.latest_id}
        self._messages = {number: held for number, held in self._messages.items() if number in present}
        self._objects = {id(held) for held in self._messages.values()}
        self._used_again = len(self._objects) < len(self._messages)


def _take(counted: Counter[Any], what: object) -> bool:
    """Count one down, if there is one left."""
    if counted[what] <= 0:
        return False
    counted[what] -= 1
    return True


def _tracked(message: Message) -> str | None:
    """The message's ``tracking_id``, where it is one: anything may stand there in what somebody else has stored."""
    found = message.get("tracking_id")
    return found if isinstance(found, str) else None
