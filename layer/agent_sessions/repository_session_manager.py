"""The behaviour of every session manager, above any repository."""
# Over 300 lines: Strands' hooks and verbs, each with its errors; what they do is in _conversation.

from __future__ import annotations

import logging
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agent_sessions._conversation.call_hooks import CallHooks
from agent_sessions._conversation.journal_choice import journal_of
from agent_sessions.exceptions import SessionConflictError, SessionException
from agent_sessions.identifiers import check_identifier
from agent_sessions.locks import Lock
from agent_sessions.session_manager import SessionManager

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from strands.hooks.registry import HookRegistry
    from strands.types.content import Message

    from agent_sessions._conversation.stored_agent import StoredAgent
    from agent_sessions.session_repository import SessionRepository
    from agent_sessions.turn_request import OrchestratorRecord, TurnRecord, TurnRequest
    from agent_sessions.types import Session

logger = logging.getLogger(__name__)


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

    def __init__(self, session_id: str, session_repository: SessionRepository, **kwargs: Any) -> None:
        if kwargs:
            logger.warning("arguments=<%s> | unknown here, and ignored", ",".join(sorted(kwargs)))
        self.session_id = check_identifier("session", session_id)
        self.session_repository = session_repository
        self._journal = journal_of(session_repository, session_id)
        self._opened, self._is_new_session = self._journal.open()
        self._began_here = self._is_new_session
        self._agents: dict[str, StoredAgent] = {}
        self._calls = CallHooks(self._agents, fences_effects=self._journal.turns.fences_effects)
        self._initializing = Lock()
        self._stopped: SessionException | None = None

    @cached_property
    def session(self) -> Session:
        """The session, as it was opened. Behind a ``read_ahead`` this may wait, and raise as opening a session does."""
        return self._opened.result() if isinstance(self._opened, Future) else self._opened

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        """Subscribe to the events of an agent's or an orchestrator's life."""
        self._calls.register(registry)
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
        with self._initializing:
            if agent_id in self._agents:
                raise SessionException(
                    "The `agent_id` of an agent must be unique in a session.", session_id=self.session_id
                )
            self._agents[agent_id] = self._restore_or_store(agent)
            self._is_new_session = False

    def _restore_or_store(self, agent: Any) -> StoredAgent:
        """What is stored of an agent. The agent becomes known, and may be written, only when everything was read."""
        record = None if self._is_new_session else self._journal.read_agent(agent.agent_id)
        from agent_sessions._conversation.restoring import restore_agent
        from agent_sessions._conversation.stored_agent import StoredAgent

        if record is None:
            logger.debug("session_id=<%s>, agent_id=<%s> | storing a new agent", self.session_id, agent.agent_id)
            stored_agent = StoredAgent(self._journal, agent.agent_id)
            try:
                stored_agent.store_first(agent)
            except SessionConflictError:
                # Another caller has created it since.
                record = self._journal.read_agent(agent.agent_id)
                if record is None:
                    raise
            else:
                return stored_agent
        return restore_agent(agent, record, self._journal)

    # --- appending and changing messages ----------------------------------------------------------------

    def append_message(self, message: Message, agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Store a message that has just been added to the agent's conversation.

        Args:
            message: The message. It is serialised now: Strands may change the object later.
            agent: Whose message it is.
            **kwargs: For later additions.

        Raises:
            UnstorableValueError: Something in it cannot be stored. The agent's messages are without it, and the next
                turn works.
            SessionConflictError: Another writer has stored a message in its place. Nothing more is written until the
                session is reloaded.
            SessionStorageError: Storage failed. Nothing more is written until the session is reloaded.
        """
        self._stored(agent).add(message, agent)

    def catch_up(self, agent: Any) -> bool:
        """Take over what a turn that was cut off has stored after the restored conversation.

        An append does so by itself. To know earlier what the conversation has come to, call this while you hold the
        session's lease: otherwise another caller's turn may be under way.

        Args:
            agent: A restored agent that has not been invoked.

        Returns:
            Whether there was anything to take over.
        """
        return self._stored(agent).catch_up(agent)

    # --- requests ---------------------------------------------------------------------------------------

    def find_turn(self, agent: Any, key: str) -> TurnRecord | None:
        """Look for the turn that answers a request, or began to.

        Args:
            agent: A restored agent that has caught up.
            key: Digest of the request's idempotency key, as in its ``TurnRequest``.

        Returns:
            The turn, or ``None``. The last 32 requests are remembered, and those whose turn was cut off. If the agent
            is new in the session, other agents' turns are found too: a key is for one request. If there are very many
            agents, the first 500 by their keys are asked.
        """
        stored_agent = self._stored(agent)
        found = stored_agent.find_turn(key)
        if found is None and stored_agent.next_id == 0 and not self._began_here:
            found = self._journal.turns.find_elsewhere(agent.agent_id, key)
        return found

    def answer_request(self, agent: Any, request: TurnRequest) -> None:
        """The next invocation of the agent answers this request: its first message will say so.

        With a key, a message that would have to go behind a cut-off turn to which the agent has not caught up is not
        stored: ``SessionConflictError``.
        """
        stored_agent = self._stored(agent)
        stored_agent.turns.begin(request, stored_agent.next_id)

    def conclude_turn(self, agent: Any, outcome: dict[str, Any]) -> None:
        """Keep with the agent's record what the turn came to; stored when the invocation ends, or at the next sync.

        Args:
            agent: The agent.
            outcome: A value for JSON.
        """
        stored_agent = self._stored(agent)
        stored_agent.turns.conclude(outcome)
        if not stored_agent.in_turn:
            stored_agent.turns.end(stored_agent.next_id)

    def watch_stored(self, told: Callable[[str, int], object]) -> None:
        """Call a function for each new message that is stored from now on.

        Args:
            told: Gets the agent's id and the message's, in order, on the thread that has stored the message. It must
                return at once and raise nothing.
        """
        self._journal.told_of_stored = told

    def watch_renewals(self, told: Callable[[int, bool], object]) -> None:
        """Call a function when the renewal of a turn has ended: see docs/EXPIRY.md.

        Args:
            told: Gets how many objects were renewed, and whether the renewal failed. It must raise nothing.
        """
        self._journal.told_of_renewal = told

    def next_message_id(self, agent: Any) -> int:
        """The id that the agent's next message gets, if the one that is on its way is not refused."""
        stored_agent = self._stored(agent)
        return stored_agent.next_id + stored_agent.fence.is_on_its_way

    def message_ids(self, agent: Any) -> list[int | None]:
        """The id of each of the agent's messages; ``None`` for one that is not stored, such as a summary."""
        return self._stored(agent).held.ids_of(agent.messages)

    def is_in_turn(self, agent: Any) -> bool:
        """Whether an invocation of the agent has begun without a reported end: an earlier hook may have failed."""
        return self._stored(agent).in_turn

    def update_message_of(self, message: Message, agent: Any) -> None:
        """Replace the stored message that has this message's ``tracking_id``: a ``BidiAgent`` completed it.

        Args:
            message: The replacement.
            agent: Whose message it is.
        """
        if not self._stored(agent).update(message):
            logger.warning("agent_id=<%s> | no stored message to replace, nothing written", agent.agent_id)

    def redact_latest_message(self, redact_message: Message, agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Replace the message added last, in every record that holds it.

        The original is overwritten, not covered: nothing of the session holds it afterwards.

        Args:
            redact_message: The replacement.
            agent: Whose message it is.
            **kwargs: For later additions.

        Raises:
            SessionException: There is no message to redact, or storage failed. After a failure, the next sync tries
                again.
        """
        self._stored(agent).redact(redact_message, agent)

    def redact_beside(self, agent: Any, messages: Sequence[Message], redacted: Callable[[Any], Any]) -> None:
        """Take something back out of what an agent waits with, its turns came to, and these messages carry of before.

        ``redacted`` gets a value of JSON, and returns it without what is taken back.
        """
        self._stored(agent).redact_beside(messages, redacted)

    # --- state ------------------------------------------------------------------------------------------

    def sync_agent(self, agent: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Store the agent's state if it has changed, and pending changes of stored messages.

        Args:
            agent: The agent.
            **kwargs: For later additions.

        Raises:
            SessionConflictError: Another writer has changed the state. Nothing more is written until the session is
                reloaded.
            SessionStorageError: Storage failed.
        """
        self._stored(agent).sync(agent)

    # --- turns ------------------------------------------------------------------------------------------

    def begin_turn(self, agent: Any, *, given: Sequence[Message] = (), invocation: object = None) -> None:
        """Note that an invocation of the agent begins.

        Args:
            agent: The agent.
            given: The messages it is invoked with. Each counts as new, even if its object was stored before.
            invocation: Tells it from other invocations of the agent that are under way.

        Raises:
            UnstorableValueError: The agent's state cannot be stored, as it is. Nothing was.
        """
        self._stored(agent).begin_turn(agent, given=given, invocation=invocation)

    async def fence_acknowledged(self) -> None:
        """Wait until the turns under way have their fence: nobody else has gone on from where they began.

        With ``fence="effects"`` the model is asked before that is known. Its words wait by themselves. Whoever shows
        anything else of a turn waits here first. At any other time, and with other options, this returns at once.

        Raises:
            SessionConflictError: Another writer came first. The turn does not exist, and shows nothing.
            SessionStorageError: Storage failed.
        """
        for stored_agent in list(self._agents.values()):
            await stored_agent.fence.known()
            stored_agent.settle_fence()

    def awaits_fence(self, agent: Any) -> bool:
        """Whether a turn of the agent has begun of which nobody knows yet whether it was refused."""
        return self._stored(agent).fence.is_on_its_way

    def has_fenced_a_turn(self) -> bool:
        """Whether any turn taken with this manager has got its fence: its tools may have run.

        Whoever is told of a conflict may take the turn again, from a new restore, while this is ``False``.
        """
        return any(stored_agent.has_fenced for stored_agent in list(self._agents.values()))

    def end_turn(self, agent: Any, *, invocation: object = None) -> None:
        """Store what an ended invocation of the agent did: it is durable when this returns.

        Args:
            agent: The agent.
            invocation: As for :meth:`begin_turn`.

        Raises:
            SessionException: Part of it could not be stored. If the model raised an error, that error is not replaced.
        """
        self._stored(agent).end_turn(agent, invocation=invocation)

    def stop(self, why: SessionException) -> None:
        """Write nothing more, even if the agents go on: nobody waits for them any more.

        A write that storage has refused and that waits to be repeated is not repeated either.

        Args:
            why: The error that every later write raises.
        """
        self._stopped = why
        self._journal.stop()

    def _stored(self, agent: Any) -> StoredAgent:
        stored_agent = self._agents.get(agent.agent_id)
        if stored_agent is None:
            raise SessionException(
                f"agent_id={agent.agent_id} | the agent has not been initialized with this session manager",
                session_id=self.session_id,
            )
        stored_agent.failure = stored_agent.failure or self._stopped
        return stored_agent

    # --- orchestrators ----------------------------------------------------------------------------------

    def initialize_multi_agent(self, source: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Restore a graph, a swarm or another orchestrator, or store it when the session has none of its id.

        Args:
            source: The orchestrator.
            **kwargs: For later additions.

        Raises:
            SessionCorruptError: The orchestrator cannot use what is stored.
        """
        check_identifier("multi-agent", source.id)
        self._journal.orchestrators.restore_or_create(source, is_new_session=self._is_new_session)
        self._is_new_session = False

    def orchestrator_record(self, multi_agent_id: str) -> OrchestratorRecord | None:
        """What was stored of an orchestrator when it was restored.

        ``None`` when no orchestrator of this id has been initialized with this manager.
        """
        return self._journal.orchestrators.restored.get(multi_agent_id)

    def name_turn(self, turn_id: str, used: Callable[[], dict[str, int]] | None = None) -> None:
        """Have everything that is stored of orchestrators from now on name a turn: see :class:`OrchestratorRecord`.

        Args:
            turn_id: The turn that runs them.
            used: Says what the turn has used so far: tokens, say. It is asked at each write.
        """
        self._journal.orchestrators.turn_id = turn_id
        self._journal.orchestrators.used = used

    def redact_multi_agent(self, source: Any, redacted: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace the orchestrator's state with what may be stored of it.

        The original is overwritten, not covered: where the store keeps older versions, those of the record are deleted.

        Args:
            source: The orchestrator.
            redacted: Given a state of the orchestrator, returns what may be stored of it. It is asked about each state
                that is stored from now on.

        Raises:
            SessionException: Storage failed. The next sync of the orchestrator makes up for it.
        """
        if self._stopped is not None:
            raise self._stopped
        self._journal.orchestrators.redact(source, redacted)

    def sync_multi_agent(self, source: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Store the orchestrator's state.

        Args:
            source: The orchestrator.
            **kwargs: For later additions.
        """
        if self._stopped is not None:
            raise self._stopped
        self._journal.orchestrators.update(source)
