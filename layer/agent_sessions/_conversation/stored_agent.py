"""One agent's part of a session, as its session manager knows it while the agent runs."""
# Over 300 lines: one agent's conversation is one state; its parts have modules of their own already.

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.agent_state import AgentState
from agent_sessions._conversation.failure import as_failure, refusal_after
from agent_sessions._conversation.held_messages import HeldMessages
from agent_sessions._conversation.invocations import Invocations, takes_one_call_at_a_time
from agent_sessions._conversation.journal import Appended
from agent_sessions._conversation.later_messages import Newcomer, take_over_later
from agent_sessions._conversation.message_changes import MessageChanges, check, put_back, snapshot
from agent_sessions._conversation.pending_interrupts import withdraw_interrupt
from agent_sessions._conversation.redactions import Redactions
from agent_sessions._conversation.refused_results import replace_unstorable_results
from agent_sessions.exceptions import SessionConflictError, SessionException, UnstorableValueError, named
from agent_sessions.locks import Lock
from agent_sessions.tool_pairing import lost_results, tool_result_ids, tool_use_ids
from agent_sessions.turn_request import MESSAGES_SEARCHED, TurnLog, TurnRecord
from agent_sessions.types import SessionAgent, SessionMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal

logger = logging.getLogger(__name__)


JOINED_KEPT = 256
"""How many joined messages an agent's record remembers."""


class StoredAgent:
    """Appends an agent's messages, changes those that Strands changes later, and stores the agent's state.

    After a write has failed it writes nothing more: what is stored is then not what the agent believes. One thread at
    a time is served: agents that may be invoked several times at once announce their messages from several threads.

    Args:
        journal: Where the session is written.
        agent_id: The agent.
        next_id: The id the next message gets.
        state: What is stored of the agent's state.
        turns: Which requests the agent's turns have answered.

    Attributes:
        next_id: The id the next message gets. It advances only when a message has been stored.
        joined: The messages that are one with the message before, when they are restored: both are of one role, and the
            caller had taken the other one out of the conversation.
        held: Which record stands for which of the agent's messages.
        changes: Writes what becomes of messages that are stored already.
        state: What is stored of the agent's state.
        turns: Which requests the agent's turns have answered.
        failure: Why nothing more is written until the session is reloaded.
    """

    def __init__(
        self,
        journal: Journal,
        agent_id: str,
        *,
        next_id: int = 0,
        state: AgentState | None = None,
        turns: TurnLog | None = None,
    ) -> None:
        self._journal = journal
        self._agent_id = agent_id
        self._lock = Lock()
        self._invocations = Invocations()
        self._fenced = False  # whether a conditional write of this turn has proved that we are not stale
        self.next_id = next_id
        self.joined: list[int] = []
        self.held = HeldMessages()
        self.changes = MessageChanges(journal, agent_id, self.held)
        self.state = state or AgentState(journal)
        self.turns = turns or TurnLog()
        self._redactions = Redactions(journal, agent_id, self.turns)
        self.failure: SessionException | None = None

    @property
    def in_turn(self) -> bool:
        """Whether an invocation of the agent is under way."""
        return bool(self._invocations)

    # --- messages ---------------------------------------------------------------------------------------

    def add(self, message: Message, agent: Any) -> None:
        """Store what a message that was announced as added adds to the conversation.

        Raises:
            UnstorableValueError: It cannot be stored. Nothing was, and the agent's messages are without it.
            SessionConflictError: Another writer has stored one in its place.
            SessionStorageError: Storage failed.
        """
        with self._lock:
            self.refuse_after_failure()
            invocation = self._invocations.giving(message)
            extended = None if invocation else self.held.extended_by(message, agent.messages)
            before = self.held.message(extended.message_id) if extended else None
            try:
                if invocation is None:
                    replace_unstorable_results(message)
                else:
                    invocation.check()
                with self._no_more_after_failure():
                    if extended is not None:
                        self.changes.extend(extended, message)
                    else:
                        self._append(message, agent)
            except UnstorableValueError as error:
                error.session_id = self._journal.session_id
                put_back(message, before, agent.messages)
                raise
            if invocation is not None:
                invocation.record_stored(message)

    def _append(self, message: Message, agent: Any) -> None:
        appended = self._journal.append(self._agent_id, self._next_record(message))
        if appended is Appended.NOT_YET:
            if not self._put_behind_later(message, agent):
                return
            appended = self._journal.append(self._agent_id, self._next_record(message))
            if appended is not Appended.BEHIND_IT:
                raise SessionConflictError(
                    f"session_id={self._journal.session_id}, agent_id={self._agent_id} | another writer came first "
                    "once more: that is no turn that was cut off",
                    session_id=self._journal.session_id,
                )
        self._fenced = True
        if self.in_turn:
            self.turns.record_stored(self.next_id)
        if appended is Appended.BEHIND_ANOTHER:
            self._take_over_later(agent, Newcomer(message, self.next_id))
            return
        if self.held.follows_what_is_gone(message, agent.messages):
            self.joined = [*self.joined, self.next_id][-JOINED_KEPT:]
        self._hold(message)

    def store_first(self, agent: Any) -> None:
        """Store an agent that the session does not have yet, with the messages it starts with.

        Raises:
            UnstorableValueError: Something of it cannot be stored. Nothing was.
            SessionConflictError: Another caller has stored it since.
        """
        for message in agent.messages:
            check(message)
        self._journal.create_agent(SessionAgent.from_agent(agent))
        for message in agent.messages:
            self._journal.append(self._agent_id, self._next_record(message))
            self._hold(message)

    def _next_record(self, message: Message) -> SessionMessage:
        """The record of the next message; the first of a turn says which request the turn answers."""
        record = SessionMessage.from_message(message, self.next_id)
        record.kit = self.turns.mark_of(message) if self.in_turn else None
        return record

    def _hold(self, message: Message) -> None:
        self.held.add(self.next_id, message)
        self.next_id += 1

    def update(self, message: Message) -> bool:
        """Put another content into the stored message that Strands says it has replaced.

        Returns:
            Whether there is one.
        """
        with self._lock:
            self.refuse_after_failure()
            message_id = self.held.updated_by(message)
            if message_id is None:
                return False
            with self._no_more_after_failure():
                self.changes.replace(message_id, message)
            return True

    def redact(self, replacement: Message, agent: Any) -> None:
        """Put another content in the place of the message stored last, and leave nothing of what it was.

        Raises:
            SessionException: There is no message yet, or storage failed. Then it is tried again at the next sync.
        """
        with self._lock:
            message_id = self.held.latest_of(replacement)
            if message_id is None and any(other is replacement for other in agent.messages):
                return  # announced in a moment, as it is now: another invocation of the agent has been faster
            if message_id is None:
                message_id = self.held.latest_id
            if message_id is None:
                raise SessionException("No message to redact.", session_id=self._journal.session_id)
            others = [other for other in self.held.standing_for(message_id) if other != message_id]
            self._redactions.add(message_id, others, snapshot(replacement))
            self._redactions.store()

    def redact_beside(self, messages: Sequence[Message], redacted: Callable[[Any], Any]) -> None:
        """Take something back out of what is stored beside messages; if that fails, again at the next sync."""
        with self._lock:
            self._redactions.add_beside(self.held.ids_of(messages), redacted)
            self._redactions.store()

    # --- going on after a turn that was cut off ---------------------------------------------------------

    def catch_up(self, agent: Any) -> bool:
        """Take over what is stored beyond the restored conversation; says whether there was anything."""
        with self._lock:
            if not self._journal.turns.has_later(self._agent_id):
                return False
            self._take_over_later(agent)
            return True

    def _put_behind_later(self, message: Message, agent: Any) -> bool:
        """Put the messages of a turn that was cut off before the message that is being added.

        Returns:
            Whether the message is still to be stored: results of a tool call that has got its results are not.
        """
        self._take_over_later(agent, Newcomer(message, None))
        open_calls = tool_use_ids(agent.messages[-1]) if agent.messages else []
        answered = tool_result_ids(message)
        if answered and not any(call in open_calls for call in answered):
            return False
        if open_calls and not answered:
            lost = lost_results(open_calls)
            agent.messages.append(lost)
            self._journal.append(self._agent_id, SessionMessage.from_message(lost, self.next_id))
            self._hold(lost)
        agent.messages.append(message)
        return True

    def _take_over_later(self, agent: Any, newcomer: Newcomer | None = None) -> None:
        self.next_id = take_over_later(self._journal, agent, self.held, self.state.removed, newcomer)

    # --- state ------------------------------------------------------------------------------------------

    def sync(self, agent: Any) -> None:
        """Store the agent's state if its value has changed, and what has to be changed in stored messages.

        Raises:
            UnstorableValueError: The state cannot be stored; the one stored last stays.
            SessionConflictError: Another writer has changed the state.
            SessionStorageError: Storage failed.
        """
        with self._lock:
            try:
                self._sync(agent)
            except Exception as error:
                if not self._invocations.model_failed:
                    raise
                # The caller has to learn of the model's error: raising here would replace it.
                logger.error("agent_id=<%s> | the state could not be stored: %s", self._agent_id, named(error))

    def _sync(self, agent: Any) -> None:
        if self.failure is not None and self._redactions:
            try:
                self._redactions.store()
            except SessionException as error:
                logger.error("agent_id=<%s> | a redaction could not be stored: %s", self._agent_id, named(error))
        if self.failure is not None and self.in_turn:
            # The failure has been raised where it happened; saying it again would hide what followed from it.
            logger.warning(
                "agent_id=<%s> | not stored after an earlier failure: %s", self._agent_id, named(self.failure)
            )
            return
        self.refuse_after_failure()
        try:
            self._redactions.store()
            self.held.forget_removed(agent.messages)
            self.changes.store_pins()
            kit = {"pinned": sorted(self.held.pinned_ids), "joined": self.joined, "turns": self.turns.to_kit()}
            self.state.store(agent, {name: value for name, value in kit.items() if value})
        except SessionConflictError as error:
            self.failure = error
            raise
        except UnstorableValueError as error:
            error.session_id = self._journal.session_id
            if error.path.startswith("_internal_state.interrupt_state"):
                withdraw_interrupt(agent)
            raise

    # --- turns ------------------------------------------------------------------------------------------

    def begin_turn(self, agent: Any, *, given: Sequence[Message] = (), invocation: object = None) -> None:
        """An invocation of the agent begins.

        Args:
            agent: The agent.
            given: The messages it is invoked with.
            invocation: Tells it from others that are under way.

        Raises:
            UnstorableValueError: The agent's state cannot be stored, as it is. Nothing was.
        """
        with self._lock:
            if self.failure is None:
                self.state.check(agent)
            under_way = self.in_turn
            self._invocations.begin(invocation, given, alone=takes_one_call_at_a_time(agent))
            if not under_way or takes_one_call_at_a_time(agent):
                self._begin_turn()

    def _begin_turn(self) -> None:
        self._fenced = False
        self._journal.turns.begin_turn(self._agent_id)

    def record_model_call(self, *, stop_reason: str | None, failed: bool, invocation: object = None) -> None:
        """The model has answered, or has not."""
        with self._lock:
            self.turns.stop_reason = stop_reason
            self._invocations.of(invocation).model_failed = failed

    def end_turn(self, agent: Any, *, invocation: object = None) -> None:
        """An invocation of the agent has ended: what it did is durable when this returns.

        Raises:
            SessionException: Something of it could not be stored. The model's error, if there is one, is not replaced.
        """
        with self._lock:
            model_failed = self._invocations.of(invocation).model_failed
            try:
                self._end_turn(agent, model_failed=model_failed)
            except Exception as error:
                if not isinstance(error, UnstorableValueError):
                    self.failure = self.failure or as_failure(error)
                if not model_failed:
                    raise
                logger.error("agent_id=<%s> | the turn could not be stored whole: %s", self._agent_id, named(error))
            finally:
                self._invocations.end(invocation)
                if self.failure is not None:
                    self._journal.turns.abandon_turn(self._agent_id)
                elif self.in_turn:
                    self._begin_turn()  # for those that go on

    def _end_turn(self, agent: Any, *, model_failed: bool) -> None:
        self._journal.turns.close_turn(self._agent_id)
        self.turns.end(self.next_id)
        refused: UnstorableValueError | None = None
        try:
            self._sync(agent)
        except UnstorableValueError as error:
            refused = error  # the messages are to be durable all the same
        except Exception as error:
            if not model_failed:
                raise
            logger.error("agent_id=<%s> | the state could not be stored: %s", self._agent_id, named(error))
        if self.failure is None:
            self.changes.store_repairs()
            self._journal.turns.end_turn(self._agent_id)
        if refused is not None:
            raise refused

    def fence(self) -> None:
        """See that the turn has a fence before the model is called. Its first message is one, if it has one by now.

        Raises:
            SessionConflictError: Somebody has gone on from the restored conversation.
            SessionStorageError: Storage failed.
        """
        with self._lock:
            if self._fenced or not self.in_turn:
                return
            self.refuse_after_failure()
            with self._no_more_after_failure():
                self._journal.turns.fence(self._agent_id)
            self._fenced = True

    def find_turn(self, key: str) -> TurnRecord | None:
        """The turn that answers the request of a key, or began to."""
        found = self.turns.find(key)
        if found is None and self.turns.known_below != self.next_id:
            # Turns that the agent's record does not tell of, as crashes and Strands' managers leave them.
            first_id = max(self.turns.known_below or 0, self.next_id - MESSAGES_SEARCHED)
            self.turns.learn(self._journal.read_records(self._agent_id, first_id, self.next_id), self.next_id)
            found = self.turns.find(key)
        return found

    @contextlib.contextmanager
    def _no_more_after_failure(self) -> Iterator[None]:
        """A write whose failure ends all writing, unless it was refused for its value before anything was sent."""
        try:
            yield
        except UnstorableValueError:
            raise
        except BaseException as error:
            self.failure = as_failure(error)
            raise

    def refuse_after_failure(self) -> None:
        """Raise what an earlier write failed with, if one did."""
        if self.failure is not None:
            raise refusal_after(self.failure, self._journal.session_id) from self.failure
