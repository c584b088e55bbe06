"""A session at a glance: its agents, and how many messages each has, without reading or listing them all."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._life.last_use import last_use, look_at, look_at_records
from agent_sessions._objects.tail_and_base import read_log
from agent_sessions._records.cursors import CursorKind, read_cursor, write_cursor
from agent_sessions._records.layout import agent_id_of, message_id_below
from agent_sessions._records.message_records import LISTED_AT_ONCE, agents_with_records, list_agent_ids, message_in
from agent_sessions._records.message_search import last_message_id, look_for_messages
from agent_sessions._records.titles import derived_title
from agent_sessions.exceptions import SessionCorruptError, SessionNotFoundError
from agent_sessions.expiry import expires_at
from agent_sessions.session_pages import AgentSummary, SessionSummary, fork_in
from agent_sessions.session_title import title_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from agent_sessions._objects.object_repository import ObjectSessionRepository
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import ListedObject

AGENTS_AT_ONCE = 50
"""Agents of a long session that are described at once: counting the messages of one may take two hundred requests."""


class _Look(NamedTuple):
    """What a look at a session's objects shows.

    Attributes:
        message_counts: The messages of each agent, by its id.
        last_used: When a turn wrote last to what was looked at.
        next_agent_id: The agent behind which the others are described; ``None`` when there are no others.
    """

    message_counts: dict[str, int]
    last_used: datetime | None
    next_agent_id: str | None


def describe_session(repository: ObjectSessionRepository, session_id: str, *, cursor: str | None) -> SessionSummary:
    """Describe a session.

    One that one request lists is described exactly. Of a longer one, agents are described in pages, and the messages
    of each are counted by the number of the last: one that somebody has removed from the middle counts, too.

    Args:
        repository: Where the session is.
        session_id: The session.
        cursor: Of the summary before.

    Raises:
        SessionNotFoundError: There is none of this id.
        ValueError: The cursor is none.
    """
    after_agent_id = None if cursor is None else read_cursor(CursorKind.AGENTS, cursor)
    session = repository.read_session(session_id)
    if session is None:
        raise SessionNotFoundError(f"Session {session_id} does not exist", key=repository.layout.session(session_id))
    look = _look_at(repository.records, repository.layout, session_id, after_agent_id)
    age = repository.life.age(session_id)
    last_used = max(age.counted(look.last_used), age.last_used) if look.last_used else age.last_used
    expires = expires_at(last_used, repository.life.ttl_days)
    return SessionSummary(
        session_id=session_id,
        created_at=session.created_at,
        last_used_at=last_used.isoformat(),
        expires_at=expires.isoformat() if expires else None,
        agents=tuple(AgentSummary(agent_id, count) for agent_id, count in sorted(look.message_counts.items())),
        next_cursor=None if look.next_agent_id is None else write_cursor(CursorKind.AGENTS, look.next_agent_id),
        fork=fork_in(session.kit),
        title=title_of(repository, session_id, list(look.message_counts)),
    )


def title_of(
    repository: ObjectSessionRepository, session_id: str, agent_ids: Sequence[str] | None = None
) -> str | None:
    """What a session is called that was found. If no turn has titled it, the first agent's first message is read.

    Args:
        repository: Where the session is.
        session_id: The session.
        agent_ids: Its agents, if they are known.
    """
    record = repository.life.record(session_id)
    title = title_in(None if record is None else record.kit)
    if title.shown is not None or title.is_derived:
        return title.shown
    if agent_ids is None:
        agent_ids = list(islice(list_agent_ids(repository.objects, repository.layout, session_id), 1))
    for agent_id in sorted(agent_ids)[:1]:
        with contextlib.suppress(SessionCorruptError):
            first = repository.records.own(session_id, repository.layout.message(session_id, agent_id, 0))
            return None if first is None else derived_title(message_in(first))
    return None


def _look_at(records: Records, layout: Layout, session_id: str, after_agent_id: str | None) -> _Look:
    folder, objects = layout.session_folder(session_id), records.objects
    if after_agent_id is None:
        listed = list(islice(objects.list(folder), LISTED_AT_ONCE))
        if len(listed) < LISTED_AT_ONCE:
            return _Look(_counted(folder, listed), last_use(folder, listed), None)
    ids = list(islice(list_agent_ids(objects, layout, session_id, start_after=after_agent_id), AGENTS_AT_ONCE + 1))
    described = ids[:AGENTS_AT_ONCE]
    present = agents_with_records(objects, layout, session_id, described)
    counts = {agent_id: _message_count(records, layout, session_id, agent_id) for agent_id in present}
    last_messages = [layout.message(session_id, agent_id, count - 1) for agent_id, count in counts.items() if count]
    agents, orchestrators = look_at_records(objects, layout, session_id)
    written = [*agents, *orchestrators, *look_at(objects, last_messages)]
    return _Look(counts, last_use(folder, written), described[-1] if len(ids) > AGENTS_AT_ONCE else None)


def _counted(folder: str, listed: Iterable[ListedObject]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in listed:
        agent_id, rest = agent_id_of(entry.key[len(folder) :]) or ("", "")
        is_message = message_id_below(rest) is not None
        if is_message or rest == "agent.json":
            counts[agent_id] = counts.get(agent_id, 0) + is_message
    return counts


def _message_count(records: Records, layout: Layout, session_id: str, agent_id: str) -> int:
    """The number of the last message and one, for the first has the number 0."""
    record = records.own(session_id, layout.agent(session_id, agent_id))
    log = read_log(record.kit.get("log")) if record is not None else None
    present = look_for_messages(records.objects, layout, session_id, agent_id)
    last_id = last_message_id(present, likely_next=log.next_id if log is not None else 0)
    return 0 if last_id is None else last_id + 1
