"""The objects of one agent: its record with the tail in it, the base, and the messages, which are the truth."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionConflictError, SessionException
from agent_sessions.history import (
    Base,
    Copy,
    Entry,
    Log,
    copies_of,
    messages_of,
    read_base,
    read_log,
    tail_limit,
    write_log,
)
from agent_sessions.journal import Conversation
from agent_sessions.object_store import Absent, Expectation, PreconditionFailedError, StoredObject, Unchanged
from agent_sessions.records import Record, list_message_ids, parse, parsed
from agent_sessions.types import SessionAgent, SessionMessage
from agent_sessions.window import split_window

if TYPE_CHECKING:
    from concurrent.futures import Future
    from datetime import datetime

    from agent_sessions.layout import Layout
    from agent_sessions.records import Records, Version

logger = logging.getLogger(__name__)

DROP_ATTEMPTS = 5
"""Tries to take the derived messages out of a record that somebody else keeps writing."""

_BYTES_MARK = b"__bytes_encoded__"


class AgentObjects:
    """Reads and writes the objects of one agent.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        agent_id: The agent.
        consolidates: Whether to keep a tail and a base.
    """

    def __init__(self, records: Records, layout: Layout, session_id: str, agent_id: str, *, consolidates: bool) -> None:
        self._records = records
        self._layout = layout
        self._session_id = session_id
        self._agent_id = agent_id
        self._consolidates = consolidates
        self.key = layout.agent(session_id, agent_id)
        self._history_key = layout.history(session_id, agent_id)

        self.next_id = 0
        """The id of the next message."""
        self.restored_at: datetime | None = None
        """When the record was read, by the storage's clock; ``None`` when it was created here."""
        self.unconfirmed: str | None = None
        """The nonce of the last message, when its writer may have died before it was stored."""

        self._content: dict[str, Any] = {}  # the agent's record, as it is stored or shall be
        self._pinned: set[int] = set()
        self._pins_known = False
        self._first_id = 0  # every stored message from here on is in the base or the tail, and pinned ones below
        self._base: Base | None = None
        self._tail: dict[int, Entry] = {}
        self._copied_in_record: set[int] = set()  # the messages a copy of which is in the stored record
        self._history: StoredObject | None = None
        self._history_etag: str | None = None  # of history.json, believed or not
        self._log: Log | None = None
        self._with_bytes = False
        self._new_base: Future[Base] | None = None

    # --- restoring --------------------------------------------------------------------------------------

    def create(self, agent: SessionAgent) -> None:
        """Create the agent's record."""
        self._records.objects.make_folder(self._layout.messages_folder(self._session_id, self._agent_id))
        self.replace_content(agent)
        self._records.create(self._session_id, self.key, self._with_log(unconfirmed=None))

    def read(self, agent: StoredObject | None, history: Future[StoredObject | None]) -> SessionAgent | None:
        """Take over the agent's record.

        Args:
            agent: The object at the record's key.
            history: The object at the base's key.

        Returns:
            The record, or ``None`` when the session has no agent of this id.
        """
        record = self._records.accept(self._session_id, parse(self.key, agent))
        if record is None:
            return self._orphaned()
        self.restored_at = record.stored.read_at
        self._content = {name: value for name, value in record.content.items() if name != "kit"}
        self._pinned = set(record.kit.get("pinned", ()))
        self._pins_known = bool(record.kit)  # Strands says nothing of pins
        if self._consolidates:
            self._log = read_log(record.kit.get("log"))
            self._with_bytes = _BYTES_MARK in record.stored.body
            self._copied_in_record = {copy.message_id for copy in self._log.tail} if self._log else set()
            self._history = history.result()
            self._history_etag = self._history.etag if self._history else None
        return parsed(SessionAgent, record)

    def _orphaned(self) -> SessionAgent | None:
        """The record of an agent whose own was deleted while its messages were not, by a lifecycle rule perhaps."""
        if not list_message_ids(self._records.objects, self._layout, self._session_id, self._agent_id):
            return None
        logger.warning(
            "session_id=<%s>, agent_id=<%s> | agent.json is missing: its messages are kept, its state is lost",
            self._session_id,
            self._agent_id,
        )
        agent = SessionAgent(self._agent_id, {}, {})
        self.create(agent)
        return agent

    def conversation(self, removed_message_count: int) -> Conversation:
        """Read what the agent's conversation manager still wants of its messages.

        Args:
            removed_message_count: How many unpinned messages it has removed.
        """
        base, copies = self._believed_base()
        log = self._log
        believed = log is not None and (log.base is None) == (base is None) and removed_message_count >= log.first_id
        if log is not None and believed:
            self._first_id, self.next_id, self.unconfirmed = log.first_id, log.next_id, log.unconfirmed
            last_id = base.last_id if base else -1
            tail = [copy for copy in log.tail if copy.message_id > last_id]
            self._base = base
            self._tail = {copy.message_id: Entry.again(copy) for copy in tail}
            messages = self._messages([*copies, *tail])
        else:
            messages = self._listed([*self._copies_in_history(), *(log.tail if log else [])], removed_message_count)
        self._log = self._history = None  # read once; what remains is what the next write needs
        pinned, window = split_window(messages, removed_message_count)
        return Conversation(pinned, window, self.next_id)

    def _believed_base(self) -> tuple[Base | None, list[Copy]]:
        """The base that the agent's record names, if it is there."""
        found = self._read_history() if self._log is not None and self._log.base is not None else None
        if found is None or self._log is None or found[0].nonce != self._log.base:
            return None, []
        return found

    def _copies_in_history(self) -> list[Copy]:
        """What ``history.json`` holds, to be believed only message by message, where the ETag is still the same."""
        found = self._read_history()
        return found[1] if found else []

    def _read_history(self) -> tuple[Base, list[Copy]] | None:
        if self._history is None:
            return None
        self._with_bytes = self._with_bytes or _BYTES_MARK in self._history.body
        return read_base(
            self._history.body,
            session_id=self._session_id,
            agent_id=self._agent_id,
            incarnation=self._records.incarnation(self._session_id) or "",
        )

    def _messages(self, copies: list[Copy]) -> list[SessionMessage]:
        """The messages of copies; those that are mere references are fetched, at once."""
        fetched = self._fetch([copy.message_id for copy in copies if copy.content is None])
        messages = messages_of(copies, with_bytes=self._with_bytes)
        messages += [parsed(SessionMessage, record) for record in fetched]
        return sorted(messages, key=_by_id) if fetched else messages

    def _fetch(self, message_ids: list[int]) -> list[Record]:
        keys = [self._layout.message(self._session_id, self._agent_id, message_id) for message_id in message_ids]
        return self._records.own_many(self._session_id, keys)

    def _listed(self, copies: list[Copy], removed_message_count: int) -> list[SessionMessage]:
        """The messages as a listing shows them: slower, and right whoever wrote last.

        Copies whose ETag is still the listed one are used, the other messages are fetched.
        """
        listed = list_message_ids(self._records.objects, self._layout, self._session_id, self._agent_id)
        first_id = removed_message_count if self._pins_known else 0
        # A pinned tool call keeps its result, and the other way round.
        pinned = {message_id + step for message_id in self._pinned for step in (-1, 0, 1)}
        wanted = [(message_id, etag) for message_id, etag in listed if message_id >= first_id or message_id in pinned]
        usable = {(copy.message_id, copy.etag): copy for copy in copies if copy.content is not None}
        kept = [usable[item] for item in wanted if item in usable]
        fetched = self._fetch([message_id for message_id, etag in wanted if (message_id, etag) not in usable])
        self.next_id = listed[-1][0] + 1 if listed else 0
        self._first_id = first_id
        self._base = None
        if self._consolidates:
            entries = [Entry.again(copy) for copy in kept]
            entries += [Entry.of(record.content, record.stored.etag) for record in fetched]
            self._tail = {entry.message_id: entry for entry in sorted(entries, key=_by_id)}
        messages = messages_of(kept, with_bytes=self._with_bytes)
        messages += [parsed(SessionMessage, record) for record in fetched]
        return sorted(messages, key=_by_id)

    def later(self) -> tuple[int, list[SessionMessage]]:
        """The id of the first message beyond the restored conversation, and the messages from there on."""
        first_id = self.next_id
        listed = list_message_ids(self._records.objects, self._layout, self._session_id, self._agent_id)
        records = self._fetch([message_id for message_id, _ in listed if message_id >= first_id])
        for record in records if self._consolidates else ():
            self._tail[int(record.content["message_id"])] = Entry.of(record.content, record.stored.etag)
        if records:
            self.next_id = int(records[-1].content["message_id"]) + 1
        return first_id, [parsed(SessionMessage, record) for record in records]

    def content_in_tail(self, message_id: int) -> dict[str, Any] | None:
        """A message's record as the tail has it."""
        entry = self._tail.get(message_id)
        return None if entry is None else copies_of([entry.line])[0].content

    def forget_last(self) -> None:
        """The last restored message is not what is stored."""
        self.next_id -= 1
        self._tail.pop(self.next_id, None)

    # --- writing ----------------------------------------------------------------------------------------

    def has_stored(self, content: dict[str, Any], version: Version) -> None:
        """A message has been stored, or stored anew."""
        message_id = int(content["message_id"])
        self.next_id = max(self.next_id, message_id + 1)
        if self._consolidates:
            self._tail[message_id] = Entry.of(content, version.etag)

    def replace_content(self, agent: SessionAgent) -> None:
        """The agent's record shall be this one, from its next writing on."""
        known = self._records.known(self.key)
        agent.created_at = (known.created_at if known else None) or agent.created_at
        self._pinned = set((agent.kit or {}).get("pinned", ()))
        self._content = {name: value for name, value in agent.to_dict().items() if name != "kit"}

    def has_content(self, agent: SessionAgent) -> bool:
        """Whether the agent's record has this value already, apart from its timestamps."""
        content = agent.to_dict()
        same = all(content[name] == self._content.get(name) for name in content if name not in _NOT_COMPARED)
        return same and set((agent.kit or {}).get("pinned", ())) == self._pinned

    def write(self, *, unconfirmed: tuple[Entry, str] | None = None) -> None:
        """Write the agent's record, with the tail in it.

        Args:
            unconfirmed: The last message and its nonce, when it is being written at the same time.
        """
        self._take_over_new_base()
        content = self._with_log(unconfirmed=unconfirmed)
        if self._records.known(self.key) is None:
            self._records.create(self._session_id, self.key, content)
        else:
            self._records.update(self._session_id, self.key, content)
        self._copied_in_record = set(self._tail)

    def _with_log(self, *, unconfirmed: tuple[Entry, str] | None) -> dict[str, Any]:
        kit: dict[str, Any] = {}
        if self._pinned:
            kit["pinned"] = sorted(self._pinned)
        if self._consolidates:
            self._trim()
            by_id = dict(self._tail)  # one step: the last message may arrive from another thread at this moment
            if unconfirmed is not None:
                by_id.setdefault(unconfirmed[0].message_id, unconfirmed[0])
            tail = sorted(by_id.values(), key=_by_id)
            if sum(len(entry.line) for entry in tail) <= 2 * tail_limit(self._base.size if self._base else 0):
                kit["log"] = write_log(
                    first_id=self._first_id,
                    next_id=tail[-1].message_id + 1 if tail else self.next_id,
                    base=self._base.nonce if self._base else None,
                    tail=tail,
                    unconfirmed=unconfirmed[1] if unconfirmed else None,
                )
        return {**self._content, "kit": kit}

    def _trim(self) -> None:
        """Leave out what the conversation manager has removed: nobody restores it from here."""
        removed = self._content.get("conversation_manager_state", {}).get("removed_message_count", 0)
        if not isinstance(removed, int) or removed <= self._first_id or self._pinned:
            # With pins the count is not an id; then nothing is left out.
            return
        self._first_id = removed
        self._tail = {message_id: entry for message_id, entry in self._tail.items() if message_id >= removed}
        if self._base is not None and self._base.last_id < removed:
            self._base = None

    def start_base(self, *, before: int) -> None:
        """Begin to write a new base if the tail has outgrown the old one; :meth:`write` waits for it.

        Args:
            before: The first message of the turn that begins. It is not in the base: it may be redacted yet.
        """
        entries = sorted((entry for entry in self._tail.values() if entry.message_id < before), key=_by_id)
        size = sum(len(entry.line) for entry in entries)
        if not self._consolidates or size <= tail_limit(self._base.size if self._base else 0):
            return
        lines = () if self._base is None else self._base.lines
        base = Base(
            nonce=uuid.uuid4().hex,
            first_id=self._first_id,
            last_id=entries[-1].message_id,
            lines=(*lines, *(entry.line for entry in entries)),
        )
        self._new_base = self._records.objects.submit(lambda: self._write_base(base))

    def _write_base(self, base: Base) -> Base:
        body = base.encode(
            session_id=self._session_id,
            agent_id=self._agent_id,
            incarnation=self._records.incarnation(self._session_id) or "",
        )
        expect: Expectation = Unchanged(self._history_etag) if self._history_etag else Absent()
        try:
            written = self._records.objects.put(self._history_key, body, expect)
        except PreconditionFailedError as error:
            # Left by a writer that died before any record named it; nobody believes it.
            again: Expectation = Absent() if error.found is None else Unchanged(error.found.etag)
            written = self._records.objects.put(self._history_key, body, again)
        self._history_etag = written.etag
        return base

    def _take_over_new_base(self) -> None:
        if self._new_base is None:
            return
        future, self._new_base = self._new_base, None
        try:
            base = future.result()
        except (SessionException, PreconditionFailedError) as error:
            # The copy is derived: without it the next restore is slower, and as right.
            logger.warning("session_id=<%s>, key=<%s> | not written: %s", self._session_id, self._history_key, error)
            return
        self._base = base
        self._tail = {message_id: entry for message_id, entry in self._tail.items() if message_id > base.last_id}

    def before_rewriting(self, message_id: int) -> None:
        """Remove the derived copies of a message that is about to change: a crash must not leave them believed."""
        if not self._consolidates:
            return
        self._take_over_new_base()
        if self._base is not None and message_id <= self._base.last_id:
            self._tail = {**{copy.message_id: Entry.again(copy) for copy in copies_of(self._base.lines)}, **self._tail}
            self._base = None
        if self._history_etag is not None and self._base is None:
            self._records.objects.delete([self._history_key])
            self._history_etag = None
        if message_id in self._copied_in_record:
            drop_log(self._records, self._session_id, self.key)
            self._copied_in_record = set()
        self._tail.pop(message_id, None)

    def forget_versions(self, message_id: int) -> None:
        """Delete the older versions of what held a message, where the store keeps them: they show what it said."""
        message = self._layout.message(self._session_id, self._agent_id, message_id)
        for key in (message, self.key, self._history_key):
            self._records.objects.erase(key, keep=[key])


_NOT_COMPARED = frozenset({"created_at", "updated_at", "kit"})


def _by_id(item: Entry | SessionMessage) -> int:
    return item.message_id


def drop_log(records: Records, session_id: str, key: str) -> None:
    """Take the derived messages out of an agent's record, whoever wrote it last.

    A message is about to change: whatever happens next, nobody may restore the old one from here. Whoever updates the
    record from an older reading is refused as before.
    """
    for attempt in range(DROP_ATTEMPTS):
        known = records.known(key)
        record = records.own(session_id, key)
        if record is None or "log" not in record.kit:
            return
        kit = {name: value for name, value in record.kit.items() if name != "log"}
        try:
            records.update(session_id, key, {**record.content, "kit": kit})
        except SessionConflictError:
            if attempt + 1 == DROP_ATTEMPTS:
                raise
        else:
            if known is not None and known.etag != record.stored.etag:
                records.restore_known(key, known)
            return
