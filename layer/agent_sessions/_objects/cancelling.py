"""The note that asks a running turn to stop: an object beside its agent's record, which names the turn.

It belongs to no turn but the one it names, and the next note takes its place. It is erased with the session.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, Unchanged

if TYPE_CHECKING:
    from agent_sessions._records.layout import Layout
    from agent_sessions.object_store import ObjectStore

FORMAT = 1
"""Version of ``cancel.json``."""

_ATTEMPTS = 5


def ask_to_cancel(objects: ObjectStore, layout: Layout, session_id: str, agent_id: str, turn_id: str) -> None:
    """Leave the note. Whoever leaves another one at the same moment is asked after.

    Raises:
        SessionStorageError: Storage failed.
    """
    key = layout.cancel(session_id, agent_id)
    body = json.dumps({"format": FORMAT, "turn_id": turn_id}).encode()
    expect: Expectation = Absent()
    for attempt in range(_ATTEMPTS):
        try:
            objects.put(key, body, expect)
        except PreconditionFailedError as error:
            if attempt + 1 == _ATTEMPTS:
                return  # many cancel this agent's turns at this moment, and one at a time runs
            expect = Absent() if error.found is None else Unchanged(error.found.etag)
        else:
            return


def is_asked_to_cancel(objects: ObjectStore, layout: Layout, session_id: str, agent_id: str, turn_id: str) -> bool:
    """Whether a turn is asked to stop. Costs a read, of a key that usually is not there."""
    found = objects.get(layout.cancel(session_id, agent_id))
    if found is None:
        return False
    try:
        note = json.loads(found.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(note, dict) and note.get("format") == FORMAT and note.get("turn_id") == turn_id
