"""The ids of turns that are accepted before they begin.

A request that is accepted twice under one key gets one id, so that both find the same record of it: see
``agent_sessions.accepted_turns``.
"""

from __future__ import annotations

import uuid

from lambda_src.turns.replays import digest

BEGUN_WITHIN_SECONDS = 3_660
"""An accepted turn that has not begun after so many seconds counts as cut off: Lambda drops its event after an hour
(``_ASYNC_MAX_AGE`` in ``infra/constructs/agent_endpoint.py``)."""


def accepted_id(owner: str, session_id: str, idempotency_key: str | None) -> str:
    """The id of a turn that is accepted: 32 hex digits.

    Args:
        owner: Whose session it is.
        session_id: Which session.
        idempotency_key: The caller's name for the request. Without one, the request repeats no other.
    """
    if idempotency_key is None:
        return uuid.uuid4().hex
    return digest(f"accepted\0{owner}\0{session_id}\0{idempotency_key}")
