"""A page of a conversation: it costs a page, wherever it begins and however long the conversation is.

The messages of a page are asked for by their names, which are numbered without gaps. Only where a name is missing is it
asked whether that is the end: the agent's record may say so, a short conversation is listed, a long one is searched.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._objects.tail_and_base import read_log
from agent_sessions._records.cursors import read_message_cursor
from agent_sessions._records.layout import message_id_of
from agent_sessions._records.message_records import LISTED_AT_ONCE, agents_with_records, list_agent_ids, message_in
from agent_sessions._records.message_search import look_for_messages, next_message_id
from agent_sessions._records.record_format import Record, parse
from agent_sessions.exceptions import SessionCorruptError, SessionNotFoundError
from agent_sessions.session_pages import MessagePage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_sessions._objects.object_repository import ObjectSessionRepository
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import ObjectStore, StoredObject
    from agent_sessions.types import SessionMessage

FIRST_READ = 16
"""Messages asked for at first. Then twice as many each time, as long as what was found says that they fit."""

MOST_READ = 128

AGENTS_NAMED = 20
"""Agents that are named to whoever has to choose one of them."""


class ConversationPlace(NamedTuple):
    """Whose messages are read.

    Attributes:
        records: Where the records are; which life of the session is read is known there.
        layout: How they are named.
        session_id: The session.
        agent_id: The agent.
    """

    records: Records
    layout: Layout
    session_id: str
    agent_id: str


class Page(NamedTuple):
    """Some messages in order, and the id with which the next page begins; ``None`` behind the last message."""

    messages: list[SessionMessage]
    next_id: int | None


def read_conversation(
    repository: ObjectSessionRepository,
    session_id: str,
    agent_id: str | None,
    *,
    limit: int,
    cursor: str | None,
    max_bytes: int,
    time_is_up: Callable[[], bool],
) -> MessagePage:
    """Read a page of a conversation: see ``SessionStore.messages``, and :func:`read_page` for the other arguments.

    Args:
        repository: Where the session is.
        session_id: The session.
        agent_id: Whose conversation; ``None`` when the session has one agent.
        limit: At most so many messages, 1 or more.
        cursor: Of the page before.
        max_bytes: At most so many bytes as stored.
        time_is_up: Asked between requests.

    Raises:
        SessionNotFoundError: There is no such session or agent.
        SessionCorruptError: A message of the page cannot be read; the error names its key.
        ValueError: The cursor is none, or the session has several agents and none was named.
    """
    first_id = read_message_cursor(cursor)
    objects, layout = repository.objects, repository.layout
    if repository.read_session(session_id) is None:
        raise SessionNotFoundError(f"Session {session_id} does not exist", key=layout.session(session_id))
    chosen = _only_agent(objects, layout, session_id) if agent_id is None else agent_id
    conversation = ConversationPlace(repository.records, layout, session_id, chosen)
    page = read_page(conversation, first_id, limit=limit, max_bytes=max_bytes, time_is_up=time_is_up)
    is_empty = not page.messages and page.next_id is None
    if is_empty and not agents_with_records(objects, layout, session_id, [chosen]):
        key = layout.agent(session_id, chosen)
        raise SessionNotFoundError(f"Session {session_id} has no agent {chosen}", key=key)
    return MessagePage(chosen, tuple(page.messages), None if page.next_id is None else str(page.next_id))


def _only_agent(objects: ObjectStore, layout: Layout, session_id: str) -> str:
    """The agent of a session that has one."""
    found = list(islice(list_agent_ids(objects, layout, session_id), AGENTS_NAMED + 1))
    if len(found) > 1:
        found = agents_with_records(objects, layout, session_id, found)
    if len(found) > 1:
        names, more = ", ".join(sorted(found)[:AGENTS_NAMED]), " and others" * (len(found) > AGENTS_NAMED)
        raise ValueError(f"session_id={session_id} | name one of its agents: {names}{more}")
    if not found:
        raise SessionNotFoundError(f"Session {session_id} has no agent", key=layout.session(session_id))
    return found[0]


def read_page(
    conversation: ConversationPlace,
    first_id: int,
    *,
    limit: int,
    max_bytes: float = float("inf"),
    time_is_up: Callable[[], bool] = lambda: False,
) -> Page:
    """Read the messages from an id on.

    It asks for at most twice ``limit`` and a few dozen names, and two hundred more where messages are missing.

    Args:
        conversation: Whose messages.
        first_id: The smallest id wanted.
        limit: At most so many, 1 or more.
        max_bytes: At most so many bytes as stored; a single larger message comes alone.
        time_is_up: Asked between requests; then the page ends with what it has, be it nothing.

    Raises:
        SessionCorruptError: A message of the page cannot be read; the error names its key.
    """
    messages: list[SessionMessage] = []
    size, asked_at_once, start = 0, FIRST_READ, first_id
    gaps: _Gaps | None = None
    while True:
        count = min(asked_at_once, limit - len(messages) + 1, _fitting(size, len(messages), max_bytes))
        missing_from: int | None = None
        ids = range(start, start + count)
        for message_id, stored in zip(ids, _read(conversation, ids), strict=True):
            if stored is not None and len(messages) == limit:
                return Page(messages, message_id)  # whatever it is, the next page says
            record = _accepted(conversation, message_id, stored)
            if record is None:
                missing_from = message_id if missing_from is None else missing_from
                continue
            missing_from = None
            if messages and size + len(record.stored.body) > max_bytes:
                return Page(messages, message_id)
            messages.append(message_in(record))
            size += len(record.stored.body)
        start += count
        if missing_from is not None:
            gaps = gaps or _Gaps(conversation)
            following = gaps.next_id(missing_from)
            if following is None:
                return Page(messages, None)
            start = max(start, following)
        if time_is_up():
            return Page(messages, start)
        asked_at_once = min(2 * asked_at_once, MOST_READ)


def _fitting(size: int, count: int, max_bytes: float) -> int:
    """How many more messages are likely to fit: what is read and does not fit is read in vain."""
    if not size:
        return FIRST_READ
    return max(1, int(min((max_bytes - size) / (size / count) + 1, MOST_READ)))


def _read(conversation: ConversationPlace, ids: range) -> Sequence[StoredObject | SessionCorruptError | None]:
    """What lies in the places of messages; an error where it is no object at all, such as a folder."""
    records, layout, session_id, agent_id = conversation
    keys = [layout.message(session_id, agent_id, message_id) for message_id in ids]
    try:
        return records.objects.get_many(keys)
    except SessionCorruptError:
        return [_read_one(conversation, key) for key in keys]


def _read_one(conversation: ConversationPlace, key: str) -> StoredObject | SessionCorruptError | None:
    try:
        return conversation.records.objects.get(key)
    except SessionCorruptError as error:
        return error


def _accepted(
    conversation: ConversationPlace, message_id: int, stored: StoredObject | SessionCorruptError | None
) -> Record | None:
    """The message's record if it is of this life. Judged one by one: who stops early hears of no damage behind."""
    if isinstance(stored, SessionCorruptError):
        raise stored
    records, layout, session_id, agent_id = conversation
    return records.accept(session_id, parse(layout.message(session_id, agent_id, message_id), stored))


class _Gaps:
    """Tells where a conversation goes on behind a name that is missing.

    The agent's record is believed when it says that the missing message is the next to be written. A conversation that
    one request lists is known exactly; in a longer one the next message is searched.
    """

    def __init__(self, conversation: ConversationPlace) -> None:
        records, layout, session_id, agent_id = conversation
        self._objects = records.objects
        self._folder = layout.messages_folder(session_id, agent_id)
        self._present = look_for_messages(records.objects, layout, session_id, agent_id)
        record = records.own(session_id, layout.agent(session_id, agent_id))
        log = read_log(record.kit.get("log")) if record is not None else None
        self._stated_next_id = log.next_id if log is not None else None
        self._ids: list[int] | None = None  # all there are, once they are known

    def next_id(self, missing: int) -> int | None:
        """The next id behind a missing one, or ``None`` when that was the end."""
        if missing == self._stated_next_id:
            return None
        if self._ids is None:
            listed = list(islice(self._objects.list(self._folder), LISTED_AT_ONCE))
            if len(listed) == LISTED_AT_ONCE:
                return next_message_id(self._present, missing + 1)
            found = (message_id_of(entry.key) for entry in listed if "/" not in entry.key[len(self._folder) :])
            self._ids = sorted(message_id for message_id in found if message_id is not None)
        return next((message_id for message_id in self._ids if message_id > missing), None)
