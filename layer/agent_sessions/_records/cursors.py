"""Cursors that callers hand back: opaque to them, and checked before anything is asked with them."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum

_LONGEST = 1024
"""Bytes of a name; S3 has no longer keys."""

_LONGEST_NUMBER = 15
"""Digits of a message's number: more than anybody can have written."""


class CursorKind(StrEnum):
    """What a cursor leads through: one of another kind is none."""

    SESSIONS = "s"
    AGENTS = "a"
    RECENT = "r"


def write_cursor(kind: CursorKind, name: str) -> str:
    """The cursor for what comes behind a name."""
    # Names on a disk need not be UTF-8; Python has a form for those that are not.
    text = f"{kind.value}:{name}".encode(errors="surrogateescape")
    return base64.urlsafe_b64encode(text).decode("ascii").rstrip("=")


def read_cursor(kind: CursorKind, cursor: str) -> str:
    """The name that a cursor stands for.

    Raises:
        ValueError: It is none that :func:`write_cursor` has written for this kind.
    """
    try:
        text = base64.b64decode(f"{cursor}{'=' * (-len(cursor) % 4)}", altchars=b"-_", validate=True)
        written_for, _, name = text.decode(errors="surrogateescape").partition(":")
    except (binascii.Error, ValueError):  # the second: letters that are not ASCII
        written_for = name = ""
    is_name = bool(name) and "/" not in name and "\0" not in name and len(cursor) <= 2 * _LONGEST
    if not is_name or written_for != kind.value or write_cursor(kind, name) != cursor:
        raise ValueError(f"cursor={cursor[:40]!r} | must be the next_cursor of an earlier page")
    return name


def read_message_cursor(cursor: str | None) -> int:
    """The message id with which a page of a conversation begins.

    Raises:
        ValueError: The cursor is none.
    """
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > _LONGEST_NUMBER:
        raise ValueError(f"cursor={cursor[:40]!r} | must be the next_cursor of an earlier page")
    return int(cursor)
