"""Mending what ``agent_sessions.inspection`` has found in a session, without losing a word.

The bytes of whatever is taken away are put aside within the session, under ``quarantine/``, except a base that only
repeats stored messages.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from agent_sessions._life.object_ages import ObjectAges
from agent_sessions._life.session_age import with_ages
from agent_sessions._records.layout import lasts_with_session
from agent_sessions._records.record_format import encode, new_nonce
from agent_sessions.findings import Kind
from agent_sessions.inspection import inspect_session, life_named_in, look
from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged
from agent_sessions.types import Session, SessionType, is_of_life

if TYPE_CHECKING:
    from agent_sessions.findings import Finding
    from agent_sessions.object_store import StoredObject
    from agent_sessions.session_store import SessionStore


def mend(store: SessionStore, finding: Finding) -> bool:
    """Mend what was found. The caller holds the session's lease, so that no turn is under way.

    Args:
        store: Where the session is.
        finding: Of :func:`inspect_session`, just now.

    Returns:
        Whether it was mended. If not, somebody has changed it meanwhile, or it cannot be mended: inspect again.

    Raises:
        SessionStorageError: The storage failed. What was taken away is put aside already.
    """
    if not finding.is_mendable:
        return False
    if finding.kind is Kind.NO_SESSION_RECORD:
        return _write_session_record(store, finding.session_id)
    found, _ = look(store.objects, finding.key)
    if found is None:
        return False
    fresh = {(other.kind, other.key): other for other in inspect_session(store, finding.session_id)}
    if fresh.get((finding.kind, finding.key)) != finding:
        return False
    if finding.puts_aside:
        _put_aside(store, finding, found)
    if finding.key == store.layout.session(finding.session_id):
        return _write_session_record(store, finding.session_id, found)
    return store.objects.delete_version(finding.key, found.etag)


def _put_aside(store: SessionStore, finding: Finding, found: StoredObject) -> None:
    folder = store.layout.session_folder(finding.session_id)
    parts = finding.key.removeprefix(folder).split("/")
    # An agent's things stay with the agent: what lies there lasts as long as the session.
    beside = "/".join(parts[:2]) + "/" if parts[0] == "agents" else ""
    name = parts[-1].removesuffix(".json")
    store.objects.put(f"{folder}{beside}quarantine/{name}-{uuid.uuid4().hex}.json", found.body, Absent())


def _write_session_record(store: SessionStore, session_id: str, broken: StoredObject | None = None) -> bool:
    """Write a record anew, for the life that the other records name, in place of a broken one or of none."""
    folder, key = store.layout.session_folder(session_id), store.layout.session(session_id)
    lives: set[str] = set()
    oldest = None if broken is None else broken.last_modified
    for entry in store.objects.list(folder):
        if not lasts_with_session(entry.key[len(folder) :]):
            continue
        oldest = entry.last_modified if oldest is None else min(oldest, entry.last_modified)
        stored, _ = look(store.objects, entry.key)
        named = None if stored is None else life_named_in(entry.key, stored)
        if named is not None:
            lives.add(named)
    incarnation = max(lives, key=len, default=new_nonce())  # a fork's, before those it was forked from
    if oldest is None or not all(is_of_life(life, incarnation) for life in lives):
        return False
    session = Session(session_id=session_id, session_type=SessionType.AGENT)
    # The objects there are older than the new record, which must say so.
    session.kit = {"incarnation": incarnation, **with_ages({}, ObjectAges.all_since(oldest))}
    body, _ = encode(key, session.to_dict(), incarnation)
    try:
        store.objects.put(key, body, Absent() if broken is None else Unchanged(broken.etag))
    except PreconditionFailedError:
        return False
    return True
