"""Takes the derived messages out of an agent's record, whoever wrote it last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions.exceptions import SessionConflictError

if TYPE_CHECKING:
    from agent_sessions._records.records import Records

DROP_ATTEMPTS = 5
"""Tries to take the derived messages out of a record that somebody else keeps writing."""


def drop_log(records: Records, session_id: str, key: str) -> None:
    """Take the derived messages out of an agent's record, whoever wrote it last.

    A message is about to change: whatever happens next, nobody may restore the old one from here. Whoever updates the
    record from an older reading is refused as before.
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
                records.update(session_id, key, {**record.content, "kit": kit})
            except SessionConflictError:
                if attempt + 1 == DROP_ATTEMPTS:
                    raise
            else:
                return
    finally:
        if known is not None and record is not None and known.etag != record.stored.etag:
            records.restore_known(key, known)
