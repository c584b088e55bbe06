"""When a session was used last: the last write of a turn, as the objects of the session show it.

A session of a few thousand objects is listed. A longer one is listed in part; then the objects are looked at that every
turn writes: the records of agents and orchestrators, and each agent's last message.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from agent_sessions._life.session_age import used_until
from agent_sessions._records.layout import agent_id_of, is_written_by_turns
from agent_sessions._records.message_records import list_agent_ids
from agent_sessions._records.message_search import last_message_id, look_for_messages
from agent_sessions._records.record_format import incarnation_in
from agent_sessions.expiry import is_expired
from agent_sessions.object_store import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import ListedObject, ObjectStore

LISTED = 5_000
"""A session of up to so many objects is listed; a request lists a thousand."""

RECORDS_LOOKED_AT = 1_000
"""In a longer session, the records of so many agents, and of so many orchestrators, are looked at."""

CONVERSATIONS_LOOKED_AT = 8
"""In a longer session, the last messages of so many agents are looked at: those whose records were written last. Turns
of this kit write the record, too; Strands' do not when nothing in it has changed."""


def last_use(session_folder: str, entries: Iterable[ListedObject]) -> datetime | None:
    """When a turn wrote last to a session, as a listing shows it."""
    times = (entry.last_modified for entry in entries if is_written_by_turns(entry.key[len(session_folder) :]))
    return max(times, default=None)


def find_last_use(
    objects: ObjectStore,
    layout: Layout,
    session_id: str,
    *,
    is_enough: Callable[[datetime], bool] = lambda _: False,
    but: str | None = None,
) -> datetime | None:
    """When a turn wrote last to a session, or an earlier time that is late enough for the caller.

    Args:
        objects: Where the objects live.
        layout: How they are named.
        session_id: The session.
        is_enough: Whether a time is late enough to stop looking.
        but: A key to leave out.
    """
    folder = layout.session_folder(session_id)
    newest: datetime | None = None
    listed = 0
    for entry in islice(objects.list(folder), LISTED):
        listed += 1
        if entry.key != but and is_written_by_turns(entry.key[len(folder) :]):
            newest = max(newest or entry.last_modified, entry.last_modified)
            if is_enough(newest):
                return newest
    if listed < LISTED:
        return newest
    agents, orchestrators = look_at_records(objects, layout, session_id)
    agents.sort(key=lambda entry: entry.last_modified, reverse=True)
    written = [*agents, *orchestrators]
    for entry in agents[:CONVERSATIONS_LOOKED_AT]:
        agent_id, _ = agent_id_of(entry.key[len(folder) :]) or ("", "")
        last_id = last_message_id(look_for_messages(objects, layout, session_id, agent_id))
        if last_id is not None:
            written += look_at(objects, [layout.message(session_id, agent_id, last_id)])
    times = [newest, *(entry.last_modified for entry in written if entry.key != but)]
    return max((at for at in times if at is not None), default=None)


def counted_use(
    objects: ObjectStore, layout: Layout, session_id: str, record: Record, used: datetime, ttl_days: float
) -> datetime:
    """The last use of a session: when a turn wrote last, unless that write counts for nothing.

    Args:
        objects: Where the objects live.
        layout: How they are named.
        session_id: The session.
        record: Its record, which says what does not count: see ``session_age``.
        used: When a turn wrote last.
        ttl_days: Days after its last use at which the session expires; ``0`` for never.
    """
    until = used_until(record)
    if until is None or used <= until:
        return used
    if not is_expired(until, record.stored.read_at, ttl_days):
        return until
    # Strands' managers do not know what counts. A session that they have gone on with is in use.
    agent_ids = islice(list_agent_ids(objects, layout, session_id), RECORDS_LOOKED_AT)
    found = objects.get_many([layout.agent(session_id, agent_id) for agent_id in agent_ids])
    later = [stored for stored in found if stored is not None and stored.last_modified > until]
    return used if any(incarnation_in(stored) is None for stored in later) else until


def look_at_records(
    objects: ObjectStore, layout: Layout, session_id: str
) -> tuple[list[ListedObject], list[ListedObject]]:
    """The records of a session's agents, and those of its orchestrators."""
    agent_ids = islice(list_agent_ids(objects, layout, session_id), RECORDS_LOOKED_AT)
    folder = Key(f"{layout.session_folder(session_id)}multi_agents/", session_id)
    names = islice(objects.list_folders(folder, named="multi_agent_"), RECORDS_LOOKED_AT)
    return (
        look_at(objects, [layout.agent(session_id, agent_id) for agent_id in agent_ids]),
        look_at(objects, [Key(f"{folder}{name}/multi_agent.json", session_id) for name in names]),
    )


def look_at(objects: ObjectStore, keys: Sequence[str]) -> list[ListedObject]:
    """Of some objects, those that exist, as a listing would show them."""
    return [entry for entry in objects.stat_many(keys) if entry is not None]
