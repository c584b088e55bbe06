"""One agent's conversation, as its session manager knows it while the agent runs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.agent_state import AgentState
from agent_sessions._conversation.failure import as_failure, refusal_after
from agent_sessions._conversation.held_messages import HeldMessages
from agent_sessions._conversation.invocations import Invocations
from agent_sessions._conversation.journal import Appended
from agent_sessions._conversation.later_messages import Newcomer, take_over_later
from agent_sessions._conversation.message_changes import MessageChanges, check, put_back
from agent_sessions._conversation.refused_results import replace_unstorable_results
from agent_sessions._conversation.turn_fence import TurnFence, may_go_beside
from agent_sessions.exceptions import SessionConflictError, SessionException, UnstorableValueError
from agent_sessions.locks import Lock
from agent_sessions.tool_pairing import lost_results, tool_result_ids, tool_use_ids
from agent_sessions.turn_request import TurnLog
from agent_sessions.types import SessionAgent, SessionMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal

JOINED_KEPT = 256
"""How many joined messages an agent's record remembers."""


class StoredConversation:
    """Appends an agent's messages behind what is stored, and sees that a turn has its fence.

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
        fence: The fence of the turn under way.
        has_fenced: Whether this turn or an earlier one has got its fence.
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
        self.fence = TurnFence()
        self.has_fenced = False
        self.next_id = next_id
        self.joined: list[int] = []
        self.held = HeldMessages()
        self.changes = MessageChanges(journal, agent_id, self.held)
        self.state = state or AgentState(journal)
        self.turns = turns or TurnLog()
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
            self.settle_fence()
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
        record = self._next_record(message)
        if self.in_turn and not self.fence.stands and may_go_beside(agent, self._journal):
            check(message)
            self.fence.send(self._journal.turns.append_beside(self._agent_id, record), message, agent)
        else:
            self._note_appended(self._journal.append(self._agent_id, record), message, agent)

    def _note_appended(self, appended: Appended, message: Message, agent: Any) -> None:
        if appended is Appended.NOT_YET and self.in_turn and self.turns.begins_request:
            raise SessionConflictError(
                f"session_id={self._journal.session_id}, agent_id={self._agent_id} | a turn that was cut off is stored "
                "behind the restored conversation, and may have answered this request; reload the session and catch up",
                session_id=self._journal.session_id,
            )
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
        self.fence.stands = True
        if self.in_turn:
            self.has_fenced = True
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
            self.settle_fence()
            self.refuse_after_failure()
            message_id = self.held.updated_by(message)
            if message_id is None:
                return False
            with self._no_more_after_failure():
                self.changes.replace(message_id, message)
            return True

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

    # --- the fence of a turn ----------------------------------------------------------------------------

    def set_fence(self) -> None:
        """See that the turn has a fence. Its first message is one, if it has one by now.

        Raises:
            SessionConflictError: Somebody has gone on from the restored conversation.
            SessionStorageError: Storage failed.
        """
        with self._lock:
            self.settle_fence()
            if self.fence.stands or not self.in_turn:
                return
            self.refuse_after_failure()
            with self._no_more_after_failure():
                self._journal.turns.fence(self._agent_id)
            self.fence.stands = self.has_fenced = True

    def settle_fence(self) -> None:
        """Wait until it is known what became of a first message that is on its way, and take note of it.

        If messages of a turn that was cut off turn out to belong before it, they are put there.

        Raises:
            SessionConflictError: Another writer came first: there is no such turn.
            SessionStorageError: Storage failed.
        """
        with self._lock:
            if self.fence.is_on_its_way:
                with self._no_more_after_failure():
                    self.fence.settle(self._note_appended)
            elif self.fence.was_refused and self.failure is not None:
                raise self.failure

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
