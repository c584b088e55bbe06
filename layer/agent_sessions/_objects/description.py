"""A session at a glance: its agents, and how many messages each has, without reading or listing them all."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._life.last_use import last_use, look_at, look_at_records
from agent_sessions._objects.copies import read_log
from agent_sessions._records.layout import agent_id_of, message_id_below
from agent_sessions._records.message_records import LISTED_AT_ONCE, agents_with_records, list_agent_ids
from agent_sessions._records.message_search import last_message_id, look_for_messages

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import ListedObject

AGENTS_AT_ONCE = 50
"""Agents of a long session that are described at once: counting the messages of one may take two hundred requests."""


class Described(NamedTuple):
    """What a look at a session's objects shows.

    Attributes:
        message_counts: The messages of each agent, by its id, in the order of the ids.
        last_used: When a turn wrote last to what was looked at.
        next_agent_id: The agent behind which the others are described; ``None`` when there are no others.
    """

    message_counts: dict[str, int]
    last_used: datetime | None
    next_agent_id: str | None


def describe_objects(records: Records, layout: Layout, session_id: str, *, after_agent_id: str | None) -> Described:
    """Look at a session's objects.

    A session that one request lists is described exactly. Of a longer one, agents are described in pages, and the
    messages of each are counted by the number of the last: one that somebody has removed from the middle counts, too.

    Args:
        records: Where the records are; which life of the session is read is known there.
        layout: How they are named.
        session_id: The session.
        after_agent_id: Only the agents behind this one.
    """
    folder = layout.session_folder(session_id)
    if after_agent_id is None:
        listed = list(islice(records.objects.list(folder), LISTED_AT_ONCE))
        if len(listed) < LISTED_AT_ONCE:
            return Described(_counted(folder, listed), last_use(folder, listed), None)
    ids = list(
        islice(list_agent_ids(records.objects, layout, session_id, start_after=after_agent_id), AGENTS_AT_ONCE + 1)
    )
    described = ids[:AGENTS_AT_ONCE]
    present = agents_with_records(records.objects, layout, session_id, described)
    counts = {agent_id: _message_count(records, layout, session_id, agent_id) for agent_id in present}
    last_messages = [layout.message(session_id, agent_id, count - 1) for agent_id, count in counts.items() if count]
    agents, orchestrators = look_at_records(records.objects, layout, session_id)
    written = [*agents, *orchestrators, *look_at(records.objects, last_messages)]
    more = len(ids) > AGENTS_AT_ONCE
    return Described(dict(sorted(counts.items())), last_use(folder, written), described[-1] if more else None)


def _counted(folder: str, listed: Iterable[ListedObject]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in listed:
        agent_id, rest = agent_id_of(entry.key[len(folder) :]) or ("", "")
        is_message = message_id_below(rest) is not None
        if is_message or rest == "agent.json":
            counts[agent_id] = counts.get(agent_id, 0) + is_message
    return dict(sorted(counts.items()))


def _message_count(records: Records, layout: Layout, session_id: str, agent_id: str) -> int:
    """The number of the last message and one, for the first has the number 0."""
    record = records.own(session_id, layout.agent(session_id, agent_id))
    log = read_log(record.kit.get("log")) if record is not None else None
    present = look_for_messages(records.objects, layout, session_id, agent_id)
    last_id = last_message_id(present, likely_next=log.next_id if log is not None else 0)
    return 0 if last_id is None else last_id + 1
