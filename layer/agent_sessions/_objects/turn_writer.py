"""Writes the turns of a session kept as objects: few round trips, in order, and never over another's writes.

A restore asks for three known names at once: the session's record, the agent's record with the latest messages in it,
and the consolidated messages before those (see ``history``).

A turn creates its first message and waits for it before the model is called. That is the fence: whoever else has
written since the restore stands there already, and this writer is refused. With ``durability="turn"`` the messages
after it are written while the model works, one after the other, and the last of them at the same time as the agent's
record. Nothing is left to do when the turn has ended.

A turn also keeps its session from expiring in pieces: see ``expiry`` and ``upkeep``.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agent_sessions._conversation.journal import Appended, Conversation, Journal
from agent_sessions._life.upkeep import Upkeep
from agent_sessions._objects.agent_objects import AgentObjects
from agent_sessions._objects.copies import Entry
from agent_sessions._objects.orchestrators import OrchestratorObjects
from agent_sessions._objects.ordered_writer import OrderedWriter
from agent_sessions._objects.restored_end import RestoredEnd
from agent_sessions._records.background import HEAD_START_SECONDS, submit
from agent_sessions._records.layout import agent_id_of
from agent_sessions._records.message_records import message_in
from agent_sessions._records.records import new_nonce
from agent_sessions.exceptions import SessionConflictError, SessionException, SessionNotFoundError
from agent_sessions.turn_request import TurnLog
from agent_sessions.types import SessionMessage, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from strands.types.content import Message

    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.records import Records
    from agent_sessions.lease import SessionLease
    from agent_sessions.object_store import StoredObject
    from agent_sessions.turn_request import TurnRecord
    from agent_sessions.types import Session, SessionAgent

logger = logging.getLogger(__name__)

Durability = Literal["message", "turn"]
"""When a message is durable: when ``append_message`` has returned, or at the latest when the turn has ended."""

DEFAULT_AGENT_ID = "default"
"""The id Strands gives to an agent that has none."""

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


@dataclass
class _Turn:
    """How far an agent's turn has come.

    Attributes:
        under_way: Between the invocation's begin and its end.
        fenced: The turn's first message is stored.
        closing: The invocation has ended; what is written now may wait for the last round.
        record_changed: The agent's record has to be written.
        writer: Writes the messages after the first.
        unsent: Messages that have not been acknowledged, by id.
    """

    writer: OrderedWriter
    under_way: bool = False
    fenced: bool = False
    closing: bool = False
    record_changed: bool = False
    unsent: dict[int, _Unsent] = field(default_factory=dict)


class ObjectJournal(Journal):
    """Opens one session and writes its turns.

    Args:
        records: Where the records are.
        layout: How they are named.
        life: Begins and finds the session.
        session_id: The session.
        durability: See :data:`Durability`.
        consolidates: Whether to keep derived copies for a restore in one round trip.
        agent_id: The agent whose records are asked for together with the session's.
        lease: The session's lease, where the caller has taken it.
        time_left: Seconds until whoever waits for a turn has to be answered; ``None`` when nobody says.
    """

    def __init__(
        self,
        records: Records,
        layout: Layout,
        life: SessionLife,
        session_id: str,
        *,
        durability: Durability,
        consolidates: bool,
        agent_id: str | None,
        lease: SessionLease | None,
        time_left: Callable[[], float] | None = None,
    ) -> None:
        self.session_id = session_id
        self._records = records
        self._layout = layout
        self._life = life
        self._durability = durability
        self._consolidates = consolidates
        self._expected_agent_id = agent_id
        self._lease = lease
        self._asked: dict[str, Future[StoredObject | None]] = {}
        self._agents: dict[str, AgentObjects] = {}
        self._ends: dict[str, RestoredEnd] = {}  # of conversations that have not been added to yet
        self._turns: dict[str, _Turn] = {}
        self._upkeep = Upkeep(records, layout, life, session_id, time_left=time_left)
        self._orchestrators = OrchestratorObjects(records, layout, session_id, self._upkeep)

    # --- restoring --------------------------------------------------------------------------------------

    def open(self) -> tuple[Session, bool]:
        """See :meth:`Journal.open`."""
        if not self._consolidates:
            return self._life.find_or_begin(self.session_id)
        agent_id = self._expected_agent_id or self._records.objects.hints.get("agent_id", DEFAULT_AGENT_ID)
        key = self._layout.agent(self.session_id, agent_id)

        def last_written() -> StoredObject | None:
            return self._asked[key].result()  # as it was asked for last

        return self._life.find_or_begin(self.session_id, look_too=lambda: self._ask_for(agent_id), likely=last_written)

    def _ask_for(self, agent_id: str) -> None:
        """Begin to read an agent's record, and the base that may go with it."""
        objects = self._records.objects
        record = self._layout.agent(self.session_id, agent_id)
        self._asked[record] = submit(objects, lambda: objects.get(record))
        if self._consolidates:
            base = self._layout.history(self.session_id, agent_id)
            # Short sessions have none, and no restore of theirs waits for it.
            self._asked[base] = submit(objects, lambda: objects.get(base), head_start=HEAD_START_SECONDS)

    def read_agent(self, agent_id: str) -> SessionAgent | None:
        """See :meth:`Journal.read_agent`."""
        key = self._layout.agent(self.session_id, agent_id)
        if key not in self._asked:
            self._ask_for(agent_id)
        base = self._asked.pop(self._layout.history(self.session_id, agent_id), None)
        objects = self._objects_of(agent_id)
        self._records.objects.hints["agent_id"] = agent_id
        record = objects.read(self._asked.pop(key).result())
        if record is not None:
            known = self._records.known(key)
            if known is not None:
                self._upkeep.was_used(known.written_at)
            self._ends[agent_id] = RestoredEnd(self._records, self._layout, objects, holds_lease=self._holds_lease())
            if base is not None:
                objects.read_base(base)
        return record

    def key_of_agent(self, agent_id: str) -> str:
        """See :meth:`Journal.key_of_agent`."""
        return self._layout.agent(self.session_id, agent_id)

    def key_of_multi_agent(self, multi_agent_id: str) -> str:
        """See :meth:`Journal.key_of_multi_agent`."""
        return self._layout.multi_agent(self.session_id, multi_agent_id)

    def create_agent(self, session_agent: SessionAgent) -> None:
        """See :meth:`Journal.create_agent`."""
        agent_id = session_agent.agent_id
        for key in (self._layout.agent(self.session_id, agent_id), self._layout.history(self.session_id, agent_id)):
            self._asked.pop(key, None)  # read before the agent was there: if another caller is faster, it is read anew
        self._objects_of(session_agent.agent_id).create(session_agent)

    def read_conversation(self, session_agent: SessionAgent, removed_message_count: int) -> Conversation:
        """See :meth:`Journal.read_conversation`."""
        return self._agents[session_agent.agent_id].conversation(removed_message_count)

    def read_later(self, agent_id: str) -> tuple[int, list[tuple[int, Message]]]:
        """See :meth:`Journal.read_later`. Whoever is faster once more is no turn that was cut off."""
        self._ends.pop(agent_id, None)
        return self._agents[agent_id].later()

    def has_later(self, agent_id: str) -> bool:
        """See :meth:`Journal.has_later`. Costs one read; in a folder a restore has read everything there is."""
        end = self._ends.get(agent_id)
        if end is None:
            return False  # it was created here, or has been written to
        return not end.confirm() or end.has_more()

    def read_records(self, agent_id: str, first_id: int, end_id: int) -> list[SessionMessage]:
        """See :meth:`Journal.read_records`. All at once."""
        keys = [self._layout.message(self.session_id, agent_id, number) for number in range(first_id, end_id)]
        return [message_in(record) for record in self._records.own_many(self.session_id, keys)]

    def find_elsewhere(self, agent_id: str, key: str) -> TurnRecord | None:
        """See :meth:`Journal.find_elsewhere`. Costs a listing."""
        folder = self._layout.session_folder(self.session_id)
        below = (agent_id_of(entry.key[len(folder) :]) for entry in self._records.objects.list(folder))
        others = [found[0] for found in below if found and found[1] == "agent.json" and found[0] != agent_id]
        records = self._records.own_many(
            self.session_id, [self._layout.agent(self.session_id, other) for other in others]
        )
        turns = (TurnLog(record.kit.get("turns")).find(key) for record in records)
        return next((turn for turn in turns if turn is not None), None)

    # --- messages ---------------------------------------------------------------------------------------

    def append(self, agent_id: str, record: SessionMessage) -> Appended:
        """See :meth:`Journal.append`."""
        turn = self._turns[agent_id]
        if turn.under_way and turn.fenced and self._durability == "turn":
            # Serialised now, for the message may be changed before it is sent.
            copy = SessionMessage.from_dict(record.to_dict())
            unsent = _Unsent(copy, new_nonce(), lambda: self._send(agent_id, record.message_id))
            turn.unsent[record.message_id] = unsent
            turn.writer.add(unsent.write)
            turn.record_changed = True
            return Appended.BEHIND_IT
        appended = self._store(agent_id, record)
        if appended is not Appended.NOT_YET:
            self._is_stored(agent_id, record.message_id)
        return appended

    def _is_stored(self, agent_id: str, message_id: int) -> None:
        """A message has been waited for. A turn's first is its fence."""
        self._tell_stored(agent_id, message_id)
        turn = self._turns[agent_id]
        turn.record_changed = True
        if turn.under_way and not turn.fenced:
            turn.fenced = True
            self._upkeep.start()
            self._agents[agent_id].start_base(before=message_id)

    def _send(self, agent_id: str, message_id: int) -> None:
        unsent = self._turns[agent_id].unsent
        record = unsent[message_id].record
        key, content = self._layout.message(self.session_id, agent_id, message_id), record.to_dict()
        self._upkeep.before_writing()
        version = self._records.create(self.session_id, key, content, nonce=unsent[message_id].nonce)
        self._upkeep.created(key, version)
        self._agents[agent_id].has_stored(content, version)
        del unsent[message_id]
        self._tell_stored(agent_id, message_id)

    def _store(self, agent_id: str, record: SessionMessage) -> Appended:
        """Create a message and wait for it; behind a restored conversation only when that is the stored one.

        Whether its last message is stored is asked at the same time: the model is not kept waiting for it.
        """
        end = self._ends.get(agent_id)
        if end is not None:
            end.ask_for_last()
        key, content = self._layout.message(self.session_id, agent_id, record.message_id), record.to_dict()
        self._upkeep.before_writing()
        try:
            version = self._records.create(self.session_id, key, content)
        except SessionConflictError:
            if end is not None and (not end.confirm() or end.goes_on(holds_lease=self._holds_lease())):
                return Appended.NOT_YET
            raise
        self._upkeep.created(key, version)
        if end is not None:
            if not end.confirm():
                # It stays where it is: somebody may have gone on behind it already.
                return Appended.BEHIND_ANOTHER
            del self._ends[agent_id]
        self._agents[agent_id].has_stored(content, version)
        return Appended.BEHIND_IT

    def _holds_lease(self) -> bool:
        return self._lease is not None and self._lease.held

    def fence(self, agent_id: str) -> None:
        """See :meth:`Journal.fence`: the agent's record is written anew, which every other writer has to do."""
        end = self._ends.pop(agent_id, None)
        if end is not None and not end.confirm():
            raise SessionConflictError(
                f"session_id={self.session_id}, agent_id={agent_id} | another writer came first; reload the session",
                session_id=self.session_id,
                key=self._agents[agent_id].key,
            )
        self._write(self._agents[agent_id])

    def rewrite(
        self,
        agent_id: str,
        message_id: int,
        change: Callable[[SessionMessage], SessionMessage | None],
        *,
        redacts: bool = False,
    ) -> None:
        """See :meth:`Journal.rewrite`. A message that waits to be sent is changed before it is."""
        turn = self._turns[agent_id]
        unsent = turn.unsent.get(message_id)
        if unsent is not None:
            if turn.writer.before(unsent.write, lambda: _change_unsent(unsent, change)):
                return
            # A write that failed may have been applied: what was taken back has to go all the same.
            with contextlib.suppress(*((Exception,) if redacts else ())):
                turn.writer.wait()
        objects = self._agents[agent_id]
        objects.before_rewriting(message_id)
        key = self._layout.message(self.session_id, agent_id, message_id)
        for attempt in range(REWRITE_ATTEMPTS):
            record = self._records.own(self.session_id, key)
            if record is None:
                raise SessionNotFoundError(f"key={key} | no such message", session_id=self.session_id, key=key)
            changed = change(message_in(record))
            if changed is None:
                return
            changed.updated_at = utc_now()
            content = changed.to_dict()
            try:
                objects.has_stored(content, self._records.update(self.session_id, key, content))
            except SessionConflictError:
                # Somebody changed it at the same moment. A redaction has to win; the others may.
                if attempt + 1 == REWRITE_ATTEMPTS:
                    raise
            else:
                turn.record_changed = True
                if redacts:
                    objects.forget_redacted(message_id)
                return

    # --- state and turns --------------------------------------------------------------------------------

    def update_agent(self, session_agent: SessionAgent) -> None:
        """See :meth:`Journal.update_agent`. During a turn it may wait for the turn's last round."""
        objects = self._agents[session_agent.agent_id]
        turn = self._turns[session_agent.agent_id]
        if objects.has_content(session_agent) and (turn.under_way or not turn.record_changed):
            return
        objects.replace_content(session_agent)
        turn.record_changed = True
        if not (turn.under_way and (turn.closing or self._durability == "turn")):
            turn.writer.wait()
            self._write(objects)
            turn.record_changed = False
            if not turn.under_way:
                self._upkeep.finish()

    def _write(self, objects: AgentObjects, unconfirmed: tuple[Entry, str] | None = None) -> None:
        self._upkeep.before_writing()
        objects.write(unconfirmed=unconfirmed)
        known = self._records.known(objects.key)
        if known is not None:
            self._upkeep.used(known.written_at)

    def needs_update(self, agent_id: str) -> bool:
        """See :meth:`Journal.needs_update`: a message was stored outside of a turn, and the tail lacks it."""
        turn = self._turns[agent_id]
        return turn.record_changed and not turn.under_way

    def begin_turn(self, agent_id: str) -> None:
        """See :meth:`Journal.begin_turn`."""
        turn = self._turns[agent_id]
        turn.under_way, turn.fenced, turn.closing = True, False, False

    def close_turn(self, agent_id: str) -> None:
        """See :meth:`Journal.close_turn`."""
        self._turns[agent_id].closing = True

    def end_turn(self, agent_id: str) -> None:
        """See :meth:`Journal.end_turn`."""
        turn = self._turns[agent_id]
        objects = self._agents[agent_id]
        try:
            turn.writer.wait(leave=1)
            unconfirmed = self._last_unsent(turn)
            if unconfirmed is not None and unconfirmed[0].is_reference:
                turn.writer.wait()  # too large for a copy, from which it could be written after a crash
                unconfirmed = None
            if turn.record_changed:
                self._write(objects, unconfirmed)
                turn.record_changed = False
            turn.writer.wait()
            self._upkeep.finish()
        except SessionException:
            turn.record_changed = True
            raise
        finally:
            turn.under_way = turn.closing = False

    def abandon_turn(self, agent_id: str) -> None:
        """See :meth:`Journal.abandon_turn`."""
        turn = self._turns[agent_id]
        turn.under_way = turn.closing = False
        self._upkeep.stop()
        with contextlib.suppress(Exception):  # it has been raised where it happened
            turn.writer.wait()
        self._agents[agent_id].abandon()

    @staticmethod
    def _last_unsent(turn: _Turn) -> tuple[Entry, str] | None:
        """The message that is on its way at this moment, if there is one."""
        on_its_way = list(turn.unsent.values())
        if not on_its_way:
            return None
        (unsent,) = on_its_way
        return Entry.of(unsent.record.to_dict(), ""), unsent.nonce

    # --- orchestrators ----------------------------------------------------------------------------------

    def read_multi_agent(self, multi_agent_id: str) -> dict[str, Any] | None:
        """See :meth:`Journal.read_multi_agent`."""
        return self._orchestrators.read(multi_agent_id)

    def create_multi_agent(self, source: Any) -> None:
        """See :meth:`Journal.create_multi_agent`."""
        self._orchestrators.create(source)

    def update_multi_agent(self, source: Any) -> None:
        """See :meth:`Journal.update_multi_agent`."""
        self._orchestrators.update(source)

    def _objects_of(self, agent_id: str) -> AgentObjects:
        objects = AgentObjects(self._records, self._layout, self.session_id, agent_id, consolidates=self._consolidates)
        self._agents[agent_id] = objects
        self._turns[agent_id] = _Turn(OrderedWriter(self._records.objects))
        return objects


def _change_unsent(unsent: _Unsent, change: Callable[[SessionMessage], SessionMessage | None]) -> None:
    unsent.record = change(unsent.record) or unsent.record
