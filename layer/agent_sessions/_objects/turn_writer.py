"""Writes the turns of one agent: few round trips, in order, and never over another's writes.

A turn in time, with ``durability="turn"``; n is its first message, m its last::

    restore      GET  session.json, agent.json, history.json
       │              A crash leaves everything as it was.
    fence        PUT  message n                 If-None-Match: *   waited for, before the model is called; with
       │              fence="effects" the model is called meanwhile, and it is waited for before the first effect.
       │              Whoever has written since the restore stands there already, and this writer is refused.
       │              A crash from here on leaves messages behind what agent.json tells of. The next turn meets them
       │              at its own fence, or asks (``RestoredEnd``), and goes on behind them.
    writes       PUT  message n+1 … m-1         If-None-Match: *   each when the one before has been acknowledged,
       │                                                           while the model works
       │         PUT  history.json              If-Match           beside them, when the tail has outgrown the base
       │         GET  messages below the window                    beside them, in a session of Strands' (``PinSearch``)
       │              A crash leaves messages without a gap. The new base is named by no record: nobody believes it,
       │              and the next turn removes it or writes over it.
    last round   PUT  agent.json                If-Match           with copies of n … m in its tail, and m's nonce
       ├──────── PUT  message m                 If-None-Match: *   at the same time
       │              A crash leaves one of:
       │              neither             as after the writes
       │              message m alone     as after the writes: all of the turn is stored, the record lacks it
       │              agent.json alone    m stands in its tail; the next turn writes it from there, under the same
       │                                  nonce, before anything else (``RestoredEnd.confirm``)
       │              both                as after the reply
    reply             Nothing is left to do.

With ``durability="message"`` every message is waited for, and the agent's record is written whenever its value has
changed; a crash then leaves what it leaves after the writes.
"""
# Over 300 lines: the order of a turn is drawn here, and kept in one place.

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from agent_sessions._conversation.journal import Appended
from agent_sessions._objects.before_turn import BEFORE, not_kept
from agent_sessions._objects.ordered_writer import OrderedWriter
from agent_sessions._objects.tail_and_base import Entry
from agent_sessions._records.background import submit
from agent_sessions._records.message_records import message_in
from agent_sessions._records.record_format import new_nonce
from agent_sessions.exceptions import SessionConflictError, SessionException, SessionNotFoundError
from agent_sessions.types import SessionMessage, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from agent_sessions._life.upkeep import Upkeep
    from agent_sessions._objects.agent_objects import AgentObjects
    from agent_sessions._objects.recent_turn import RecentTurn
    from agent_sessions._objects.restored_end import RestoredEnd
    from agent_sessions._records.records import Records
    from agent_sessions.types import SessionAgent

Durability = Literal["message", "turn"]
"""When a message is durable: when ``append_message`` has returned, or at the latest when the turn has ended."""

Fence = Literal["model", "effects"]
"""What a turn's first message is waited for before: the model's call, or the turn's first effect."""

REWRITE_ATTEMPTS = 5
"""Tries of a change to a stored message that somebody else keeps changing."""


@dataclass
class _Unsent:
    """A message that waits to be written while the model works.

    Attributes:
        record: The message as it was when it was appended, or as it has been redacted since.
        nonce: What its write will be told by.
        write: Writes it.
    """

    record: SessionMessage
    nonce: str
    write: Callable[[], None]


class TurnWriter:
    """Writes what one agent's turns do to its objects.

    Args:
        records: Where the records are.
        agent: The agent's objects.
        upkeep: Keeps the session from expiring in pieces.
        durability: See :data:`Durability`.
        holds_lease: Tells whether nobody else may be taking a turn.
        tell_stored: Told the id of each new message that is stored, in order, on whatever thread has stored it.
        recent: Keeps the session in the list of those used last.

    Attributes:
        agent: The agent's objects.
        end: The end of the restored conversation, until it has been added to.
    """

    def __init__(
        self,
        records: Records,
        agent: AgentObjects,
        upkeep: Upkeep,
        *,
        durability: Durability,
        holds_lease: Callable[[], bool],
        tell_stored: Callable[[int], object],
        recent: RecentTurn,
    ) -> None:
        self.agent = agent
        self.end: RestoredEnd | None = None
        self._records = records
        self._session_id = agent.session_id
        self._upkeep = upkeep
        self._durability = durability
        self._holds_lease = holds_lease
        self._tell_stored = tell_stored
        self._recent = recent
        self._writer = OrderedWriter(records.objects)
        self._unsent: dict[int, _Unsent] = {}  # messages that have not been acknowledged
        self._under_way = False  # between the invocation's begin and its end
        self._fenced = False  # whether the turn's first message is stored
        self._closing = False  # the invocation has ended: what is written now may wait for the last round
        self._record_changed = False  # whether the agent's record has to be written

    # --- the turn ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A turn begins."""
        self._under_way, self._fenced, self._closing = True, False, False

    def close(self) -> None:
        """The turn is ending: what is written from now on may be written at once, by :meth:`finish`."""
        self._closing = True
        self.agent.stop_search()

    def finish(self) -> None:
        """Return when everything of the turn is durable, or raise why it is not."""
        try:
            self._writer.wait(leave=1)
            unconfirmed = self._last_unsent()
            if unconfirmed is not None and unconfirmed[0].is_reference:
                self._writer.wait()  # too large for a copy, from which it could be written after a crash
                unconfirmed = None
            self._recent.end()
            if self._record_changed:
                self._write_record(unconfirmed)
                self._record_changed = False
            self._writer.wait()
            self._recent.settle()
            self._upkeep.finish()
        except SessionException:
            self._record_changed = True
            raise
        finally:
            self._under_way = self._closing = False

    def abandon(self) -> None:
        """The turn has failed: return when nothing is being written any more."""
        self._under_way = self._closing = False
        self._upkeep.stop()
        with contextlib.suppress(Exception):  # it has been raised where it happened
            self._writer.wait()
            self._recent.settle()
        self.agent.abandon()

    def _last_unsent(self) -> tuple[Entry, str] | None:
        """The message that is on its way at this moment, if there is one, and its nonce."""
        on_its_way = list(self._unsent.values())
        if not on_its_way:
            return None
        (unsent,) = on_its_way
        return Entry.of(unsent.record.to_dict(), ""), unsent.nonce

    # --- messages ---------------------------------------------------------------------------------------

    def append(self, record: SessionMessage) -> Appended:
        """Store a new message, or have it stored while the model works.

        Raises:
            SessionConflictError: Another writer has stored a message in its place.
        """
        if self._under_way and self._fenced and self._durability == "turn":
            # Serialised now, for the message may be changed before it is sent.
            copy = SessionMessage.from_dict(record.to_dict())
            unsent = _Unsent(copy, new_nonce(), lambda: self._send(record.message_id))
            self._unsent[record.message_id] = unsent
            self._writer.add(unsent.write)
            self._record_changed = True
            return Appended.BEHIND_IT
        appended = self._store(record)
        if appended is not Appended.NOT_YET:
            self._record_appended(record.message_id)
        return appended

    def append_beside(self, record: SessionMessage) -> Future[Appended]:
        """Store a turn's first message, as it is now, beside the caller. Until that is known, ask for nothing else."""
        copy = SessionMessage.from_dict(record.to_dict())
        return submit(self._records.objects, lambda: self.append(copy))

    def _record_appended(self, message_id: int) -> None:
        """A message has been waited for. A turn's first is its fence."""
        self._tell_stored(message_id)
        self._record_changed = True
        if self._under_way and not self._fenced:
            self._fenced = True
            self._upkeep.start()
            self.agent.start_base(before=message_id)
            if not self._upkeep.is_renewing:
                self.agent.search_pins()

    def _send(self, message_id: int) -> None:
        unsent = self._unsent[message_id]
        key, content = self.agent.key_of(message_id), unsent.record.to_dict()
        self._upkeep.before_writing()
        version = self._records.create(self._session_id, key, content, nonce=unsent.nonce)
        self._upkeep.note_created(key, version)
        self.agent.record_message(content, version)
        del self._unsent[message_id]
        self._tell_stored(message_id)

    def _store(self, record: SessionMessage) -> Appended:
        """Create a message and wait for it; behind a restored conversation only when that is the stored one.

        Whether its last message is stored is asked at the same time: the model is not kept waiting for it.
        """
        end = self.end
        if end is not None:
            end.ask_for_last()
        key, content = self.agent.key_of(record.message_id), record.to_dict()
        opens = self._under_way and not self._fenced
        if opens:
            content = self.agent.opening(content)
        self._upkeep.before_writing()
        try:
            version = self._records.create(self._session_id, key, content)
        except SessionConflictError:
            if end is not None and (not end.confirm() or end.goes_on(holds_lease=self._holds_lease())):
                return Appended.NOT_YET
            raise
        self._upkeep.note_created(key, version)
        if opens:
            self._recent.begin(version.written_at, record)
        if end is not None:
            if not end.confirm():
                # It stays where it is: somebody may have gone on behind it already.
                return Appended.BEHIND_ANOTHER
            self.end = None
        if opens:
            self.agent.record_opening(content, version)
        else:
            self.agent.record_message(content, version)
        return Appended.BEHIND_IT

    def fence(self) -> None:
        """Write the agent's record anew, which every other writer has to do.

        Raises:
            SessionConflictError: Somebody has gone on from here.
        """
        end, self.end = self.end, None
        if end is not None and not end.confirm():
            raise SessionConflictError(
                f"session_id={self._session_id}, agent_id={self.agent.agent_id} | another writer came first; "
                "reload the session",
                session_id=self._session_id,
                key=self.agent.key,
            )
        self._write_record()
        known = self._records.known(self.agent.key)
        if known is not None:
            self._recent.begin(known.written_at)

    def rewrite(
        self, message_id: int, change: Callable[[SessionMessage], SessionMessage | None], *, redacts: bool
    ) -> None:
        """Change a message, in storage or before it is sent.

        Args:
            message_id: The message.
            change: Given the record as it is, returns it as it shall be, or ``None`` to leave it alone.
            redacts: Whether nothing may be left of what the message was.

        Raises:
            SessionNotFoundError: There is no such message.
        """
        unsent = self._unsent.get(message_id)
        if unsent is not None:
            if self._writer.before(unsent.write, lambda: _change_unsent(unsent, change)):
                return
            # A write that failed may have been applied: what was taken back has to go all the same.
            with contextlib.suppress(*((Exception,) if redacts else ())):
                self._writer.wait()
        self.agent.before_rewriting(message_id)
        key = self.agent.key_of(message_id)
        for attempt in range(REWRITE_ATTEMPTS):
            record = self._records.own(self._session_id, key)
            if record is None:
                raise SessionNotFoundError(f"key={key} | no such message", session_id=self._session_id, key=key)
            changed = change(message_in(record))
            if changed is None:
                return
            changed.updated_at = utc_now()
            content = changed.to_dict()
            self._recent.before_rewriting(changed, redacts=redacts)
            try:
                self.agent.record_message(content, self._records.update(self._session_id, key, content))
            except SessionConflictError:
                # Somebody changed it at the same moment. A redaction has to win; the others may.
                if attempt + 1 == REWRITE_ATTEMPTS:
                    raise
            else:
                self._record_changed = True
                self._recent.note_rewritten(changed, redacts=redacts)
                if redacts:
                    self.agent.note_rewritten(content)
                    self.agent.forget_redacted(message_id)
                return

    def redact_beside(self, message_ids: Sequence[int], redacted: Callable[[Any], Any]) -> None:
        """See :meth:`WholeTurns.redact_beside`."""
        for message_id in message_ids:
            if message_id in self._unsent:
                continue  # no turn's first: those are waited for
            record = self._records.own(self._session_id, self.agent.key_of(message_id))
            if record is not None and forget_before(message_in(record), redacted):
                self.rewrite(message_id, lambda stored: forget_before(stored, redacted), redacts=True)
        self.agent.redact_record(redacted)

    # --- the agent's record -----------------------------------------------------------------------------

    @property
    def needs_update(self) -> bool:
        """Whether a message was stored outside of a turn, and the tail lacks it."""
        return self._record_changed and not self._under_way

    def update(self, session_agent: SessionAgent) -> None:
        """Replace the agent's record. During a turn it may wait for the turn's last round."""
        if self.agent.has_content(session_agent) and (self._under_way or not self._record_changed):
            return
        self.agent.replace_content(session_agent)
        self._record_changed = True
        if not (self._under_way and (self._closing or self._durability == "turn")):
            self._writer.wait()
            self._write_record()
            self._record_changed = False
            if not self._under_way:
                self._upkeep.finish()

    def _write_record(self, unconfirmed: tuple[Entry, str] | None = None) -> None:
        self._upkeep.before_writing()
        self.agent.write(unconfirmed=unconfirmed)
        known = self._records.known(self.agent.key)
        if known is not None:
            self._upkeep.note_use(known.written_at)


def _change_unsent(unsent: _Unsent, change: Callable[[SessionMessage], SessionMessage | None]) -> None:
    unsent.record = change(unsent.record) or unsent.record


def forget_before(record: SessionMessage, redacted: Callable[[Any], Any]) -> SessionMessage | None:
    """The message without what was before its turn; ``None`` if nothing of that was taken back."""
    kit = record.kit or {}
    before = kit.get(BEFORE)
    if not isinstance(before, dict) or redacted(before) == before:
        return None
    record.kit = {**kit, BEFORE: not_kept(before)}
    return record
