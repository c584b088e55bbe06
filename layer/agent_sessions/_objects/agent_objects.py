"""The objects of one agent: its record with the tail in it, the base, and the messages, which are the truth."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.journal import Conversation
from agent_sessions._conversation.window import split_window
from agent_sessions._objects.base_object import HistoryObject
from agent_sessions._objects.copies import Entry, FoundBase, Log, read_log, tail_limit, write_log
from agent_sessions._records.message_records import checked_message, list_message_ids, message_in
from agent_sessions._records.own_names import checked_agent
from agent_sessions._records.records import Record, parse, parsed
from agent_sessions.exceptions import SessionConflictError
from agent_sessions.types import SessionAgent, SessionMessage, decode_bytes_values, ids_in
from agent_sessions.values import canonical, may_hold_marks

if TYPE_CHECKING:
    from concurrent.futures import Future

    from strands.types.content import Message

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records, Version
    from agent_sessions.object_store import StoredObject

logger = logging.getLogger(__name__)

DROP_ATTEMPTS = 5
"""Tries to take the derived messages out of a record that somebody else keeps writing."""


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
        self.session_id = session_id
        self.agent_id = agent_id
        self._consolidates = consolidates
        self.key = layout.agent(session_id, agent_id)
        self._history = HistoryObject(records, layout, session_id, agent_id)

        self.next_id = 0
        """The id of the next message."""
        self.from_copies = False
        """Whether the conversation was restored from the copies, which may not show the last messages."""
        self.unconfirmed: str | None = None
        """The nonce of the last message, when its writer may have died before it was stored."""

        self._content: dict[str, Any] = {}  # the agent's record, as it is stored or shall be
        self._pinned: set[int] = set()
        self._joined: list[int] = []  # see StoredAgent
        self._turns: Any = None  # see turn_request
        self._pins_known = False
        self._first_id = 0  # every stored message from here on is in the base or the tail, and pinned ones below
        self._tail: dict[int, Entry] = {}
        self._copied_in_record: set[int] = set()  # the messages a copy of which is in the stored record
        self._log: Log | None = None
        self._with_marks = False

    # --- restoring --------------------------------------------------------------------------------------

    def create(self, agent: SessionAgent) -> None:
        """Create the agent's record."""
        self._records.objects.make_folder(self._layout.messages_folder(self.session_id, self.agent_id))
        self.replace_content(agent)
        self._records.create_head(self.session_id, self.key, self._with_log(unconfirmed=None))

    def read(self, agent: StoredObject | None) -> SessionAgent | None:
        """Take over the agent's record.

        Args:
            agent: The object at the record's key.

        Returns:
            The record, or ``None`` when the session has no agent of this id.
        """
        record = self._records.accept(self.session_id, parse(self.key, agent))
        if record is None:
            return self._orphaned()
        checked_agent(record, self.agent_id)
        self._content = {name: value for name, value in record.content.items() if name != "kit"}
        self._pinned = set(ids_in(record.kit, "pinned"))
        self._joined = ids_in(record.kit, "joined")
        self._turns = record.kit.get("turns")
        self._pins_known = bool(record.kit)  # Strands says nothing of pins
        if self._consolidates:
            self._log = read_log(record.kit.get("log"))
            self._with_marks = may_hold_marks(record.stored.body)
            self._copied_in_record = {copy.message_id for copy in self._log.tail} if self._log else set()
        return parsed(SessionAgent, record)

    def read_base(self, asked: Future[StoredObject | None]) -> None:
        """Take over the base, if there is one.

        Args:
            asked: The object at the base's key.
        """
        self._history.take(asked)

    @property
    def stated_next_id(self) -> int | None:
        """The id of the next message as the record has it, before it is known whether the copies are believed."""
        return self._log.next_id if self._log else None

    def _orphaned(self) -> SessionAgent | None:
        """The record of an agent whose own was deleted while its messages were not, by a lifecycle rule perhaps."""
        if not list_message_ids(self._records.objects, self._layout, self.session_id, self.agent_id):
            return None
        logger.warning(
            "session_id=<%s>, agent_id=<%s> | agent.json is missing: its messages are kept, its state is lost",
            self.session_id,
            self.agent_id,
        )
        agent = SessionAgent(self.agent_id, {}, {})
        self.create(agent)
        return agent

    def conversation(self, removed_message_count: int) -> Conversation:
        """Read what the agent's conversation manager still wants of its messages.

        Args:
            removed_message_count: How many unpinned messages it has removed.
        """
        log = self._log
        found = self._history.read() if log is None or log.base is not None else None
        goes_with_log = log is not None and log.goes_with(found.base if found else None)
        self.from_copies = goes_with_log and log is not None and removed_message_count >= log.first_id
        if not self.from_copies:
            found = found or self._history.read()
        self._with_marks = self._with_marks or (found is not None and may_hold_marks(found.base.body))
        if log is not None and self.from_copies:
            messages = self._believed(log, found)
        else:
            messages = self._listed(removed_message_count, found)
        self._log = None  # read once; what remains is what the next write needs
        pinned, window = split_window(messages, removed_message_count)
        return Conversation(pinned, window, self.next_id)

    def _believed(self, log: Log, found: FoundBase | None) -> list[tuple[int, Message]]:
        """The messages as the copies show them."""
        self._first_id, self.next_id, self.unconfirmed = log.first_id, log.next_id, log.unconfirmed
        self._history.base = found.base if found else None
        tail = [copy for copy in log.tail if found is None or copy.message_id > found.base.last_id]
        self._tail = {copy.message_id: Entry.again(copy) for copy in tail}
        copied = list(zip(found.ids, found.messages, strict=True)) if found else []
        copied += [(copy.message_id, copy.message) for copy in tail]
        return self._complete(copied)

    def _listed(self, removed_message_count: int, found: FoundBase | None) -> list[tuple[int, Message]]:
        """The messages as a listing shows them: slower, and right whoever wrote last.

        Copies whose ETag is still the listed one are used, the other messages are fetched.
        """
        copies = [*(found.copies() if found else []), *(self._log.tail if self._log else [])]
        usable = {(copy.message_id, copy.etag): copy for copy in copies if copy.message is not None}
        first_id = removed_message_count if self._pins_known else 0
        # A pinned tool call keeps its result, and the other way round.
        pinned = {message_id + step for message_id in self._pinned for step in (-1, 0, 1)}
        listed = list_message_ids(self._records.objects, self._layout, self.session_id, self.agent_id)
        wanted = [item for item in listed if item[0] >= first_id or item[0] in pinned]
        self._first_id, self._history.base = first_id, None

        fetched = self._fetch([item[0] for item in wanted if item not in usable], sweeps=True)
        own = {item[0] for item in wanted if item in usable or item[0] in fetched}
        self.next_id = self._end_of(own, [item[0] for item in listed if item[0] < first_id]) + 1
        if self._consolidates:
            entries = {item[0]: Entry.again(usable[item]) for item in wanted if item in usable}
            entries |= {number: Entry.of(record.content, record.stored.etag) for number, record in fetched.items()}
            self._tail = dict(sorted(entries.items()))
        copied = [(item[0], usable[item].message if item in usable else None) for item in wanted if item[0] in own]
        return self._complete([*copied, *self._not_listed_yet()], fetched)

    def _end_of(self, own: set[int], below: list[int]) -> int:
        """The id of the last message of this life; what an earlier one has left does not count."""
        if own:
            return max(own)
        return next((message_id for message_id in reversed(below) if self._fetch([message_id])), -1)

    def _not_listed_yet(self) -> list[tuple[int, dict[str, Any] | None]]:
        """The last message where it stands in the tail and its writer died before it was stored."""
        log = self._log
        if log is None or log.unconfirmed is None or not log.tail or log.tail[-1].message_id != self.next_id:
            return []
        last = log.tail[-1]
        self._tail[last.message_id] = Entry.again(last)
        self.unconfirmed, self.next_id = log.unconfirmed, log.next_id
        return [(last.message_id, last.message)] if last.message is not None else []

    def _complete(
        self, copied: list[tuple[int, dict[str, Any] | None]], fetched: dict[int, Record] | None = None
    ) -> list[tuple[int, Message]]:
        """Messages from their copies, and those that are mere references from their objects."""
        if fetched is None:
            fetched = self._fetch([message_id for message_id, message in copied if message is None])
        decode: Any = decode_bytes_values if self._with_marks else _as_it_is
        return [
            (message_id, decode(message) if message is not None else _shown(fetched[message_id]))
            for message_id, message in copied
            if message is not None or message_id in fetched
        ]

    def _fetch(self, message_ids: list[int], *, sweeps: bool = False) -> dict[int, Record]:
        keys = [self._layout.message(self.session_id, self.agent_id, message_id) for message_id in message_ids]
        found = (checked_message(record) for record in self._records.own_many(self.session_id, keys, sweeps=sweeps))
        return {int(record.content["message_id"]): record for record in found}

    def later(self) -> tuple[int, list[tuple[int, Message]]]:
        """The id of the first message beyond the restored conversation, and the messages from there on."""
        first_id = self.next_id
        listed = list_message_ids(self._records.objects, self._layout, self.session_id, self.agent_id)
        found = self._fetch([message_id for message_id, _ in listed if message_id >= first_id])
        if self._consolidates:
            copies = {number: Entry.of(record.content, record.stored.etag) for number, record in found.items()}
            self._tail |= copies
        self.next_id = max(found, default=first_id - 1) + 1
        return first_id, [(number, _shown(record)) for number, record in found.items()]

    def content_in_tail(self, message_id: int) -> dict[str, Any] | None:
        """A record of the message as the tail has it."""
        entry = self._tail.get(message_id)
        if entry is None or entry.is_reference:
            return None
        return SessionMessage.from_message(json.loads(entry.text), message_id).to_dict()

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
        self._pinned = set(ids_in(agent.kit, "pinned"))
        self._joined = ids_in(agent.kit, "joined")
        self._turns = (agent.kit or {}).get("turns")
        self._content = {name: value for name, value in agent.to_dict().items() if name != "kit"}

    def has_content(self, agent: SessionAgent) -> bool:
        """Whether the agent's record has this value already, apart from its timestamps."""
        content = agent.to_dict()
        same = all(
            canonical(content[name]) == canonical(self._content.get(name))
            for name in content
            if name not in _NOT_COMPARED
        )
        return (
            same
            and set(ids_in(agent.kit, "pinned")) == self._pinned
            and ids_in(agent.kit, "joined") == self._joined
            and (agent.kit or {}).get("turns") == self._turns
        )

    def write(self, *, unconfirmed: tuple[Entry, str] | None = None) -> None:
        """Write the agent's record, with the tail in it.

        Args:
            unconfirmed: The last message and its nonce, when it is being written at the same time.
        """
        self._take_over_new_base()
        content = self._with_log(unconfirmed=unconfirmed)
        # Noted before the write: its answer may be lost although it was applied.
        self._copied_in_record |= {*list(self._tail), *([unconfirmed[0].message_id] if unconfirmed else [])}
        self._history.settle()
        try:
            if self._records.known(self.key) is None:
                self._records.create(self.session_id, self.key, content)
            else:
                self._records.update(self.session_id, self.key, content)
        except SessionConflictError:
            self._history.withdraw()
            raise
        self._history.is_named()
        self._copied_in_record = {*list(self._tail), *([unconfirmed[0].message_id] if unconfirmed else [])}

    def _with_log(self, *, unconfirmed: tuple[Entry, str] | None) -> dict[str, Any]:
        kit: dict[str, Any] = {}
        if self._pinned:
            kit["pinned"] = sorted(self._pinned)
        if self._joined:
            kit["joined"] = self._joined
        if self._turns is not None:
            kit["turns"] = self._turns
        if self._consolidates:
            self._trim()
            by_id = dict(self._tail)  # one step: the last message may arrive from another thread at this moment
            if unconfirmed is not None:
                by_id.setdefault(unconfirmed[0].message_id, unconfirmed[0])
            tail = sorted(by_id.values(), key=_by_id)
            if _size(tail) <= 2 * tail_limit(self._base_bytes):
                kit["log"] = write_log(
                    first_id=self._first_id,
                    next_id=tail[-1].message_id + 1 if tail else self.next_id,
                    base=self._history.base.nonce if self._history.base else None,
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
        self._forget_copies([message_id for message_id in list(self._tail) if message_id < removed])
        if self._history.base is not None and self._history.base.last_id < removed:
            self._history.base = None

    def start_base(self, *, before: int) -> None:
        """Begin to write a new base if the tail has outgrown the old one; :meth:`write` waits for it.

        Args:
            before: The first message of the turn that begins. It is not in the base: it may be redacted yet.
        """
        if not self._consolidates:
            return
        tail = sorted((entry for entry in list(self._tail.values()) if entry.message_id < before), key=_by_id)
        if _size(tail) > tail_limit(self._base_bytes):
            self._history.begin(tail, first_id=self._first_id)
        else:
            self._history.sweep()

    @property
    def _base_bytes(self) -> int:
        return len(self._history.base.body) if self._history.base else 0

    def abandon(self) -> None:
        """The turn has failed: leave no base behind that no record names."""
        self._history.settle()
        self._history.withdraw()

    def _forget_copies(self, message_ids: list[int]) -> None:
        # One by one, in place: the last message may be added from another thread at this moment.
        for message_id in message_ids:
            self._tail.pop(message_id, None)

    def _take_over_new_base(self) -> None:
        base = self._history.take_over()
        if base is not None:
            self._forget_copies([message_id for message_id in list(self._tail) if message_id <= base.last_id])

    def _keep_in_tail(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._tail.setdefault(entry.message_id, entry)

    def before_rewriting(self, message_id: int) -> None:
        """Remove the derived copies of a message that is about to change: a crash must not leave them believed."""
        if not self._consolidates:
            return
        self._take_over_new_base()
        self._keep_in_tail(self._history.remove(message_id))
        if message_id in self._copied_in_record:
            drop_log(self._records, self.session_id, self.key)
            self._copied_in_record = set()
        self._tail.pop(message_id, None)

    def forget_redacted(self, message_id: int) -> None:
        """Leave nothing of what a message was: with readers of before, and in older versions where they are kept."""
        if self._consolidates:
            # Whoever was restored while the message was being rewritten may have read the old one.
            drop_log(self._records, self.session_id, self.key)
            self._keep_in_tail(self._history.remove_others())
        message = self._layout.message(self.session_id, self.agent_id, message_id)
        for key in (message, self.key, self._history.key):
            self._records.objects.erase(key, keep=[key])


_NOT_COMPARED = frozenset({"created_at", "updated_at", "kit"})


def _by_id(entry: Entry) -> int:
    return entry.message_id


def _size(entries: list[Entry]) -> int:
    """The bytes of entries, near enough to decide when to write a new base."""
    return sum(len(entry.text) + len(entry.etag) + 16 for entry in entries)


def _as_it_is(message: dict[str, Any]) -> dict[str, Any]:
    return message


def _shown(record: Record) -> Message:
    """The message of a record as a conversation shows it."""
    return message_in(record).to_message()


def drop_log(records: Records, session_id: str, key: str) -> None:
    """Take the derived messages out of an agent's record, whoever wrote it last.

    A message is about to change: whatever happens next, nobody may restore the old one from here. Whoever updates the
    record from an older reading is refused as before.
    """
    known = records.known(key)
    record = None
    try:
        for attempt in range(DROP_ATTEMPTS):
            record = records.own(session_id, key)
            if record is None:
                return
            # Written even without a log in it: whoever holds the old message in memory must not store a copy again.
            kit = {name: value for name, value in record.kit.items() if name != "log"}
            try:
                records.update(session_id, key, {**record.content, "kit": kit})
            except SessionConflictError:
                if attempt + 1 == DROP_ATTEMPTS:
                    raise
            else:
                return
    finally:
        if known is not None and record is not None and known.etag != record.stored.etag:
            records.restore_known(key, known)
