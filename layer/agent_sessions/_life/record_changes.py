"""Changes a session's own record while others may write it, and says nothing of its age or use that is not so."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from agent_sessions._life.session_age import USED_AT, ages_in, is_adopted, record_used, with_ages
from agent_sessions._records.record_format import Record, decode, encode, is_erased, life_of, parse
from agent_sessions.object_store import PreconditionFailedError, StoredObject, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._records.records import Records


def change_record(
    records: Records, record: Record, change: Callable[[dict[str, Any]], dict[str, Any]], *, is_use: bool
) -> Record | None:
    """Change what stands under ``kit`` of a session's record, with one conditional write.

    Writing the record makes it younger than the objects whose age it tells, so the new one states their age. What
    renewals, erasures and others have written meanwhile stays: the change is made to what is found then.

    Args:
        records: Where the record is.
        record: The record as it was read or written last.
        change: Given what stands there, returns what shall. It is called again if another writer was faster.
        is_use: Whether a turn of the session makes the change. If not, the session expires when it would have.

    Returns:
        The record as it is now; ``None`` when the session has ended meanwhile.

    Raises:
        SessionStorageError: The storage failed.
        SessionCorruptError: What somebody has written there is no record.
    """
    life = life_of(record.content)
    found: Record | None = record
    while found is not None and not is_erased(found) and life_of(found.content) == life:
        kit = change(found.kit)
        if kit == found.kit:
            return found
        kit = with_ages(kit, ages_in(found), adopted=is_adopted(found), too_old=True)
        if not is_use:
            kit[USED_AT] = record_used(found).astimezone(UTC).isoformat()
        body, _ = encode(found.key, {**found.content, "kit": kit}, life)
        try:
            written = records.put(found.key, body, Unchanged(found.stored.etag))
        except PreconditionFailedError as error:
            found = parse(found.key, error.found)
            continue
        stored = StoredObject(body, written.etag, written.at, written.at)
        return Record(found.key, decode(found.key, stored), stored)
    return None
