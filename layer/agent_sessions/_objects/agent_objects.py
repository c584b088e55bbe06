"""The objects of one agent: its record with the tail in it, the base, and the messages, which are the truth."""
# Over 300 lines: one agent's record, tail and base change together.

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.journal import Conversation
from agent_sessions._conversation.whole_turns import Later
from agent_sessions._conversation.window import split_window
from agent_sessions._objects.agent_content import AgentContent
from agent_sessions._objects.assembly import Stated
from agent_sessions._objects.base_object import BaseObject
from agent_sessions._objects.before_turn import BEFORE
from agent_sessions._objects.conversation_reader import read_conversation
from agent_sessions._objects.log_removal import drop_log
from agent_sessions._objects.stored_messages import StoredMessages
from agent_sessions._objects.tail_and_base import Entry, Log, read_log, tail_limit, write_log
from agent_sessions._records.message_records import message_in
from agent_sessions._records.own_names import checked_agent
from agent_sessions._records.record_format import kit_of, parsed
from agent_sessions.exceptions import SessionConflictError
from agent_sessions.types import SessionAgent, SessionMessage
from agent_sessions.values import may_hold_marks

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from agent_sessions._objects.pin_search import PinSearch
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions._records.records import Records, Version
    from agent_sessions.object_store import StoredObject

logger = logging.getLogger(__name__)


class AgentObjects:
    """Reads and writes the objects of one agent.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        agent_id: The agent.
        consolidates: Whether to keep a tail and a base.
        time_left: Seconds until whoever waits for the turn has to be answered; ``None`` when nobody says.

    Attributes:
        next_id: The id of the next message.
        from_copies: Whether the conversation was restored from the copies, which may not show the last messages.
        unconfirmed: The nonce of the last message, when its writer may have died before it was stored.
    """

    def __init__(
        self,
        records: Records,
        layout: Layout,
        session_id: str,
        agent_id: str,
        *,
        consolidates: bool,
        time_left: Callable[[], float] | None = None,
    ) -> None:
        self._records = records
        self._layout = layout
        self.session_id = session_id
        self.agent_id = agent_id
        self._consolidates = consolidates
        self._time_left = time_left
        self.key = layout.agent(session_id, agent_id)
        self._base = BaseObject(records, layout, session_id, agent_id)
        self._messages = StoredMessages(records, layout, session_id, agent_id)
        self._content = AgentContent()
        self._search: PinSearch | None = None

        self.next_id = 0
        self.from_copies = False
        self.unconfirmed: str | None = None
        self._first_id = 0  # every stored message from here on is in the base or the tail, and pinned ones below
        self._tail: dict[int, Entry] = {}
        self._copied_in_record: set[int] = set()  # the messages a copy of which is in the stored record
        self._log: Log | None = None  # until the conversation is read
        self._with_marks = False

    # --- restoring --------------------------------------------------------------------------------------

    def create(self, agent: SessionAgent) -> None:
        """Create the agent's record."""
        self._records.objects.make_folder(self._layout.messages_folder(self.session_id, self.agent_id))
        self.replace_content(agent)
        self._records.create_head(self.session_id, self.key, self._with_log(unconfirmed=None))

    def read(self, found: Record | None) -> SessionAgent | None:
        """Take over the agent's record.

        Args:
            found: The record that stands at its key, of any life of the session.

        Returns:
            The record, or ``None`` when the session has no agent of this id.
        """
        record = self._records.accept(self.session_id, found)
        if record is None:
            return self._orphaned()
        self._content.read(checked_agent(record, self.agent_id))
        if self._consolidates:
            self._log = read_log(record.kit.get("log"))
            self._with_marks = may_hold_marks(record.stored.body)
            self._copied_in_record = {copy.message_id for copy in self._log.tail} if self._log else set()
        return parsed(SessionAgent, record)

    def expect_base(self, asked: Future[StoredObject | None]) -> None:
        """Take over the base, if there is one.

        Args:
            asked: The object at the base's key.
        """
        self._base.expect(asked)

    @property
    def recent_day(self) -> int | None:
        """The day of the agent's marker, as its record notes it or shall: see ``recent_markers``."""
        return self._content.recent_day

    @recent_day.setter
    def recent_day(self, day: int) -> None:
        self._content.recent_day = day

    @property
    def stated_next_id(self) -> int | None:
        """The id of the next message as the record has it, before it is known whether the copies are believed."""
        return self._log.next_id if self._log else None

    def _orphaned(self) -> SessionAgent | None:
        """The record of an agent whose own was deleted while its messages were not, by a lifecycle rule perhaps."""
        listing = self._messages.list()
        while not (listed := listing.go_on()):
            if listing.is_whole:
                return None
        logger.warning(
            "session_id=<%s>, agent_id=<%s>, messages=<%d%s> | agent.json is missing: its messages are kept, its "
            "state is lost",
            self.session_id,
            self.agent_id,
            len(listed),
            "" if listing.is_whole else " or more",
        )
        agent = SessionAgent(self.agent_id, {}, {})
        self.create(agent)
        return agent

    def conversation(self, removed_message_count: int) -> Conversation:
        """Read what the agent's conversation manager still wants of its messages.

        Args:
            removed_message_count: How many unpinned messages it has removed.

        Raises:
            SessionBusyError: It is too long to be read in the time there is; the next restore goes on.
        """
        stated = Stated(
            removed=removed_message_count,
            pinned=self._content.pinned,
            unsearched=self._content.unsearched_below(removed_message_count),
            takes_over=not self._content.is_of_kit,
            log=self._log,
            consolidates=self._consolidates,
            with_marks=self._with_marks,
        )
        found = read_conversation(stated, self._base, self._messages, time_left=self._time_left)
        self._log = None  # read once; what remains is what the next write needs
        self.next_id, self.unconfirmed, self.from_copies = found.next_id, found.unconfirmed, found.from_copies
        self._first_id, self._tail, self._content.unsearched = found.first_id, found.tail, found.unsearched
        pinned, window = split_window(found.messages, removed_message_count)
        return Conversation(pinned, window, self.next_id)

    def later(self) -> Later:
        """The messages beyond the restored conversation."""
        first_id = self.next_id
        found = self._messages.read_behind(first_id)
        if self._consolidates:
            self._tail |= {number: Entry.of(record.content, record.stored.etag) for number, record in found.items()}
        self.next_id = max(found, default=first_id - 1) + 1
        return Later(first_id, [(number, message_in(record).to_message()) for number, record in found.items()])

    def key_of(self, message_id: int) -> str:
        """The key of a message."""
        return self._messages.key(message_id)

    def read_message(self, message_id: int) -> SessionMessage | None:
        """A message as it is stored. Costs one read."""
        record = self._records.own(self.session_id, self.key_of(message_id))
        return None if record is None else message_in(record)

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

    def opening(self, content: dict[str, Any]) -> dict[str, Any]:
        """A message's record as the first of a turn: a fork can go back to what was before it."""
        return {**content, "kit": {**kit_of(content), BEFORE: self._content.before_turn()}}

    def record_opening(self, content: dict[str, Any], version: Version) -> None:
        """The first message of a turn has been stored: see :meth:`opening`."""
        self.record_message(content, version)
        self._content.note_first(int(content["message_id"]), kit_of(content)[BEFORE])

    def record_message(self, content: dict[str, Any], version: Version) -> None:
        """A message has been stored, or stored anew."""
        message_id = int(content["message_id"])
        self.next_id = max(self.next_id, message_id + 1)
        if self._consolidates:
            self._tail[message_id] = Entry.of(content, version.etag)

    def replace_content(self, agent: SessionAgent) -> None:
        """The agent's record shall be this one, from its next writing on."""
        known = self._records.known(self.key)
        agent.created_at = (known.created_at if known else None) or agent.created_at
        self._content.replace(agent)

    def has_content(self, agent: SessionAgent) -> bool:
        """Whether the agent's record has this value already, apart from its timestamps."""
        return self._content.equals(agent)

    def search_pins(self) -> None:
        """Begin to search messages below the window for pins, beside a turn; each record says how far it has come."""
        self.stop_search()
        if self._content.unsearched:
            from agent_sessions._objects.pin_search import PinSearch

            self._search = PinSearch(self._records, self.session_id, self.key_of, self._content.unsearched)
            self._search.start()

    def stop_search(self) -> None:
        """Search no more: what has been searched is known, the rest is left for another turn."""
        search, self._search = self._search, None
        if search is not None:
            search.stop()
            self._content.note_searched(*search.searched)

    def write(self, *, unconfirmed: tuple[Entry, str] | None = None) -> None:
        """Write the agent's record, with the tail in it.

        Args:
            unconfirmed: The last message and its nonce, when it is being written at the same time.
        """
        if self._search is not None:
            self._content.note_searched(*self._search.searched)
        self._take_over_new_base()
        content = self._with_log(unconfirmed=unconfirmed)
        # Noted before the write: its answer may be lost although it was applied.
        self._copied_in_record |= {*list(self._tail), *([unconfirmed[0].message_id] if unconfirmed else [])}
        self._base.settle()
        try:
            if self._records.known(self.key) is None:
                self._records.create(self.session_id, self.key, content)
            else:
                self._records.update(self.session_id, self.key, content)
        except SessionConflictError:
            self._base.withdraw()
            raise
        self._base.record_written()
        self._copied_in_record = {*list(self._tail), *([unconfirmed[0].message_id] if unconfirmed else [])}

    def _with_log(self, *, unconfirmed: tuple[Entry, str] | None) -> dict[str, Any]:
        """The agent's record as it is to be written."""
        if not self._consolidates:
            return self._content.to_dict(log=None)
        self._trim()
        by_id = dict(self._tail)  # one step: the last message may arrive from another thread at this moment
        if unconfirmed is not None:
            by_id.setdefault(unconfirmed[0].message_id, unconfirmed[0])
        tail = sorted(by_id.values(), key=_by_id)
        if _size(tail) > 2 * tail_limit(self._base.size):
            return self._content.to_dict(log=None)
        log = write_log(
            first_id=self._first_id,
            next_id=tail[-1].message_id + 1 if tail else self.next_id,
            base=self._base.base.nonce if self._base.base else None,
            tail=tail,
            unconfirmed=unconfirmed[1] if unconfirmed else None,
        )
        return self._content.to_dict(log=log)

    def _trim(self) -> None:
        """Leave out what the conversation manager has removed: nobody restores it from here.

        With pins its count is less than the id of the window's first message, never more.
        """
        removed = self._content.removed_count
        if removed <= self._first_id:
            return
        self._first_id = removed
        below, copied = self._content.kept_below, list(self._tail)
        if below:
            below.add(max(copied, default=0))  # the tail ends where the conversation does
        self._forget_copies([number for number in copied if number < removed and number not in below])
        base = self._base.base
        if base is not None and base.last_id < removed and not any(number <= base.last_id for number in below):
            self._base.let_go()

    def start_base(self, *, before: int) -> None:
        """Begin to write a new base if the tail has outgrown the old one; :meth:`write` waits for it.

        Args:
            before: The first message of the turn that begins. It is not in the base: it may be redacted yet.
        """
        if not self._consolidates:
            return
        tail = [entry for entry in list(self._tail.values()) if entry.message_id < before]
        if _size(tail) <= tail_limit(self._base.size):
            self._base.sweep()
            return
        below, base = self._content.kept_below, self._base.base
        copies = {entry.message_id: entry for entry in [*(base.entries() if base else []), *tail]}
        wanted = [number for number in sorted(copies) if number >= self._first_id or number in below]
        self._base.begin([copies[number] for number in wanted], first_id=self._first_id)

    def abandon(self) -> None:
        """The turn has failed: leave no base behind that no record names."""
        self.stop_search()
        self._base.settle()
        self._base.withdraw()

    def _forget_copies(self, message_ids: list[int]) -> None:
        # One by one, in place: the last message may be added from another thread at this moment.
        for message_id in message_ids:
            self._tail.pop(message_id, None)

    def _take_over_new_base(self) -> None:
        base = self._base.take_over()
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
        self._keep_in_tail(self._base.remove(message_id))
        if message_id in self._copied_in_record:
            drop_log(self._records, self.session_id, self.key)
            self._copied_in_record = set()
        self._tail.pop(message_id, None)

    def redact_record(self, redacted: Callable[[Any], Any]) -> None:
        """Take something back out of the agent's record, and out of its older versions where they are kept."""
        if self._content.redact(redacted):
            drop_log(self._records, self.session_id, self.key, redacted=redacted)
            self._records.objects.erase(self.key, keep=[self.key])

    def note_rewritten(self, content: dict[str, Any]) -> None:
        """A message has been redacted: it may not carry any more what was before its turn."""
        self._content.note_rewritten(int(content["message_id"]), kit_of(content))

    def forget_redacted(self, message_id: int) -> None:
        """Leave nothing of what a message was: with readers of before, and in older versions where they are kept."""
        if self._consolidates:
            # Whoever was restored while the message was being rewritten may have read the old one.
            drop_log(self._records, self.session_id, self.key)
            self._keep_in_tail(self._base.remove_others())
        for key in (self.key_of(message_id), self.key, self._base.key):
            self._records.objects.erase(key, keep=[key])


def _by_id(entry: Entry) -> int:
    return entry.message_id


def _size(entries: list[Entry]) -> int:
    """The bytes of entries, near enough to decide when to write a new base."""
    return sum(len(entry.text) + len(entry.etag) + 16 for entry in entries)
