"""Redactions that are to reach storage, and go on being tried until they have."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.texts import holds, replaced, texts_in
from agent_sessions.types import encode_bytes_values
from agent_sessions.values import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal
    from agent_sessions.turn_request import TurnLog
    from agent_sessions.types import SessionMessage

logger = logging.getLogger(__name__)


@dataclass
class _Redaction:
    """One that is not stored yet.

    Attributes:
        message_ids: The record that it is meant for, and after it those that may hold the same message.
        replacement: What shall stand there.
        original: What the record said that it is meant for, as far as that has been seen.
    """

    message_ids: list[int]
    replacement: Message
    original: str | None = None


@dataclass
class _Beside:
    """Something to be taken back that is not a message.

    Attributes:
        message_ids: Messages that may carry what was before their turns.
        redacted: Given a value, returns it without what is taken back.
    """

    message_ids: list[int]
    redacted: Callable[[Any], Any]


class Redactions:
    """The redactions of one agent's messages, the oldest first.

    Args:
        journal: Where the session is written.
        agent_id: The agent.
        turns: What the agent's turns came to.
    """

    def __init__(self, journal: Journal, agent_id: str, turns: TurnLog) -> None:
        self._journal = journal
        self._agent_id = agent_id
        self._turns = turns
        self._waiting: list[_Redaction | _Beside] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, message_id: int, others: Sequence[int], replacement: Message) -> None:
        """A message is to be redacted.

        Args:
            message_id: Its record.
            others: Records that may hold the same message, stored once more. Those that say something else are left
                alone: then the caller has used one dictionary for two messages.
            replacement: What shall stand there. It is not changed afterwards.
        """
        redaction = _Redaction([message_id, *others], replacement)
        self._waiting.append(redaction)
        self._waiting.append(_Beside(redaction.message_ids, partial(_without_words_of, redaction)))

    def add_beside(self, message_ids: Sequence[int | None], redacted: Callable[[Any], Any]) -> None:
        """Something is to be taken back out of what is stored beside messages.

        Args:
            message_ids: Messages that may carry what was before their turns; ``None`` for one that is not stored.
            redacted: Given a value, returns it without what is taken back.
        """
        self._waiting.append(_Beside([number for number in message_ids if number is not None], redacted))

    def store(self) -> None:
        """Store what is waiting.

        Raises:
            SessionException: Storage failed. What is left is tried again the next time.
        """
        while self._waiting:
            redaction = self._waiting[0]
            if isinstance(redaction, _Beside):
                self._turns.reword(redaction.redacted)
                self._journal.turns.redact_beside(self._agent_id, redaction.message_ids, redaction.redacted)
                self._waiting.pop(0)
                continue
            for message_id in redaction.message_ids:
                try:
                    self._journal.rewrite(self._agent_id, message_id, partial(_redacted, redaction), redacts=True)
                except SessionNotFoundError:
                    logger.warning("message_id=<%d> | gone before it could be redacted", message_id)
            self._waiting.pop(0)


def _redacted(redaction: _Redaction, record: SessionMessage) -> SessionMessage | None:
    """The record with the redaction in it; ``None`` when it holds another message."""
    said = _said(record)
    if record.message_id == redaction.message_ids[0]:
        redaction.original = redaction.original or said
    elif said != redaction.original and said != _text_of(redaction.replacement):
        return None
    record.message = redaction.replacement
    record.redact_message = redaction.replacement
    return record


def _without_words_of(redaction: _Redaction, value: Any) -> Any:
    """A value without the texts of the message that was redacted."""
    if redaction.original is None or redaction.original == _text_of(redaction.replacement):
        return value
    texts = {text.strip() for text in texts_in(json.loads(redaction.original))} - {""}
    instead = next(texts_in(cast("dict[str, Any]", redaction.replacement)["content"]), "")
    return replaced(value, lambda found: instead if isinstance(found, str) and holds(found, texts) else found)


def _said(record: SessionMessage) -> str:
    return _text_of(record.to_message())


def _text_of(message: Message) -> str:
    content: Any = cast("dict[str, Any]", message).get("content")
    return canonical(encode_bytes_values(content))
