"""One agent's part of a session, as its session manager knows it while the agent runs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

from agent_sessions._conversation.held_messages import HeldMessages
from agent_sessions._conversation.journal import StaleConversationError
from agent_sessions._conversation.window import is_pinned, with_pin
from agent_sessions.exceptions import (
    SessionConflictError,
    SessionException,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions.tool_pairing import lost_results, repair_tool_pairs, tool_result_ids, tool_use_ids
from agent_sessions.turn_request import MESSAGES_SEARCHED, TurnLog, TurnRecord
from agent_sessions.types import (
    SessionAgent,
    SessionMessage,
    decode_bytes_values,
    encode_bytes_values,
    is_bidirectional,
)

if TYPE_CHECKING:
    from strands.types.content import Message

    from agent_sessions._conversation.journal import Journal

logger = logging.getLogger(__name__)


class AgentLog:
    """Appends an agent's messages, changes those that Strands changes later, and stores the agent's state.

    After a write has failed it writes nothing more: what is stored is then not what the agent believes.

    Args:
        journal: Where the session is written.
        agent_id: The agent.
        next_id: The id the next message gets.
        stored_state: The agent's record as it is stored, in comparable form; ``None`` when it is to be stored anew.
        turns: Which requests the agent's turns have answered.

    Attributes:
        next_id: The id the next message gets. It advances only when a message has been stored.
        held: Which record stands for which of the agent's messages.
        turns: Which requests the agent's turns have answered.
        failure: Why nothing more is written until the session is reloaded.
        in_turn: Whether an invocation of the agent is under way.
        model_failed: Whether the invocation under way is ending with the model's error.
    """

    def __init__(
        self,
        journal: Journal,
        agent_id: str,
        *,
        next_id: int = 0,
        stored_state: str | None = None,
        turns: TurnLog | None = None,
    ) -> None:
        self._journal = journal
        self._agent_id = agent_id
        self._stored_state = stored_state
        self._unredacted: list[tuple[list[int], Message]] = []  # record ids, and what shall stand there
        self._repaired: dict[int, Message] = {}  # contents whose tool calls and results did not match
        self.next_id = next_id
        self.held = HeldMessages()
        self.turns = turns or TurnLog()
        self.failure: SessionException | None = None
        self.in_turn = False
        self.model_failed = False
        self._fenced = False  # whether somebody who has gone on from the same conversation would have been met

    # --- messages ---------------------------------------------------------------------------------------

    def append(self, message: Message, agent: Any) -> None:
        """Store the agent's next message.

        Raises:
            SessionConflictError: Another writer has stored one in its place.
            SessionStorageError: Storage failed.
        """
        try:
            try:
                self._journal.append(self._agent_id, self._next_record(message))
            except StaleConversationError as stale:
                if stale.stored_id is not None:
                    self._stands_behind_another(message, agent, stale.stored_id)
                    return
                if not self._put_behind_later(message, agent):
                    return
                self._journal.append(self._agent_id, self._next_record(message))
        except StaleConversationError as error:
            # Somebody is quicker once more: that is no turn that was cut off.
            self.failure = SessionConflictError(str(error), session_id=error.session_id, key=error.key)
            raise self.failure from error
        except BaseException as error:
            self.failure = as_failure(error)
            raise
        if self.in_turn:
            self.turns.has_stored(self.next_id)
        self._fenced = True
        self._has_stored(message)

    def _next_record(self, message: Message) -> SessionMessage:
        """The record of the next message; the first of a turn says which request the turn answers."""
        record = SessionMessage.from_message(message, self.next_id)
        record.kit = self.turns.mark_of(message) if self.in_turn else None
        return record

    def _has_stored(self, message: Message) -> None:
        self.held.add(self.next_id, message)
        self.next_id += 1

    def _stands_behind_another(self, message: Message, agent: Any, message_id: int) -> None:
        """A message is stored behind another one than was restored last: so it is in memory."""
        if self.in_turn:
            self.turns.has_stored(message_id)
        self._fenced = True
        self.take_over_later(agent, besides=message, besides_id=message_id)

    def _put_behind_later(self, message: Message, agent: Any) -> bool:
        """Put the messages of a turn that was cut off before the message that is being added.

        Returns:
            Whether the message is still to be stored: results of a tool call that has got its results are not.
        """
        self.take_over_later(agent, besides=message)
        open_calls = tool_use_ids(agent.messages[-1]) if agent.messages else []
        answered = tool_result_ids(message)
        if answered and not set(answered) & set(open_calls):
            return False
        if open_calls and not answered:
            lost = lost_results(open_calls)
            agent.messages.append(lost)
            self._journal.append(self._agent_id, SessionMessage.from_message(lost, self.next_id))
            self._has_stored(lost)
        agent.messages.append(message)
        return True

    def take_over_later(self, agent: Any, *, besides: Message | None = None, besides_id: int | None = None) -> None:
        """Put what is stored beyond the restored conversation behind it.

        Args:
            agent: The agent.
            besides: A message of the agent's that is left out while it is not stored yet.
            besides_id: The id under which it is. Then it is the last: what follows it belongs to somebody who has gone
                on behind it, and refuses whatever this agent says next.
        """
        first_id, later = self._journal.read_later(self._agent_id)
        if besides is not None and besides_id is not None:
            later = [*(item for item in later if item[0] < besides_id), (besides_id, besides)]
        logger.warning(
            "session_id=<%s>, agent_id=<%s>, messages=<%d> | going on after a turn that was cut off",
            self._journal.session_id,
            self._agent_id,
            len(later),
        )
        mistaken = self.held.forget_from(first_id)
        before = [
            other for other in agent.messages if other is not besides and not any(other is wrong for wrong in mistaken)
        ]
        repaired = repair_tool_pairs([*before, *(other for _, other in later)])
        self.next_id = first_id
        for message_id, other in later:
            self.held.add(message_id, other)
            self.next_id = message_id + 1
        agent.messages[:] = [item.message for item in repaired]
        forget_answered_interrupts(agent, agent.messages)

    def has_repaired(self, message_id: int, message: Message) -> None:
        """A message has got another content in memory, which the end of the next turn stores."""
        self._repaired[message_id] = message

    def replace(self, message_ids: list[int], message: Message) -> None:
        """Put another content into stored messages."""
        content = _snapshot(message)

        def change(record: SessionMessage) -> SessionMessage:
            record.message = content
            if record.redact_message is not None:
                record.redact_message = content
            return record

        try:
            for message_id in message_ids:
                self._journal.rewrite(self._agent_id, message_id, change)
        except BaseException as error:
            self.failure = as_failure(error)
            raise
        self.held.replace(message_ids, message)

    def redact(self, replacement: Message) -> None:
        """Put another content in the place of the message stored last, and leave nothing of what it was.

        Raises:
            SessionException: There is no message yet, or storage failed. Then it is tried again at the next sync.
        """
        latest = self.held.latest_id
        if latest is None:
            raise SessionException("No message to redact.", session_id=self._journal.session_id)
        held = self.held.records_of(replacement) or self.held.records_of(self.held.message(latest))
        self._unredacted.append((held, _snapshot(replacement)))
        self._store_redactions()

    def _store_redactions(self) -> None:
        """Store the redactions that are not stored yet, the oldest first."""
        while self._unredacted:
            message_ids, replacement = self._unredacted[0]

            def change(record: SessionMessage, replacement: Message = replacement) -> SessionMessage:
                record.message = replacement
                record.redact_message = replacement
                return record

            for message_id in message_ids:
                try:
                    self._journal.rewrite(self._agent_id, message_id, change, redacts=True)
                except SessionNotFoundError:
                    logger.warning("message_id=<%d> | gone before it could be redacted", message_id)
            self._unredacted.pop(0)

    # --- state ------------------------------------------------------------------------------------------

    def sync(self, agent: Any) -> None:
        """Store the agent's state if its value has changed, and what has to be changed in stored messages.

        Raises:
            SessionConflictError: Another writer has changed the state.
            SessionStorageError: Storage failed.
        """
        if self.failure is not None and self._unredacted:
            try:
                self._store_redactions()
            except SessionException:
                logger.exception("agent_id=<%s> | a redaction could not be stored", self._agent_id)
        if self.failure is not None and self.in_turn:
            # The failure has been raised where it happened; saying it again would hide what followed from it.
            logger.warning("agent_id=<%s> | not stored after an earlier failure: %s", self._agent_id, self.failure)
            return
        self.refuse_after_failure()
        try:
            self._store_redactions()
            self._store_pins()
            self.held.forget_removed(agent.messages)
            self._store_state(agent)
        except Exception as error:
            if isinstance(error, SessionConflictError):
                self.failure = error
            if not self.model_failed:
                raise
            # The caller has to learn of the model's error: raising here would replace it.
            logger.exception("agent_id=<%s> | the state could not be stored", self._agent_id)

    def _store_pins(self) -> None:
        """Write pins back: a conversation manager sets them long after the messages were stored."""
        for message_id in self.held.changed_pins():
            pinned = is_pinned(self.held.message(message_id))

            def change(record: SessionMessage, pinned: bool = pinned) -> SessionMessage:
                record.message = with_pin(record.message, pinned)
                if record.redact_message is not None:
                    record.redact_message = with_pin(record.redact_message, pinned)
                return record

            self._journal.rewrite(self._agent_id, message_id, change)
            self.held.pin_is_stored(message_id)

    def _store_state(self, agent: Any) -> None:
        record = SessionAgent.from_agent(agent)
        pinned, turns = sorted(self.held.pinned_ids), self.turns.to_kit()
        if pinned or turns:
            record.kit = {name: value for name, value in (("pinned", pinned), ("turns", turns)) if value}
        state = comparable(record)
        unchanged = state == self._stored_state and not is_bidirectional(agent)
        if unchanged and not self._journal.needs_update(self._agent_id):
            return
        self._journal.update_agent(record)
        self._stored_state = state

    def _store_repairs(self) -> None:
        """Write back contents whose tool results were repaired at the restore."""
        for message_id, message in list(self._repaired.items()):
            content = _snapshot(message)

            def change(record: SessionMessage, content: Message = content) -> SessionMessage:
                if record.redact_message is None:
                    record.message = content
                else:
                    record.redact_message = content
                return record

            self._journal.rewrite(self._agent_id, message_id, change)
            del self._repaired[message_id]

    # --- turns ------------------------------------------------------------------------------------------

    def begin_turn(self) -> None:
        """An invocation of the agent begins."""
        self.in_turn = True
        self.model_failed = self._fenced = False
        self._journal.begin_turn(self._agent_id)

    def end_turn(self, agent: Any) -> None:
        """An invocation of the agent has ended: what it did is durable when this returns.

        Raises:
            SessionException: Something of it could not be stored. The model's error, if there is one, is not replaced.
        """
        try:
            self._journal.close_turn(self._agent_id)
            self.turns.end(self.next_id)
            self.sync(agent)
            if self.failure is None:
                self._store_repairs()
                self._journal.end_turn(self._agent_id)
        except Exception as error:
            self.failure = self.failure or as_failure(error)
            if not self.model_failed:
                raise
            logger.exception("agent_id=<%s> | the turn could not be stored whole", self._agent_id)
        finally:
            self.in_turn = False
            if self.failure is not None:
                self._journal.abandon_turn(self._agent_id)

    def fence(self) -> None:
        """See that the turn has a fence before the model is called. Its first message is one, if it has one by now.

        Raises:
            SessionConflictError: Somebody has gone on from the restored conversation.
            SessionStorageError: Storage failed.
        """
        if self._fenced or not self.in_turn:
            return
        self.refuse_after_failure()
        try:
            self._journal.fence(self._agent_id)
        except BaseException as error:
            self.failure = as_failure(error)
            raise
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

    def refuse_after_failure(self) -> None:
        """Raise what an earlier write failed with, if one did."""
        failure = self.failure
        if failure is None:
            return
        session_id = self._journal.session_id
        message = f"session_id={session_id} | not stored, reload the session: an earlier write failed: {failure}"
        if isinstance(failure, SessionStorageError):
            raise SessionStorageError(
                message,
                code=failure.code,
                is_transient=failure.is_transient,
                session_id=session_id,
                key=failure.key,
            ) from failure
        raise SessionConflictError(message, session_id=session_id, key=failure.key) from failure


def comparable(record: SessionAgent) -> str:
    """A record's content as text: equal texts are equal values.

    Strands counts versions instead, which rise after every tool cycle even when nothing has changed.
    """
    content = record.to_dict()
    for changing in ("created_at", "updated_at"):
        content.pop(changing)
    kit = record.kit or {}
    content["kit"] = [kit.get("pinned", []), kit.get("turns")]
    return json.dumps(content, sort_keys=True, default=str)


def forget_answered_interrupts(agent: Any, messages: list[Message]) -> None:
    """Take back a pending interrupt whose tool call has got its results.

    A turn that was cut off between the results and the agent's record leaves it pending. Answered once more, the call
    would run again and its results would follow no call.
    """
    state = getattr(agent, "_interrupt_state", None)
    if state is None or not state.activated or (messages and tool_use_ids(messages[-1])):
        return
    # Strands keeps the interrupted call here since 1.53, and in the context before.
    if getattr(state, "pending_tool_execution", None) is not None or "tool_use_message" in state.context:
        logger.warning("agent_id=<%s> | an interrupt was pending though its tool call is answered", agent.agent_id)
        state.deactivate()


def as_failure(error: BaseException) -> SessionException:
    """Why nothing more is written, whatever a repository raised."""
    if isinstance(error, SessionException):
        return error
    return SessionStorageError(f"{type(error).__name__}: {error}", code=type(error).__name__)


def _snapshot(message: Message) -> Message:
    """A copy that later changes of the message do not reach."""
    return cast("Message", decode_bytes_values(encode_bytes_values(message)))
