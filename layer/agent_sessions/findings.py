"""What is wrong with a session: how bad it is, of which kind, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How bad a finding is.

    Attributes:
        BROKEN: The session, or an agent of it, cannot be used or read.
        LOST: Something that was said is not stored any more. The rest can be used.
        NOTICE: Nothing is wrong for callers.
    """

    BROKEN = "broken"
    LOST = "lost"
    NOTICE = "notice"


class Kind(StrEnum):
    """What was found."""

    UNREADABLE = "unreadable record"
    NO_SESSION_RECORD = "missing session record"
    NO_AGENT_RECORD = "missing agent record"
    GAP = "gap"
    STRAY = "stray incarnation"
    UNUSED_BASE = "base that does not match"
    LEFT_LEASE = "lease that nobody renews"
    CLOSED = "unfinished erasure"
    FOREIGN = "foreign object"


class Finding(NamedTuple):
    """Something found in a session.

    Attributes:
        session_id: The session.
        kind: What it is.
        severity: How bad it is.
        key: The object, or where it should be.
        what: What is wrong, in words.
        remedy: What mending does; or why it is not mended, and what to do.
        is_mendable: Whether ``agent_sessions.mending`` mends it.
        puts_aside: Whether mending keeps a copy of the object's bytes under ``quarantine/``.
    """

    session_id: str
    kind: Kind
    severity: Severity
    key: str
    what: str
    remedy: str
    is_mendable: bool = False
    puts_aside: bool = False
