"""What is stored of a turn: found by its id or its request's key, by whoever only reads.

The agent's record remembers the last turns that have ended. One that is under way, or was cut off, is told by its
messages: the first of them names it (see ``agent_sessions.turn_request``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._objects.tail_and_base import read_log
from agent_sessions._records.layout import agent_id_of
from agent_sessions._records.message_records import message_in
from agent_sessions._records.message_search import last_message_id, look_for_messages
from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.turn_request import MESSAGES_SEARCHED, TurnLog, TurnRecord, begins_turn, turns_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._objects.object_repository import ObjectSessionRepository
    from agent_sessions.types import SessionMessage

_AT_ONCE = 16


class StoredTurn(NamedTuple):
    """What is stored of a turn.

    Attributes:
        agent_id: Whose turn it is.
        turn: What is known of it.
        has_ended: Whether its agent's record remembers it, or the conversation has gone on behind it: nothing of it
            will come any more.
    """

    agent_id: str
    turn: TurnRecord
    has_ended: bool


class TurnReader:
    """Reads the turns of one session, in its present life. Costs a read at first, and then what is asked for.

    Args:
        repository: Where the session is.
        session_id: The session.

    Raises:
        SessionNotFoundError: There is none of this id.
    """

    def __init__(self, repository: ObjectSessionRepository, session_id: str) -> None:
        self.session_id = session_id
        self._repository = repository
        self._records = repository.records
        self._layout = repository.layout
        self.require_session()

    def require_session(self) -> None:
        """Look whether the session is there. Costs a read.

        Raises:
            SessionNotFoundError: It is not, or not any more.
        """
        if self._repository.read_session(self.session_id) is None:
            key = self._layout.session(self.session_id)
            raise SessionNotFoundError(f"Session {self.session_id} does not exist", key=key)

    def find(self, agent_id: str, is_wanted: Callable[[TurnRecord], bool]) -> StoredTurn | None:
        """Find a turn: the latest of those that are wanted.

        Args:
            agent_id: The agent to look at first; then at the others of the session.
            is_wanted: Whether a turn is the one.
        """
        found = self._find_of(agent_id, is_wanted)
        if found is None:
            others = (self._find_of(other, is_wanted) for other in self._agent_ids() if other != agent_id)
            found = next((turn for turn in others if turn is not None), None)
        return found

    def find_under_way(self, agent_id: str) -> TurnRecord | None:
        """An agent's turn that has not ended; if nobody holds the session's lease, it was cut off."""
        log, next_id = self._log_of(agent_id)
        if log is None:
            return None
        records = self._later_messages(agent_id, log, next_id)
        turn = next(iter(turns_in(records)[-1:]), None)
        if turn is None or log.find_by_id(turn.turn_id) is not None:
            return None
        behind = [record for record in records if record.message_id > (turn.last_id or 0)]
        return None if behind and begins_turn(behind[0]) else turn

    def read_ended(self, agent_id: str, turn_id: str) -> TurnRecord | None:
        """What the agent's record remembers of a turn. Costs one read."""
        log, _ = self._log_of(agent_id)
        return None if log is None else log.find_by_id(turn_id)

    def read_message(self, agent_id: str, message_id: int) -> SessionMessage | None:
        """A message as it is stored. Costs one read."""
        record = self._records.own(self.session_id, self._layout.message(self.session_id, agent_id, message_id))
        return None if record is None else message_in(record)

    def _find_of(self, agent_id: str, is_wanted: Callable[[TurnRecord], bool]) -> StoredTurn | None:
        log, next_id = self._log_of(agent_id)
        if log is None:
            return None  # an agent is stored before its first message
        remembered = log.latest(is_wanted)
        if remembered is not None:
            return StoredTurn(agent_id, remembered, has_ended=True)
        records = self._later_messages(agent_id, log, next_id)
        wanted = [turn for turn in turns_in(records) if is_wanted(turn)]
        if not wanted:
            return None
        turn = wanted[-1]
        behind = [record for record in records if record.message_id > (turn.last_id or 0)]
        return StoredTurn(agent_id, turn, has_ended=bool(behind) and begins_turn(behind[0]))

    def _log_of(self, agent_id: str) -> tuple[TurnLog | None, int | None]:
        """The turns that an agent's record remembers, and the id of the message behind those that it has copied."""
        record = self._records.own(self.session_id, self._layout.agent(self.session_id, agent_id))
        if record is None:
            return None, None
        copied = read_log(record.kit.get("log"))
        return TurnLog(record.kit.get("turns")), copied.next_id if copied is not None else None

    def _later_messages(self, agent_id: str, log: TurnLog, next_id: int | None) -> list[SessionMessage]:
        """The messages that may tell of turns which the agent's record does not remember."""
        begin = max(log.known_below or 0, (next_id or 0) - MESSAGES_SEARCHED)
        found = self._read_on(agent_id, begin, MESSAGES_SEARCHED)
        if len(found) < MESSAGES_SEARCHED:
            return found
        # Nobody has noted for long how far the conversation goes.
        present = look_for_messages(self._records.objects, self._layout, self.session_id, agent_id)
        last_id = last_message_id(present, likely_next=begin + MESSAGES_SEARCHED) or 0
        return self._read_on(agent_id, max(begin, last_id + 1 - MESSAGES_SEARCHED), MESSAGES_SEARCHED + _AT_ONCE)

    def _read_on(self, agent_id: str, begin: int, limit: int) -> list[SessionMessage]:
        """The messages from an id on, up to the first that is missing, and at most so many."""
        found: list[SessionMessage] = []
        while len(found) < limit:
            ids = range(begin + len(found), begin + len(found) + _AT_ONCE)
            keys = [self._layout.message(self.session_id, agent_id, number) for number in ids]
            read = self._records.own_many(self.session_id, keys)
            found += [message_in(record) for record in read]
            if len(read) < _AT_ONCE:
                break
        return found

    def _agent_ids(self) -> list[str]:
        folder = self._layout.session_folder(self.session_id)
        below = (agent_id_of(entry.key[len(folder) :]) for entry in self._records.objects.list(folder))
        return [found[0] for found in below if found is not None and found[1] == "agent.json"]
