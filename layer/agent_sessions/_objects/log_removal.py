"""Takes the derived messages out of an agent's record, whoever wrote it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionConflictError
from agent_sessions.turn_request import reworded_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._records.records import Records

DROP_ATTEMPTS = 5
"""Tries to take the derived messages out of a record that somebody else keeps writing."""


def without(content: dict[str, Any], redacted: Callable[[Any], Any]) -> dict[str, Any]:
    """An agent's record without what was taken back: in what the agent waits with, and in what its turns came to."""
    kit = content.get("kit") or {}
    changed = {"kit": {**kit, "turns": reworded_turns(kit["turns"], redacted)}} if "turns" in kit else {}
    if "_internal_state" in content:
        changed["_internal_state"] = redacted(content["_internal_state"])
    return {**content, **changed}


def drop_log(
    records: Records, session_id: str, key: str, *, redacted: Callable[[Any], Any] = lambda value: value
) -> None:
    """Take the derived messages out of an agent's record, whoever wrote it last.

    A message is about to change: whatever happens next, nobody may restore the old one from here. Whoever updates the
    record from an older reading is refused as before.

    Args:
        records: Where the record is.
        session_id: Its session.
        key: Its key.
        redacted: Given a value of the record, returns it without what was taken back.
    """
    known = records.known(key)
    record = None
    try:
        for attempt in range(DROP_ATTEMPTS):
            record = records.own(session_id, key)
            if record is None:
                return
            # Written even without a log in it: whoever holds the old message in memory must not store a copy again.
            kit = {name: value for name, value in record.kit.items() if name != "log"}
            try:
                records.update(session_id, key, without({**record.content, "kit": kit}, redacted))
            except SessionConflictError:
                if attempt + 1 == DROP_ATTEMPTS:
                    raise
            else:
                return
    finally:
        if known is not None and record is not None and known.etag != record.stored.etag:
            records.restore_known(key, known)
