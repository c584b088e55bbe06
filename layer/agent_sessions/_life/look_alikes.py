"""Sessions whose names a store does not tell apart, such as a file system that ignores case."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_sessions.identifiers import look_alike

if TYPE_CHECKING:
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import ObjectStore

logger = logging.getLogger(__name__)


def is_anothers(objects: ObjectStore, layout: Layout, session_id: str, record: Record) -> bool:
    """Whether the record is of another session, whose similar name the store takes for this one."""
    own = record.content.get("session_id")
    if not isinstance(own, str) or own == session_id:
        return False
    if not look_alike(own, session_id) and objects.is_named_exactly(layout.session_folder(session_id)):
        return False  # the record was copied here
    logger.warning("session_id=<%s>, key=<%s> | another session's record lies in its place", session_id, record.key)
    return True
