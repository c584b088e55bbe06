"""What a session is called: the title that somebody gives it, or the first words of its first prompt."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from agent_sessions.session_title import (
    GIVEN_CHARACTERS,
    NOT_IN_TITLES,
    SHOWS_NOTHING,
    TITLE,
    SessionTitle,
    title_in,
)

if TYPE_CHECKING:
    from agent_sessions.types import SessionMessage

DERIVED_CHARACTERS = 80

_LOOKED_AT = 2_000
"""Characters of a prompt that are looked at: it may be a megabyte of text, and may begin with many blanks."""

_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}
"""Categories of Unicode: control characters, halves of characters, and what ends a line or a paragraph."""

_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They would turn round what stands beside a title, too."""


def derived_title(record: SessionMessage) -> str | None:
    """The first words of a message, as its redaction shows it; ``None`` when it has no words."""
    content: Any = record.to_message().get("content")
    texts = [block["text"] for block in content if isinstance(block, dict) and isinstance(block.get("text"), str)]
    words = " ".join(_without_controls(text.lstrip()[:_LOOKED_AT]) for text in texts[:8]).split()
    folded = " ".join(words)
    if len(folded) > DERIVED_CHARACTERS:
        cut = folded[: DERIVED_CHARACTERS + 1]
        # At a word's end, unless the words are very long, or the language has no blanks.
        whole, _, _ = cut.rpartition(" ")
        folded = whole if len(whole) > DERIVED_CHARACTERS // 2 else cut[:DERIVED_CHARACTERS]
    return folded if _shows_something(folded) else None


def _without_controls(text: str) -> str:
    return "".join(" " if _is_control(character) else character for character in text if character not in _DIRECTIONS)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _NO_TEXT


def _shows_something(text: str) -> bool:
    return re.search(f"[^{NOT_IN_TITLES}{SHOWS_NOTHING}]", text) is not None


def checked_title(title: str) -> str:
    """A title that somebody gives, without blanks around it.

    Raises:
        ValueError: It is empty, too long, shows nothing, or has control characters in it. The error does not repeat it.
    """
    stripped = title.strip()
    if not 1 <= len(stripped) <= GIVEN_CHARACTERS:
        raise ValueError(f"the title has {len(stripped)} characters | must have 1 to {GIVEN_CHARACTERS}")
    if any(_is_control(character) or character in _DIRECTIONS for character in stripped):
        raise ValueError("the title has control characters | must have none")
    if not _shows_something(stripped):
        raise ValueError("the title shows nothing | must have a visible character")
    return stripped


def with_title(kit: dict[str, Any], title: SessionTitle) -> dict[str, Any]:
    """The ``kit`` of a session's record with another title in it."""
    others = {name: value for name, value in kit.items() if name != TITLE}
    stated = title.to_kit()
    return {**others, TITLE: stated} if stated else others


def with_derived(kit: dict[str, Any], agent_id: str, record: SessionMessage) -> dict[str, Any]:
    """The ``kit`` of a session's record with the title that a message gives it."""
    title = title_in(kit)._replace(derived=derived_title(record), agent_id=agent_id, message_id=record.message_id)
    return with_title(kit, title)
