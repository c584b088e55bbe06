"""The records of messages: which there are, and whether what lies in a message's place is one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from agent_sessions._records.layout import message_id_of
from agent_sessions._records.record_format import Record, corrupt, parsed
from agent_sessions._records.shapes import message_problem
from agent_sessions.object_store import Key
from agent_sessions.types import SessionMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent_sessions._records.layout import Layout
    from agent_sessions.object_store import ObjectStore

LISTED_AT_ONCE = 1000
"""Keys that one request lists."""


def list_message_ids(objects: ObjectStore, layout: Layout, session_id: str, agent_id: str) -> list[tuple[int, str]]:
    """The ids and ETags of an agent's messages, in the order of the ids. Foreign objects are left out."""
    folder = layout.messages_folder(session_id, agent_id)
    found = (
        (message_id_of(entry.key), entry.etag) for entry in objects.list(folder) if "/" not in entry.key[len(folder) :]
    )
    return sorted((message_id, etag) for message_id, etag in found if message_id is not None)


def list_agent_ids(
    objects: ObjectStore, layout: Layout, session_id: str, *, start_after: str | None = None
) -> Iterator[str]:
    """The agents that a session has folders of, in the order of their keys. A thousand cost a request.

    Args:
        objects: Where the objects live.
        layout: How they are named.
        session_id: The session.
        start_after: Only agents behind this one.
    """
    folder, named = Key(f"{layout.session_folder(session_id)}agents/", session_id), "agent_"
    start = "" if start_after is None else f"{named}{start_after}"
    for name in objects.list_folders(folder, named=named, start_after=start):
        if len(name) > len(named):
            yield name.removeprefix(named)


def agents_with_records(objects: ObjectStore, layout: Layout, session_id: str, agent_ids: Sequence[str]) -> list[str]:
    """Those agents that have a record or messages. Others have folders that something else was put into."""
    records = objects.stat_many([layout.agent(session_id, agent_id) for agent_id in agent_ids])
    return [
        agent_id
        for agent_id, record in zip(agent_ids, records, strict=True)
        if record is not None or _has_messages(objects, layout, session_id, agent_id)
    ]


def _has_messages(objects: ObjectStore, layout: Layout, session_id: str, agent_id: str) -> bool:
    listed = islice(objects.list(layout.messages_folder(session_id, agent_id)), LISTED_AT_ONCE)
    return any(message_id_of(entry.key) is not None for entry in listed)


def checked_message(record: Record) -> Record:
    """The record, when it is the message that its key names. Anybody who may write to the bucket can put another there.

    Raises:
        SessionCorruptError: It is not; the error names its key.
    """
    named, content = message_id_of(record.key), record.content
    stated = content.get("message_id")
    if named is None or type(stated) is not int or stated != named:
        said = str(stated)[:20] if isinstance(stated, (str, int)) else f"a {type(stated).__name__}"
        raise corrupt(record.key, f"not message {named}: it says that it is {said}")
    for name in ("message", "redact_message"):
        found = content.get(name)
        problem = message_problem(found) if found is not None or name == "message" else None
        if problem is not None:
            raise corrupt(record.key, f"not a {name}: {problem}")
    return record


def message_in(record: Record) -> SessionMessage:
    """The message of a record.

    Raises:
        SessionCorruptError: It is none, or another than its key names.
    """
    return parsed(SessionMessage, checked_message(record))
