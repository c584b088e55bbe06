"""One agent's part of a session, as its session manager knows it while the agent runs."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.failure import as_failure
from agent_sessions._conversation.invocations import takes_one_call_at_a_time
from agent_sessions._conversation.message_changes import snapshot
from agent_sessions._conversation.pending_interrupts import withdraw_interrupt
from agent_sessions._conversation.redactions import Redactions
from agent_sessions._conversation.stored_conversation import StoredConversation
from agent_sessions._conversation.turn_fence import TurnFence, take_off_fence
from agent_sessions.exceptions import SessionConflictError, SessionException, UnstorableValueError, named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal
    from agent_sessions.turn_request import TurnRecord

logger = logging.getLogger(__name__)


class StoredAgent(StoredConversation):
    """Stores an agent's conversation, what is taken back of it, and the agent's state, turn by turn.

    Args:
        journal: Where the session is written.
        agent_id: The agent.
        **known: What is known of it: see :class:`StoredConversation`.
    """

    def __init__(self, journal: Journal, agent_id: str, **known: Any) -> None:
        super().__init__(journal, agent_id, **known)
        self._redactions = Redactions(journal, agent_id, self.turns)

    def redact(self, replacement: Message, agent: Any) -> None:
        """Put another content in the place of the message stored last, and leave nothing of what it was.

        Raises:
            SessionException: There is no message yet, or storage failed. Then it is tried again at the next sync.
        """
        with self._lock:
            self.settle_fence()
            if self.held.is_yet_to_come(replacement, agent.messages):
                return  # announced in a moment, as it is now: another invocation of the agent has been faster
            message_id = self.held.redacted_by(replacement)
            if message_id is None:
                raise SessionException("No message to redact.", session_id=self._journal.session_id)
            others = [other for other in self.held.standing_for(message_id) if other != message_id]
            self._redactions.add(message_id, others, snapshot(replacement))
            self._redactions.store()

    def redact_beside(self, messages: Sequence[Message], redacted: Callable[[Any], Any]) -> None:
        """Take something back out of what is stored beside messages; if that fails, again at the next sync."""
        with self._lock:
            self.settle_fence()
            self._redactions.add_beside(self.held.ids_of(messages), redacted)
            self._redactions.store()

    # --- state ------------------------------------------------------------------------------------------

    def sync(self, agent: Any) -> None:
        """Store the agent's state if its value has changed, and what has to be changed in stored messages.

        Raises:
            UnstorableValueError: The state cannot be stored; the one stored last stays.
            SessionConflictError: Another writer has changed the state.
            SessionStorageError: Storage failed.
        """
        with self._lock:
            if self.fence.is_on_its_way:
                return  # the end of the turn stores it
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
            take_off_fence(agent)
            with contextlib.suppress(SessionException):  # of a turn whose end nobody announced
                self.settle_fence()
            if self.failure is None:
                self.state.check(agent)
            under_way = self.in_turn
            self._invocations.begin(invocation, given, alone=takes_one_call_at_a_time(agent))
            if not under_way or takes_one_call_at_a_time(agent):
                self._begin_turn()

    def _begin_turn(self) -> None:
        self.fence = TurnFence()
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
            take_off_fence(agent)  # a call that was cut off has no event of its end
            model_failed = self._invocations.of(invocation).model_failed
            fence = self.fence
            is_undecided = fence.is_on_its_way
            try:
                self.settle_fence()
                self._end_turn(agent, model_failed=model_failed)
            except Exception as error:
                if not isinstance(error, UnstorableValueError):
                    self.failure = self.failure or as_failure(error)
                if not model_failed or (is_undecided and not fence.stands):
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

    def find_turn(self, key: str) -> TurnRecord | None:
        """The turn that answers the request of a key, or began to."""
        return self.turns.find_or_learn(
            key, self.next_id, lambda first_id: self._journal.read_records(self._agent_id, first_id, self.next_id)
        )
