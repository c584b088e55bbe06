"""Opens a session that is kept as objects, restores its agents, and has their turns written.

A restore asks for three known names at once: the session's record, the agent's record with the latest messages in it,
and the base, which holds those before (see ``tail_and_base``). The rest of a session's life is in ``turn_writer``.

A turn also keeps its session from expiring in pieces: see ``expiry`` and ``upkeep``.
"""
# Over 300 lines: everything a session manager asks of a session; most of it is handed on.

from __future__ import annotations

from concurrent.futures import wait
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.journal import Appended, Conversation, Journal
from agent_sessions._conversation.whole_turns import Later, WholeTurns
from agent_sessions._life.upkeep import Upkeep
from agent_sessions._objects.orchestrators import OrchestratorObjects
from agent_sessions._objects.read_ahead import ReadAhead, expected_agent
from agent_sessions._records.background import HEAD_START_SECONDS, submit
from agent_sessions._records.message_records import list_agent_ids, message_in
from agent_sessions._records.record_format import incarnation_of, parse
from agent_sessions.exceptions import SessionConflictError, SessionException
from agent_sessions.expiry import is_expired
from agent_sessions.turn_request import TurnLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._objects.turn_writer import Durability, Fence, TurnWriter
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions._records.records import Records
    from agent_sessions.lease import SessionLease
    from agent_sessions.object_store import StoredObject
    from agent_sessions.turn_request import TurnRecord
    from agent_sessions.types import Session, SessionAgent, SessionMessage

AGENTS_SEARCHED = 500
"""Agents of a session whose turns a new agent looks through for a request that another one has answered."""


class ObjectJournal(Journal, WholeTurns):
    """Opens one session and writes its turns.

    Args:
        records: Where the records are.
        layout: How they are named.
        life: Begins and finds the session.
        session_id: The session.
        durability: See :data:`Durability`.
        fence: See :data:`Fence`.
        consolidates: Whether to keep derived copies for a restore in one round trip.
        agent_id: The agent whose records are asked for together with the session's.
        lease: The session's lease, where the caller has taken it.
        time_left: Seconds until whoever waits for a turn has to be answered; ``None`` when nobody says.
        read_ahead: What was asked for while the lease was being taken.
    """

    def __init__(
        self,
        records: Records,
        layout: Layout,
        life: SessionLife,
        session_id: str,
        *,
        durability: Durability,
        fence: Fence,
        consolidates: bool,
        agent_id: str | None,
        lease: SessionLease | None,
        time_left: Callable[[], float] | None = None,
        read_ahead: ReadAhead | None = None,
    ) -> None:
        self.session_id = session_id
        self._records = records
        self._layout = layout
        self._life = life
        self._durability = durability
        self.fences_effects = fence == "effects"
        self._consolidates = consolidates
        self._expected_agent_id = agent_id
        self._lease = lease
        self._time_left = time_left
        if read_ahead is not None and (lease is None or read_ahead.session_id != session_id):
            raise ValueError("read_ahead | it is for a session whose lease is taken, and for that session alone")
        self._read_ahead = read_ahead
        self._seen: Record | None = None  # an agent's record that was read while the lease was being taken
        self._is_ahead = False  # whether there was one, and so something restored may be older than the lease
        self._asked: dict[str, Future[StoredObject | None]] = {}
        self._writers: dict[str, TurnWriter] = {}
        self._upkeep = Upkeep(records, layout, life, session_id, time_left=time_left, told=self._tell_of_renewal)
        self.orchestrators = OrchestratorObjects(records, layout, session_id, self._upkeep)

    @property
    def turns(self) -> ObjectJournal:
        """This journal: it keeps turns as a whole."""
        return self

    # --- restoring --------------------------------------------------------------------------------------

    def open(self) -> tuple[Session | Future[Session], bool]:
        """See :meth:`Journal.open`."""
        if not self._consolidates:
            return self._life.find_or_begin(self.session_id)
        expected = self._read_ahead.agent_id if self._read_ahead is not None else expected_agent(self._records.objects)
        agent_id = self._expected_agent_id or expected
        key = self._layout.agent(self.session_id, agent_id)

        def last_written() -> StoredObject | None:
            return self._asked[key].result()  # as it was asked for last

        if (found := self._open_ahead(key)) is not None:
            return found, False
        return self._life.find_or_begin(self.session_id, look_too=lambda: self._ask_for(agent_id), likely=last_written)

    def _open_ahead(self, agent_key: str) -> Future[Session] | None:
        """Go on with the life of the session that an agent's record, read while the lease was being taken, is of.

        Returns:
            The session, which is being read under the lease; ``None`` if there is no such record.
        """
        ahead, self._read_ahead = self._read_ahead, None
        asked = ahead.take(self._lease) if ahead is not None else {}
        if agent_key not in asked:
            return None
        try:
            record = parse(agent_key, asked.pop(agent_key).result())
        except SessionException:
            return None  # it is asked for again
        incarnation = incarnation_of(record.content) if record is not None else None
        if record is None or incarnation is None:
            return None
        seen = record.stored
        if is_expired(seen.last_modified, seen.read_at, self._life.ttl_days):
            return None  # and so, probably, is the session
        self._asked, self._seen, self._is_ahead = asked, record, True
        self._records.live_in(self.session_id, incarnation)
        # The fence finds turns that came first. It does not find an erasure, which leaves nothing in its place.
        session = submit(self._records.objects, partial(self._life.find_life, self.session_id, seen))
        self._records.write_only_after(session, self.session_id)
        return session

    def _tell_of_renewal(self, renewed: int, failed: bool) -> None:
        if self.told_of_renewal is not None:
            self.told_of_renewal(renewed, failed)

    def _ask_for(self, agent_id: str) -> None:
        """Begin to read an agent's record, and the base that may go with it."""
        objects = self._records.objects
        record = self._layout.agent(self.session_id, agent_id)
        asked = self._asked[record] = submit(objects, lambda: objects.get(record))
        if self._consolidates:
            base = self._layout.history(self.session_id, agent_id)
            # The first restore with a client asks for it behind the record: a third connection would take longer.
            before = asked if objects.hints.get("unused") else None

            def get_base() -> StoredObject | None:
                if before is not None:
                    wait([before])
                return objects.get(base)

            # Short sessions have none, and no restore of theirs waits for it.
            self._asked[base] = submit(objects, get_base, head_start=HEAD_START_SECONDS)

    def read_agent(self, agent_id: str) -> SessionAgent | None:
        """See :meth:`Journal.read_agent`."""
        key = self._layout.agent(self.session_id, agent_id)
        seen = self._take_seen(key)
        if seen is None and key not in self._asked:
            self._ask_for(agent_id)
        base = self._asked.pop(self._layout.history(self.session_id, agent_id), None)
        writer = self._writer_of(agent_id)
        self._records.objects.hints["agent_id"] = agent_id
        self._records.objects.hints.pop("unused", None)
        record = writer.agent.read(seen or parse(key, self._asked.pop(key).result()))
        if self._is_ahead and record is not None and record.waits_for_answers:
            # What it waits for is told without a fence: not what it waited for before the lease was held.
            self._records.wait_for_condition()
            seen, record = None, writer.agent.read(self._records.get(key))
        if record is not None:
            known = self._records.known(key)
            if known is not None and seen is None:  # else it has been noted, as the last turn's
                self._upkeep.note_earlier_use(known.written_at)
            from agent_sessions._objects.restored_end import RestoredEnd

            writer.end = RestoredEnd(self._records, self._layout, writer.agent, holds_lease=self._holds_lease())
            if base is not None:
                writer.agent.expect_base(base)
        return record

    def _take_seen(self, key: str) -> Record | None:
        seen, self._seen = self._seen, None
        return seen if seen is not None and seen.key == key else None

    def _writer_of(self, agent_id: str) -> TurnWriter:
        # Here: whoever opens a session and restores no agent does not load them.
        from agent_sessions._objects.agent_objects import AgentObjects
        from agent_sessions._objects.recent_turn import RecentTurn
        from agent_sessions._objects.turn_writer import TurnWriter

        agent = AgentObjects(
            self._records,
            self._layout,
            self.session_id,
            agent_id,
            consolidates=self._consolidates,
            time_left=self._time_left,
        )
        writer = TurnWriter(
            self._records,
            agent,
            self._upkeep,
            durability=self._durability,
            holds_lease=self._holds_lease,
            tell_stored=partial(self._tell_stored, agent_id),
            recent=RecentTurn(self._records, self._layout, self._life, agent),
        )
        self._writers[agent_id] = writer
        return writer

    def _holds_lease(self) -> bool:
        return self._lease is not None and self._lease.held

    def key_of_agent(self, agent_id: str) -> str:
        """See :meth:`WholeTurns.key_of_agent`."""
        return self._layout.agent(self.session_id, agent_id)

    def create_agent(self, session_agent: SessionAgent) -> None:
        """See :meth:`Journal.create_agent`."""
        agent_id = session_agent.agent_id
        for key in (self._layout.agent(self.session_id, agent_id), self._layout.history(self.session_id, agent_id)):
            self._asked.pop(key, None)  # read before the agent was there: if another caller is faster, it is read anew
        self._writer_of(agent_id).agent.create(session_agent)

    def read_conversation(self, session_agent: SessionAgent, removed_message_count: int) -> Conversation:
        """See :meth:`Journal.read_conversation`."""
        return self._writers[session_agent.agent_id].agent.conversation(removed_message_count)

    def read_later(self, agent_id: str) -> Later:
        """See :meth:`WholeTurns.read_later`. Whoever is faster once more is no turn that was cut off."""
        self._require_current(agent_id)
        writer = self._writers[agent_id]
        writer.end = None
        return writer.agent.later()

    def has_later(self, agent_id: str) -> bool:
        """See :meth:`WholeTurns.has_later`. Costs one read; in a folder a restore has read everything there is."""
        end = self._writers[agent_id].end
        if end is None:
            return False  # it was created here, or has been written to
        self._require_current(agent_id)
        return not end.confirm() or end.has_more()

    def _require_current(self, agent_id: str) -> None:
        """See that a turn which has ended since the restore is not taken for one that was cut off.

        Raises:
            SessionConflictError: One has.
        """
        self._records.wait_for_condition()
        key = self._layout.agent(self.session_id, agent_id)
        if self._is_ahead and not self._records.is_known(key, self._records.objects.get(key)):
            raise SessionConflictError(
                f"session_id={self.session_id}, key={key} | another turn ended while the lease was being taken; reload "
                "the session",
                session_id=self.session_id,
                key=key,
            )

    def read_records(self, agent_id: str, first_id: int, end_id: int) -> list[SessionMessage]:
        """See :meth:`Journal.read_records`. All at once."""
        keys = [self._layout.message(self.session_id, agent_id, number) for number in range(first_id, end_id)]
        return [message_in(record) for record in self._records.own_many(self.session_id, keys)]

    def find_elsewhere(self, agent_id: str, key: str) -> TurnRecord | None:
        """See :meth:`WholeTurns.find_elsewhere`. Costs a listing of the agents, and a read for each of them."""
        listed = list_agent_ids(self._records.objects, self._layout, self.session_id)
        others = [other for other in islice(listed, AGENTS_SEARCHED) if other != agent_id]
        records = self._records.own_many(
            self.session_id, [self._layout.agent(self.session_id, other) for other in others]
        )
        turns = (TurnLog(record.kit.get("turns")).find(key) for record in records)
        return next((turn for turn in turns if turn is not None), None)

    # --- an agent's turns -------------------------------------------------------------------------------

    def append(self, agent_id: str, record: SessionMessage) -> Appended:
        """See :meth:`Journal.append`."""
        self._records.wait_for_condition()  # before anything is written, and before the model is asked
        return self._writers[agent_id].append(record)

    def append_beside(self, agent_id: str, record: SessionMessage) -> Future[Appended]:
        """See :meth:`WholeTurns.append_beside`."""
        return self._writers[agent_id].append_beside(record)

    def rewrite(
        self,
        agent_id: str,
        message_id: int,
        change: Callable[[SessionMessage], SessionMessage | None],
        *,
        redacts: bool = False,
    ) -> None:
        """See :meth:`Journal.rewrite`. A message that waits to be sent is changed before it is."""
        self._records.wait_for_condition()  # before anything is removed, too
        self._writers[agent_id].rewrite(message_id, change, redacts=redacts)

    def redact_beside(self, agent_id: str, message_ids: Sequence[int], redacted: Callable[[Any], Any]) -> None:
        """See :meth:`WholeTurns.redact_beside`."""
        self._records.wait_for_condition()
        self._writers[agent_id].redact_beside(message_ids, redacted)

    def fence(self, agent_id: str) -> None:
        """See :meth:`WholeTurns.fence`: the agent's record is written anew, which every other writer has to do."""
        self._writers[agent_id].fence()

    def update_agent(self, session_agent: SessionAgent) -> None:
        """See :meth:`Journal.update_agent`. During a turn it may wait for the turn's last round."""
        self._writers[session_agent.agent_id].update(session_agent)

    def needs_update(self, agent_id: str) -> bool:
        """See :meth:`WholeTurns.needs_update`: a message was stored outside of a turn, and the tail lacks it."""
        return self._writers[agent_id].needs_update

    def begin_turn(self, agent_id: str) -> None:
        """See :meth:`WholeTurns.begin_turn`."""
        self._writers[agent_id].begin()

    def close_turn(self, agent_id: str) -> None:
        """See :meth:`WholeTurns.close_turn`."""
        self._writers[agent_id].close()

    def end_turn(self, agent_id: str) -> None:
        """See :meth:`WholeTurns.end_turn`."""
        self._writers[agent_id].finish()

    def abandon_turn(self, agent_id: str) -> None:
        """See :meth:`WholeTurns.abandon_turn`."""
        self._writers[agent_id].abandon()

    def stop(self) -> None:
        """See :meth:`Journal.stop`."""
        self._records.stop()
