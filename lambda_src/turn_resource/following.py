"""Following a turn that another request takes or took, in any process. A follower is told what is stored.

A follower reads one object a second: mostly the turn's next message, in between whether the turn has ended, and now and
then whether anybody works on the session. It writes nothing.
"""

from __future__ import annotations

import time
from itertools import cycle
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionCorruptError
from agent_sessions.lease import SessionLease
from agent_sessions.turn_request import begins_turn
from lambda_src.answers import errors
from lambda_src.content import shown
from lambda_src.turn_resource.turn_status import RUNNING, TurnState, lacks_last_message, state_of
from lambda_src.turns.replays import restored_messages_of
from lambda_src.turns.turn_events import MessageStored, Restored, reply_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_sessions.session_store import SessionStore
    from agent_sessions.turn_reader import StoredTurn, TurnReader
    from agent_sessions.turn_request import TurnRecord
    from agent_sessions.types import SessionMessage
    from lambda_src.turns.turn_events import TurnEvent

LOOK_SECONDS = 1.0
"""How often a follower looks."""

LATE_SECONDS = 5.0
"""When a turn has ended, its last message may become visible so many seconds later."""


class FollowedNoLongerError(Exception):
    """The turn goes on, and nobody follows it any more: the reader has left, or the function's time is up."""


def find(store: SessionStore, session_id: str, agent_id: str, is_wanted: Callable[[TurnRecord], bool]) -> FollowedTurn:
    """Find a turn of a session.

    Args:
        store: Where the owner's sessions are.
        session_id: The session.
        agent_id: The agent to look at first.
        is_wanted: Whether a turn is the one.

    Raises:
        SessionNotFoundError: There is no such session.
        NotFoundError: There is no such turn, or it is forgotten.
    """
    reader = store.turns(session_id)
    found = reader.find(agent_id, is_wanted)
    if found is None:
        raise errors.NotFoundError("This session has no such turn, or has taken more than 32 since.")
    return FollowedTurn(reader, found, SessionLease(store, session_id, holder="a follower"))


class FollowedTurn:
    """A turn, seen by a request that does not take it.

    Args:
        reader: Reads it.
        found: What was found of it.
        lease: The session's lease. It is looked at, and never taken.
    """

    def __init__(self, reader: TurnReader, found: StoredTurn, lease: SessionLease) -> None:
        self.found = found
        self.session_id = reader.session_id
        self.agent_id = found.agent_id
        self.turn_id = found.turn.turn_id
        self.request_id = found.turn.request_id
        self._reader = reader
        self._lease = lease

    def state(self) -> TurnState:
        """What became of it.

        Raises:
            SessionNotFoundError: The session was erased meanwhile.
            SessionCorruptError: The session is there, and the turn's reply is not.
        """
        try:
            state = self._state()
        except SessionCorruptError:
            self._reader.require_session()
            raise
        if state.status == "cut-off":
            self._reader.require_session()  # of an erased session's turn, nothing is stored either
        return state

    def _state(self) -> TurnState:
        in_use = False
        if not self.found.has_ended:
            in_use = self._lease.is_taken()
            # The turn may have ended since it was looked for: a turn gives its lease back last.
            ended = None if in_use else self._reader.read_ended(self.found.agent_id, self.found.turn.turn_id)
            if ended is not None:
                self.found = self.found._replace(turn=ended, has_ended=True)
        if self.found.has_ended and lacks_last_message(self.found, self._read):
            in_use = self._lease.is_taken()
        return state_of(self.found, self._read, session_in_use=in_use)

    def reply(self, state: TurnState) -> dict[str, Any] | None:
        """The reply, when there is one."""
        return None if state.replay is None else reply_of(self.session_id, state.replay.restored, state.replay.reply)

    def has_told(self, message_id: int) -> bool:
        """Whether a follower can have seen this message: it is stored, and of this turn or from before it."""
        last_id = self.found.turn.last_id
        if last_id is not None and message_id <= last_id:
            return True
        return not self.found.has_ended and self._read(message_id) is not None

    def follow(
        self,
        watch: Callable[[TurnEvent], object],
        *,
        after_id: int = -1,
        goes_on: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], object] = time.sleep,
    ) -> dict[str, Any]:
        """Tell of the turn, each of its messages once and in order, until it is over.

        Args:
            watch: Gets ``Restored``, then each message with its content.
            after_id: The last message that is known already.
            goes_on: Whether anybody wants to hear more.
            sleep: Waits so many seconds.

        Returns:
            The reply.

        Raises:
            EndpointError: The turn has ended without one.
            FollowedNoLongerError: Nobody wants to hear more.
        """
        turn = self.found.turn
        watch(Restored(self.found.agent_id, restored_messages_of(turn), turn.turn_id))
        state = self._tell_messages(watch, after_id, goes_on, sleep)
        if state.problem is not None:
            raise state.problem
        reply = self.reply(state)
        if reply is None:
            raise errors.InternalError("A turn that is over has neither a reply nor a problem.")
        return reply

    def _tell_messages(
        self,
        watch: Callable[[TurnEvent], object],
        after_id: int,
        goes_on: Callable[[], bool],
        sleep: Callable[[float], object],
    ) -> TurnState:
        state = self.state()
        looks: Iterator[str] = cycle(("turn", "message", "lease", "message"))
        look = "message"
        first_id = self.found.turn.first_id
        next_id = None if first_id is None else max(first_id, after_id + 1)
        late = LATE_SECONDS
        while True:
            if look == "turn":
                state = self._look_at_turn()
            elif look == "lease":
                state = self.state()
            if look == "message" or state is not RUNNING:
                state, next_id = self._tell_stored(watch, state, next_id)
            if state is not RUNNING:
                last_id = self.found.turn.last_id
                if next_id is None or last_id is None or next_id > last_id or late <= 0:
                    return state
                late -= LOOK_SECONDS
            if not goes_on():
                raise FollowedNoLongerError
            sleep(LOOK_SECONDS)
            look = next(looks) if state is RUNNING else "message"

    def _tell_stored(
        self, watch: Callable[[TurnEvent], object], state: TurnState, next_id: int | None
    ) -> tuple[TurnState, int | None]:
        """Tell of the messages that are stored by now. After an answer, look whether it has ended the turn."""
        message = self._next_message(next_id)
        while message is not None and next_id is not None:
            watch(MessageStored(next_id, message.message["role"], shown(message.to_message())["content"]))
            next_id += 1
            if message.message["role"] == "assistant" and state is RUNNING:
                state = self._look_at_turn()
            message = self._next_message(next_id)
        return state, next_id

    def _next_message(self, message_id: int | None) -> SessionMessage | None:
        """The turn's message of this id, if it is stored. A message that begins another turn does not count."""
        if message_id is None:
            return None
        last_id = self.found.turn.last_id
        if self.found.has_ended and (last_id is None or message_id > last_id):
            return None
        message = self._read(message_id)
        if message is None or (message_id != self.found.turn.first_id and begins_turn(message)):
            if message is not None:
                self.found = self.found._replace(has_ended=True)
            return None
        if not self.found.has_ended:
            self.found = self.found._replace(turn=self.found.turn._replace(last_id=message_id))
        return message

    def _look_at_turn(self) -> TurnState:
        ended = self._reader.read_ended(self.found.agent_id, self.found.turn.turn_id)
        if ended is None:
            return RUNNING if not self.found.has_ended else self.state()
        self.found = self.found._replace(turn=ended, has_ended=True)
        return self.state()

    def _read(self, message_id: int) -> SessionMessage | None:
        return self._reader.read_message(self.found.agent_id, message_id)
