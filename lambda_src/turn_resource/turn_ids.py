"""The ids of turns that are accepted before they begin.

Nothing of such a turn is stored until it begins. It may begin in another process, much later, or never. So its id
itself says when it was accepted, and for which session:

    <milliseconds since 1970>-<digest of the request>-<digest of owner, session and the two before>

A digest is 16 hex digits of SHA-256. The id is no secret and no proof: a made-up one tells only that nothing has begun
under it. A request that is accepted twice under one key, for the same, has two ids that differ in the time only: they
mean one turn.
"""

from __future__ import annotations

import re
import uuid

from lambda_src.turns.replays import digest

BEGUN_WITHIN_SECONDS = 3_660
"""An accepted turn that has not begun after so many seconds counts as cut off: Lambda drops its event after an hour
(``_ASYNC_MAX_AGE`` in ``infra/constructs/agent_endpoint.py``)."""

_ACCEPTED = re.compile(r"([0-9a-f]{11})-([0-9a-f]{16})-([0-9a-f]{16})")
_TIME_DIGITS = 11


def accepted_id(
    owner: str, session_id: str, idempotency_key: str | None, now: float, *, body: str | None = None
) -> str:
    """The id of a turn that is accepted now.

    Args:
        owner: Whose session it is.
        session_id: Which session.
        idempotency_key: The caller's name for the request. Without one, the request repeats no other.
        now: Seconds since 1970.
        body: A digest of what it asks. Under one key, two requests for different things are two turns, of which the
            second is refused when it begins.
    """
    named = f"request\0{idempotency_key}\0{body or ''}" if idempotency_key is not None else uuid.uuid4().hex
    request = digest(named)[:16]
    time = f"{int(now * 1000):011x}"
    return f"{time}-{request}-{_check(owner, session_id, time, request)}"


def accepted_at(turn_id: str, owner: str, session_id: str) -> float | None:
    """When a turn of this session was accepted, in seconds since 1970; ``None`` for the id of none."""
    parts = _ACCEPTED.fullmatch(turn_id)
    if parts is None or parts[3] != _check(owner, session_id, parts[1], parts[2]):
        return None
    return int(parts[1], 16) / 1000


def mean_one_turn(one: str, other: str) -> bool:
    """Whether two ids mean the same turn."""
    return meant(one) == meant(other)


def meant(turn_id: str) -> str:
    """What all ids of one turn have in common."""
    accepted = _ACCEPTED.fullmatch(turn_id)
    return turn_id if accepted is None else accepted[2]


def _check(owner: str, session_id: str, time: str, request: str) -> str:
    return digest(f"accepted\0{owner}\0{session_id}\0{time}\0{request}")[:16]
