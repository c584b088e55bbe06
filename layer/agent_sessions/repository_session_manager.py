"""The behaviour of every session manager, above any repository."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from agent_sessions.exceptions import (
    SessionConflictError,
    SessionException,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions.held_messages import HeldMessages
from agent_sessions.identifiers import check_identifier
from agent_sessions.journal import StaleConversationError, journal_of
from agent_sessions.session_manager import SessionManager
from agent_sessions.tool_pairing import (
    has_tool_pairs,
    lost_results,
    repair_tool_pairs,
    tool_result_ids,
    tool_use_ids,
)
from agent_sessions.turn_request import MESSAGES_SEARCHED, TurnLog, TurnRecord, TurnRequest, turn_in
from agent_sessions.types import (
    SessionAgent,
    SessionMessage,
    decode_bytes_values,
    encode_bytes_values,
    is_bidirectional,
)
from agent_sessions.window import is_pinned

if TYPE_CHECKING:
    from strands.hooks.registry import HookRegistry
    from strands.types.content import Message

    from agent_sessions.session_repository import SessionRepository

logger = logging.getLogger(__name__)


@dataclass
class _AgentLog:
    """What the manager knows of one agent's part of the session.

    Attributes:
        next_id: The id the next message gets. It advances only when a message has been stored.
        held: Which record stands for which of the agent's messages.
        stored_state: The agent's record as it was stored last, in comparable form; ``None`` when unknown.
        unredacted: Redactions that could not be stored: record ids and what shall stand there.
        repaired: Contents that differ from what is stored because tool calls and results did not match.
        failure: Why nothing more is written until the session is reloaded.
        in_turn: Whether an invocation of the agent is under way.
        model_failed: Whether the invocation under way is ending with the model's error.
        turns: Which requests the agent's turns have answered.
    """

    next_id: int = 0
    held: HeldMessages = field(default_factory=HeldMessages)
    stored_state: str | None = None
    unredacted: list[tuple[list[int], Message]] = field(default_factory=list)
    repaired: dict[int, Message] = field(default_factory=dict)
    failure: SessionException | None = None
    in_turn: bool = False
    model_failed: bool = False
    turns: TurnLog = field(default_factory=TurnLog)


class RepositorySessionManager(SessionManager):
    """Keeps agents and orchestrators in one session of a repository.

    Args:
        session_id: The session. It is created when the repository has none of this id.
        session_repository: Where the session lives.
        **kwargs: For later additions.

    Raises:
        InvalidIdentifierError: The id cannot be a session's.
        SessionException: The repository could not read or create the session.
    """

    def __init__(self, session_id: str, session_repository: SessionRepository, **kwargs: Any) -> None:  # noqa: ARG002
        self.session_id = check_identifier("session", session_id)
        self.session_repository = session_repository
        self._journal = journal_of(session_repository, session_id)
        self.session, self._is_new_session = self._journal.open()
        self._agents: dict[str, _AgentLog] = {}
        self._stored_multi_agents: dict[str, str] = {}
        self._stopped: SessionException | None = None

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        """Subscribe to the events of an agent's or an orchestrator's life."""
        from strands.hooks.events import AfterModelCallEvent

        registry.add_callback(AfterModelCallEvent, self._after_model_call)
        super().register_hooks(registry, **kwargs)

    # --- restoring --------------------------------------------------------------------------------------

    def initialize(self, agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Restore an agent from the session, or store it when the session has no agent of its id.

        Args:
            agent: A new ``Agent`` or ``BidiAgent``. Its messages, state and conversation manager are overwritten
                with what is stored.
            **kwargs: For later additions.

        Raises:
            ValueError: The agent has no ``agent_id``.
            SessionException: Another agent of this manager has the same id, or storage failed. A session that could
                not be read is left as it is.
        """
        if agent.agent_id is None:
            raise ValueError("agent_id needs to be defined.")
        agent_id = check_identifier("agent", agent.agent_id)
        if agent_id in self._agents:
            raise SessionException(
                "The `agent_id` of an agent must be unique in a session.", session_id=self.session_id
            )
        record = None if self._is_new_session else self._journal.read_agent(agent_id)
        # Only when everything has been read is the agent known, and may be written.
        if record is None:
            try:
                self._agents[agent_id] = self._store_new(agent)
            except SessionConflictError:
                # Another caller has created it since.
                record = self._journal.read_agent(agent_id)
                if record is None:
                    raise
        if record is not None:
            self._agents[agent_id] = self._restore(agent, record)
        self._is_new_session = False

    def _store_new(self, agent: Any) -> _AgentLog:
        logger.debug("session_id=<%s>, agent_id=<%s> | storing a new agent", self.session_id, agent.agent_id)
        record = SessionAgent.from_agent(agent)
        self._journal.create_agent(record)
        log = _AgentLog()
        for message in agent.messages:
            self._append(log, message, agent)
        return log

    def _restore(self, agent: Any, record: SessionAgent) -> _AgentLog:
        from strands.agent.state import AgentState

        logger.debug("session_id=<%s>, agent_id=<%s> | restoring an agent", self.session_id, agent.agent_id)
        conversation_manager = getattr(agent, "conversation_manager", None)
        prepended, removed, same_class = self._restore_conversation_manager(conversation_manager, record)
        conversation = self._journal.read_conversation(record, removed)

        # A manager of another class starts anew: what is stored is not what it would store.
        log = _AgentLog(next_id=conversation.next_id, stored_state=_comparable(record) if same_class else None)
        log.turns = TurnLog((record.kit or {}).get("turns"))
        agent.state = AgentState(record.state)
        record.initialize_internal_state(agent)
        stored = [*conversation.pinned, *conversation.window]
        for message_id, message in stored:
            log.held.add(message_id, message)
        if conversation_manager is not None and agent.model.stateful:
            logger.debug("agent_id=<%s> | the model keeps the conversation, no messages restored", agent.agent_id)
            return log

        messages = self._with_tool_pairs(log, stored, agent.agent_id)
        _forget_answered_interrupts(agent, messages)
        pinned = sum(1 for message_id, _ in conversation.pinned if log.held.message(message_id) in messages)
        agent.messages = [*messages[:pinned], *prepended, *messages[pinned:]] if prepended else messages
        return log

    def _with_tool_pairs(self, log: _AgentLog, stored: list[tuple[int, Message]], agent_id: str) -> list[Message]:
        """The restored messages with every tool call followed by its results."""
        messages = [message for _, message in stored]
        if has_tool_pairs(messages):
            return messages
        logger.warning(
            "session_id=<%s>, agent_id=<%s> | tool calls and results did not match, repaired in memory",
            self.session_id,
            agent_id,
        )
        repaired = repair_tool_pairs(messages)
        read = {message_id for message_id, _ in stored}
        for item in repaired:
            if item.source is None or not item.changed:
                continue
            message_id = stored[item.source][0]
            log.held.replace([message_id], item.message)
            # At the edge of what was read the other half of a pair may well be stored: that is no damage.
            if {message_id - 1, message_id + 1} <= {*read, -1}:
                log.repaired[message_id] = item.message
        return [item.message for item in repaired]

    def _restore_conversation_manager(
        self, conversation_manager: Any, record: SessionAgent
    ) -> tuple[list[Message], int, bool]:
        """Give a conversation manager its state back.

        Returns:
            Messages that it wants before the stored ones, how many of those it had removed, and whether the stored
            state was its own.
        """
        if conversation_manager is None:
            return [], 0, True
        state = record.conversation_manager_state
        try:
            prepended = conversation_manager.restore_from_session(copy.deepcopy(state)) or []
        except ValueError:
            stored, present = state.get("__name__"), type(conversation_manager).__name__
            if stored == present:
                raise
            # Whoever exchanges the conversation manager of an agent must not lose the agent's sessions by it.
            logger.warning(
                "session_id=<%s>, agent_id=<%s>, stored=<%s>, present=<%s> | the agent has another conversation "
                "manager now, restoring all messages",
                self.session_id,
                record.agent_id,
                stored,
                present,
            )
            return [], 0, False
        return prepended, conversation_manager.removed_message_count, True

    # --- appending and changing messages ----------------------------------------------------------------

    def append_message(self, message: Message, agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Store a message that has just been added to the agent's conversation.

        Args:
            message: The message. It is serialised now: Strands may change the object later.
            agent: Whose message it is.
            **kwargs: For later additions.

        Raises:
            SessionConflictError: Another writer has stored a message in its place. Nothing more is written until the
                session is reloaded.
            SessionStorageError: Storage failed; likewise.
        """
        log = self._log_of(agent)
        self._refuse_after_failure(log)
        replaced = log.held.replaced_by(message)
        if replaced and sum(1 for other in agent.messages if other.get("tracking_id") == message["tracking_id"]) == 1:
            self._replace(log, replaced, message, agent.agent_id)
            return
        self._append(log, message, agent)

    def _append(self, log: _AgentLog, message: Message, agent: Any) -> None:
        try:
            try:
                self._journal.append(agent.agent_id, _record_of(message, log))
            except StaleConversationError:
                if not self._catch_up(log, message, agent):
                    return
                self._journal.append(agent.agent_id, _record_of(message, log))
        except BaseException as error:
            log.failure = _as_failure(error)
            raise
        if log.in_turn:
            log.turns.has_stored(log.next_id)
        log.held.add(log.next_id, message)
        log.next_id += 1

    def _catch_up(self, log: _AgentLog, message: Message, agent: Any) -> bool:
        """Put the messages of a turn that was cut off before the message that is being added.

        Returns:
            Whether the message is still to be stored: results of a tool call that has got its results are not.
        """
        self._take_over_later(log, agent, besides=message)
        open_calls = tool_use_ids(agent.messages[-1]) if agent.messages else []
        answered = tool_result_ids(message)
        if answered and not set(answered) & set(open_calls):
            return False
        if open_calls and not answered:
            lost = lost_results(open_calls)
            agent.messages.append(lost)
            self._journal.append(agent.agent_id, SessionMessage.from_message(lost, log.next_id))
            log.held.add(log.next_id, lost)
            log.next_id += 1
        agent.messages.append(message)
        return True

    def _take_over_later(self, log: _AgentLog, agent: Any, *, besides: Message | None = None) -> None:
        """Put what is stored beyond the restored conversation behind it."""
        first_id, later = self._journal.read_later(agent.agent_id)
        logger.warning(
            "session_id=<%s>, agent_id=<%s>, messages=<%d> | going on after a turn that was cut off",
            self.session_id,
            agent.agent_id,
            len(later),
        )
        mistaken = log.held.forget_from(first_id)
        before = [
            other for other in agent.messages if other is not besides and not any(other is wrong for wrong in mistaken)
        ]
        repaired = repair_tool_pairs([*before, *(other for _, other in later)])
        for message_id, other in later:
            log.held.add(message_id, other)
            log.next_id = message_id + 1
        agent.messages[:] = [item.message for item in repaired]
        _forget_answered_interrupts(agent, agent.messages)

    def catch_up(self, agent: Any) -> bool:
        """Take over what a turn that was cut off has stored beyond the restored conversation.

        An append does so by itself. Whoever wants to know before it what the conversation has come to, calls this
        while holding the session's lease: otherwise it may be another caller's turn that is under way.

        Args:
            agent: A restored agent that has not been invoked.

        Returns:
            Whether there was anything.
        """
        log = self._log_of(agent)
        if not self._journal.has_later(agent.agent_id):
            return False
        self._take_over_later(log, agent)
        return True

    # --- requests ---------------------------------------------------------------------------------------

    def find_turn(self, agent: Any, key: str) -> TurnRecord | None:
        """Look for the turn that answers a request, or began to.

        Args:
            agent: A restored agent that has caught up.
            key: Digest of the request's idempotency key.

        Returns:
            The turn, or ``None``. The last 32 requests are remembered, and those whose turn was cut off.
        """
        log = self._log_of(agent)
        found = log.turns.find(key)
        if found is not None:
            return found
        # Turns since the agent's record was written by us, as crashes and Strands' managers leave them.
        first_id = max(log.turns.known_below or 0, log.next_id - MESSAGES_SEARCHED)
        return turn_in(self._journal.read_records(agent.agent_id, first_id, log.next_id), key)

    def answer_request(self, agent: Any, request: TurnRequest) -> None:
        """The next invocation of the agent answers this request: its first message will say so."""
        self._log_of(agent).turns.begin(request)

    def conclude_turn(self, agent: Any, outcome: dict[str, Any]) -> None:
        """Keep with the agent's record what the turn came to; stored when the invocation ends, or at the next sync.

        Args:
            agent: The agent.
            outcome: JSON.
        """
        log = self._log_of(agent)
        log.turns.conclude(outcome)
        if not log.in_turn:
            log.turns.end(log.next_id)

    def next_message_id(self, agent: Any) -> int:
        """The id that the agent's next message gets."""
        return self._log_of(agent).next_id

    def update_message_of(self, message: Message, agent: Any) -> None:
        """Replace the stored message that has this message's ``tracking_id``: a ``BidiAgent`` completed it.

        Args:
            message: What shall stand there.
            agent: Whose message it is.
        """
        log = self._log_of(agent)
        self._refuse_after_failure(log)
        held = log.held.records_of(message)
        if not held:
            logger.warning("agent_id=<%s> | no stored message to replace, nothing written", agent.agent_id)
            return
        self._replace(log, held, message, agent.agent_id)

    def _replace(self, log: _AgentLog, message_ids: list[int], message: Message, agent_id: str) -> None:
        """Put another content into stored messages."""
        content = _snapshot(message)

        def change(record: SessionMessage) -> SessionMessage:
            record.message = content
            if record.redact_message is not None:
                record.redact_message = content
            return record

        try:
            for message_id in message_ids:
                self._journal.rewrite(agent_id, message_id, change)
        except BaseException as error:
            log.failure = _as_failure(error)
            raise
        log.held.replace(message_ids, message)

    def redact_latest_message(self, redact_message: Message, agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace the message added last, in every record that holds it.

        The original is overwritten, not covered: nothing of the session holds it afterwards.

        Args:
            redact_message: What shall stand in its place.
            agent: Whose message it is.
            **kwargs: For later additions.

        Raises:
            SessionException: There is no message to redact, or storage failed. Then it is tried again at the next
                sync.
        """
        log = self._log_of(agent)
        latest = log.held.latest_id
        if latest is None:
            raise SessionException("No message to redact.", session_id=self.session_id)
        held = log.held.records_of(redact_message) or log.held.records_of(log.held.message(latest))
        redaction = (held, _snapshot(redact_message))
        log.unredacted.append(redaction)
        self._redact(log, agent.agent_id)

    def _redact(self, log: _AgentLog, agent_id: str) -> None:
        """Store the redactions that are not stored yet, the oldest first."""
        while log.unredacted:
            message_ids, replacement = log.unredacted[0]

            def change(record: SessionMessage, replacement: Message = replacement) -> SessionMessage:
                record.message = replacement
                record.redact_message = replacement
                return record

            for message_id in message_ids:
                try:
                    self._journal.rewrite(agent_id, message_id, change, redacts=True)
                except SessionNotFoundError:
                    logger.warning("message_id=<%d> | gone before it could be redacted", message_id)
            log.unredacted.pop(0)

    # --- state ------------------------------------------------------------------------------------------

    def sync_agent(self, agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Store the agent's state if its value has changed, and what has to be changed in stored messages.

        Args:
            agent: The agent.
            **kwargs: For later additions.

        Raises:
            SessionConflictError: Another writer has changed the state. Nothing more is written until the session is
                reloaded.
            SessionStorageError: Storage failed.
        """
        log = self._log_of(agent)
        if log.failure is not None and log.in_turn:
            # The failure has been raised where it happened; saying it again would hide what followed from it.
            logger.warning("agent_id=<%s> | not stored after an earlier failure: %s", agent.agent_id, log.failure)
            return
        self._refuse_after_failure(log)
        try:
            self._redact(log, agent.agent_id)
            self._store_pins(log, agent.agent_id)
            log.held.forget_removed(agent.messages)
            self._store_state(log, agent)
        except Exception as error:
            if isinstance(error, SessionConflictError):
                log.failure = error
            if not log.model_failed:
                raise
            # The caller has to learn of the model's error: raising here would replace it.
            logger.exception("agent_id=<%s> | the state could not be stored", agent.agent_id)

    def _store_pins(self, log: _AgentLog, agent_id: str) -> None:
        """Write pins back: a conversation manager sets them long after the messages were stored."""
        for message_id in log.held.changed_pins():
            pinned = is_pinned(log.held.message(message_id))

            def change(record: SessionMessage, pinned: bool = pinned) -> SessionMessage:
                record.message = _with_pin(record.message, pinned)
                if record.redact_message is not None:
                    record.redact_message = _with_pin(record.redact_message, pinned)
                return record

            self._journal.rewrite(agent_id, message_id, change)
            log.held.pin_is_stored(message_id)

    def _store_state(self, log: _AgentLog, agent: Any) -> None:
        record = SessionAgent.from_agent(agent)
        pinned, turns = sorted(log.held.pinned_ids), log.turns.to_kit()
        if pinned or turns:
            record.kit = {name: value for name, value in (("pinned", pinned), ("turns", turns)) if value}
        state = _comparable(record)
        unchanged = state == log.stored_state and not is_bidirectional(agent)
        if unchanged and not self._journal.needs_update(agent.agent_id):
            return
        self._journal.update_agent(record)
        log.stored_state = state

    def _store_repairs(self, log: _AgentLog, agent_id: str) -> None:
        """Write back contents whose tool results were repaired at the restore, unless somebody changed them since."""
        for message_id, message in list(log.repaired.items()):
            content = _snapshot(message)

            def change(record: SessionMessage, content: Message = content) -> SessionMessage:
                if record.redact_message is None:
                    record.message = content
                else:
                    record.redact_message = content
                return record

            self._journal.rewrite(agent_id, message_id, change)
            del log.repaired[message_id]

    # --- turns ------------------------------------------------------------------------------------------

    def begin_turn(self, agent: Any) -> None:
        """An invocation of the agent begins."""
        log = self._log_of(agent)
        log.in_turn = True
        log.model_failed = False
        self._journal.begin_turn(agent.agent_id)

    def _after_model_call(self, event: Any) -> None:
        log = self._agents.get(event.agent.agent_id)
        if log is not None:
            log.model_failed = event.exception is not None and not getattr(event, "retry", False)

    def end_turn(self, agent: Any) -> None:
        """An invocation of the agent has ended: what it did is durable when this returns.

        Raises:
            SessionException: Something of it could not be stored. The model's error, if there is one, is not replaced.
        """
        log = self._log_of(agent)
        try:
            self._journal.close_turn(agent.agent_id)
            log.turns.end(log.next_id)
            self.sync_agent(agent)
            if log.failure is None:
                self._store_repairs(log, agent.agent_id)
                self._journal.end_turn(agent.agent_id)
        except Exception as error:
            log.failure = log.failure or _as_failure(error)
            if not log.model_failed:
                raise
            logger.exception("agent_id=<%s> | the turn could not be stored whole", agent.agent_id)
        finally:
            log.in_turn = False
            if log.failure is not None:
                self._journal.abandon_turn(agent.agent_id)

    def stop(self, why: SessionException) -> None:
        """Write nothing more, whatever the agents go on to do: nobody waits for them any more.

        Args:
            why: What every later write is refused with.
        """
        self._stopped = why

    def _log_of(self, agent: Any) -> _AgentLog:
        log = self._agents.get(agent.agent_id)
        if log is None:
            raise SessionException(
                f"agent_id={agent.agent_id} | the agent has not been initialized with this session manager",
                session_id=self.session_id,
            )
        log.failure = log.failure or self._stopped
        return log

    def _refuse_after_failure(self, log: _AgentLog) -> None:
        failure = log.failure
        if failure is None:
            return
        message = f"session_id={self.session_id} | not stored, reload the session: an earlier write failed: {failure}"
        if isinstance(failure, SessionStorageError):
            raise SessionStorageError(
                message, code=failure.code, session_id=self.session_id, key=failure.key
            ) from failure
        raise SessionConflictError(message, session_id=self.session_id, key=failure.key) from failure

    # --- orchestrators ----------------------------------------------------------------------------------

    def initialize_multi_agent(self, source: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Restore a graph, a swarm or another orchestrator, or store it when the session has none of its id.

        Args:
            source: The orchestrator.
            **kwargs: For later additions.
        """
        check_identifier("multi-agent", source.id)
        state = None if self._is_new_session else self._journal.read_multi_agent(source.id)
        if state is None:
            self._journal.create_multi_agent(source)
        else:
            logger.debug("session_id=<%s>, multi_agent_id=<%s> | restoring", self.session_id, source.id)
            source.deserialize_state(state)
        self._is_new_session = False

    def sync_multi_agent(self, source: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Store the orchestrator's state.

        Args:
            source: The orchestrator.
            **kwargs: For later additions.
        """
        self._journal.update_multi_agent(source)


def _forget_answered_interrupts(agent: Any, messages: list[Message]) -> None:
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


def _record_of(message: Message, log: _AgentLog) -> SessionMessage:
    """The record of the next message; the first of a turn says which request the turn answers."""
    record = SessionMessage.from_message(message, log.next_id)
    record.kit = log.turns.mark if log.in_turn else None
    return record


def _as_failure(error: BaseException) -> SessionException:
    """Why nothing more is written, whatever a repository raised."""
    if isinstance(error, SessionException):
        return error
    return SessionStorageError(f"{type(error).__name__}: {error}", code=type(error).__name__)


def _comparable(record: SessionAgent) -> str:
    """A record's content as text: equal texts are equal values.

    Strands counts versions instead, which rise after every tool cycle even when nothing has changed.
    """
    content = record.to_dict()
    for changing in ("created_at", "updated_at"):
        content.pop(changing)
    kit = record.kit or {}
    content["kit"] = [kit.get("pinned", []), kit.get("turns")]
    return json.dumps(content, sort_keys=True, default=str)


def _snapshot(message: Message) -> Message:
    """A copy that later changes of the message do not reach."""
    return cast("Message", decode_bytes_values(encode_bytes_values(message)))


def _with_pin(message: Message, pinned: bool) -> Message:
    """The message with or without its pin, the rest of its metadata untouched."""
    changed: dict[str, Any] = {key: value for key, value in message.items() if key != "metadata"}
    metadata: dict[str, Any] = dict(message.get("metadata") or {})
    custom = {key: value for key, value in (metadata.pop("custom", None) or {}).items() if key != "pinned"}
    if pinned:
        custom["pinned"] = True
    if custom:
        metadata["custom"] = custom
    if metadata:
        changed["metadata"] = metadata
    return cast("Message", changed)
