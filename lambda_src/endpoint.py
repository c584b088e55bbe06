"""The endpoint behind both doors, HTTP and plain events: its settings, its store, and taking a turn."""
# Over 300 lines: what both doors do with a turn, one verb after the other.

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from agent_sessions.exceptions import SessionBusyError, SessionNotFoundError
from lambda_src import secrets
from lambda_src.answers import errors
from lambda_src.answers.logs import logger
from lambda_src.metrics import recorded
from lambda_src.metrics.emf import MetricLines
from lambda_src.runtime import aws, collector
from lambda_src.runtime.event_loop import AbandonedError, Result, within
from lambda_src.turn_resource import following
from lambda_src.turn_resource.taking import TakenTurn
from lambda_src.turn_resource.turn_status import RUNNING
from lambda_src.turns.agent_builders import begin_loading, builder_of, load_agents
from lambda_src.turns.repeats import Asked, key_reused
from lambda_src.turns.session_use import SessionUse
from lambda_src.turns.time_limit import TimeLimit
from lambda_src.turns.turn import stream_turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.session_store import SessionStore
    from lambda_src.contract import TurnBody
    from lambda_src.settings import Settings
    from lambda_src.turn_resource.following import FollowedTurn
    from lambda_src.turns.turn_events import TurnEvent


ACCEPTED_WAIT_SECONDS = 60.0
"""How long a turn without a caller waits while its session is in use."""


class Endpoint:
    """One per process. Everything that belongs to a single request is passed in.

    Args:
        settings: What the environment said.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metric_lines = MetricLines(settings.stage, traces=settings.tracing == "xray")
        self._store: SessionStore | None = None
        self._opening = threading.Lock()
        aws.on_restore(self.forget_store)

    def store(self, owner: str) -> SessionStore:
        """Where this owner's sessions are, and nobody else's.

        Args:
            owner: The owner's key prefix, from ``owner_prefix``.
        """
        with self._opening:
            if self._store is None:
                with collector.paused():
                    self._store = self._open()
            return self._store.for_owner(owner)

    def take_turn(
        self,
        owner: str,
        session_id: str,
        body: TurnBody,
        remaining_seconds: Callable[[], float],
        *,
        request_id: str,
        idempotency_key: str | None = None,
        watch: Callable[[TurnEvent], object] | None = None,
        lease_wait_seconds: float | None = None,
        accepted: TakenTurn | None = None,
    ) -> dict[str, Any]:
        """Take one turn of a session and return the reply; the session is made when there is none.

        Args:
            owner: Whose session it is.
            session_id: Which session.
            body: The prompt, or the answers to pending interrupts.
            remaining_seconds: Tells the time the function has left; asked when the turn starts.
            request_id: Names this request to callers that are refused while it runs.
            idempotency_key: The caller's name for what it asks: sent again, it gets the same reply.
            watch: Gets each event of the turn as it happens. It must return at once.
            lease_wait_seconds: How long to wait while another caller uses the session; by default, as the settings say.
            accepted: The turn, if it was accepted before: see :meth:`take_accepted_turn`.

        Raises:
            EndpointError: When there is no reply.
            SessionException: When the session cannot be opened.
        """
        settings = self.settings.for_agent(body.agent_id)
        store = self.store(owner)
        # Strands takes longest to import by far. A request that only reads sessions does not wait for it, and a cold
        # start takes the lease meanwhile. The client is there already: two threads do not import the same.
        builder = begin_loading(settings.agent_id)
        if lease_wait_seconds is not None:
            settings = settings.model_copy(update={"lease_wait_seconds": lease_wait_seconds})
        recorded.name(session_id=session_id, agent_id=settings.agent_id)
        # Who waits for the session, or comes again for it, would read for nothing.
        reads_ahead = body.prompt is not None and not lease_wait_seconds
        use = SessionUse(store, session_id, settings, remaining_seconds, request_id, reads_ahead=reads_ahead)
        if body.prompt is None:
            # If there is no session, answers to its interrupts must not make one.
            self.in_time(lambda: store.describe(session_id), remaining_seconds)
        if accepted is not None:
            watch = accepted.note
        with recorded.measured_turn(), use:
            build_agent = builder()  # before the session is opened: an agent that is unknown begins none
            use.limit = TimeLimit.within(remaining_seconds(), settings.deadline_margin_seconds)
            if accepted is not None:
                self.in_time(accepted.look_up, remaining_seconds)
            turn = stream_turn(
                use.open_session if accepted is None else lambda: accepted.checked(use.open_session()),
                lambda session: build_agent(session, settings),
                body,
                use.limit,
                Asked.of(
                    idempotency_key,
                    body,
                    default_agent_id=self.settings.agent_id,
                    after_crash=use.found_unfinished,
                    turn_id=None if accepted is None else accepted.turn_id,
                    request_id=request_id,
                ),
                partial(store.is_asked_to_cancel, session_id) if accepted is None else accepted.is_cancelled,
            )
            reply = use.run(turn, watch)
        logger.info(
            "turn completed",
            extra={
                "owner": owner,
                "session_id": session_id,
                "agent_id": reply["agent_id"],
                "restored_messages": reply["restored_messages"],
                "stop_reason": reply["stop_reason"],
                "interrupts": len(reply["interrupts"]),
                **reply["usage"],
            },
        )
        return reply

    def take_accepted_turn(
        self,
        owner: str,
        session_id: str,
        body: TurnBody,
        remaining_seconds: Callable[[], float],
        *,
        request_id: str,
        idempotency_key: str,
        turn_id: str,
    ) -> dict[str, Any]:
        """Take a turn that was accepted before: see :meth:`take_turn`. It may be tried again, or delivered twice.

        Args:
            owner: See :meth:`take_turn`.
            session_id: See :meth:`take_turn`.
            body: See :meth:`take_turn`.
            remaining_seconds: See :meth:`take_turn`.
            request_id: See :meth:`take_turn`.
            idempotency_key: Under which the turn is answered once.
            turn_id: How it was called when it was accepted.

        Raises:
            NotFoundError: The session was erased since.
            EndpointError: When there is no reply. If nothing of the turn is stored, its record says so.
        """
        agent_id = body.agent_id or self.settings.agent_id
        with TakenTurn(self.store(owner), session_id, agent_id, turn_id, remaining_seconds) as accepted:
            return self.take_turn(
                *(owner, session_id, body, remaining_seconds),
                request_id=request_id,
                idempotency_key=idempotency_key,
                # Nobody waits for it, and a refusal would cost it one of its few tries.
                lease_wait_seconds=ACCEPTED_WAIT_SECONDS,
                accepted=accepted,
            )

    def take_or_follow_turn(
        self,
        take: Callable[..., dict[str, Any]],
        owner: str,
        session_id: str,
        body: TurnBody,
        idempotency_key: str,
        watch: Callable[[TurnEvent], object],
        goes_on: Callable[[], bool],
        after_id: int = -1,
    ) -> dict[str, Any]:
        """Take one turn, or follow it if the same request is being worked on already.

        While the session is in use, it looks once a second whether it is used for this turn.

        Args:
            take: Takes the turn: :meth:`take_turn` with these arguments.
            owner: Whose session it is.
            session_id: Which session.
            body: What is asked.
            idempotency_key: The caller's name for the request.
            watch: Gets each event of a turn that is followed.
            goes_on: Tells whether anybody wants to hear more of it.
            after_id: The last message of a turn that is followed which is known already.

        Raises:
            EndpointError: When there is no reply.
            FollowedNoLongerError: The turn goes on, and nobody wants to hear more.
        """
        give_up_at = time.monotonic() + self.settings.for_agent(body.agent_id).lease_wait_seconds
        wait = 0.0
        while True:
            try:
                return take(lease_wait_seconds=wait)
            except SessionBusyError:
                # Whoever holds the lease may be about to store the first message of this very turn.
                turn = self.turn_of_request(owner, session_id, body, idempotency_key)
                if turn is not None and turn.state() is RUNNING:
                    return turn.follow(watch, after_id=after_id, goes_on=goes_on)
                wait = min(following.LOOK_SECONDS, give_up_at - time.monotonic())
                if wait <= 0:
                    raise

    def turn_of_request(self, owner: str, session_id: str, body: TurnBody, idempotency_key: str) -> FollowedTurn | None:
        """The turn that answers a request, or has begun to; ``None`` when nothing of it is stored yet.

        Args:
            owner: Whose session it is.
            session_id: Which session.
            body: What is asked.
            idempotency_key: The caller's name for it.

        Raises:
            IdempotencyKeyReusedError: The key has been used for something else.
        """
        asked = Asked.of(idempotency_key, body, default_agent_id=self.settings.agent_id)
        agent_id = body.agent_id or self.settings.agent_id
        try:
            turn = following.find(self.store(owner), session_id, agent_id, lambda record: record.key == asked.key)
        except (errors.NotFoundError, SessionNotFoundError):
            return None
        if turn.found.turn.body != asked.body:
            raise key_reused()
        return turn

    def require_agent(self, agent_id: str) -> None:
        """Refuse an agent that nobody builds, before its turn is accepted.

        Raises:
            NotFoundError: There is no such agent.
        """
        builder_of(agent_id)

    def in_time(self, work: Callable[[], Result], remaining_seconds: Callable[[], float]) -> Result:
        """Read something. If the storage does not answer, say so while there is time.

        Args:
            work: Reads. If nobody waits for it any more, it may go on, even in a later invocation.
            remaining_seconds: Tells the time the function has left.

        Raises:
            OutOfTimeError: The storage did not answer.
        """
        limit = TimeLimit.within(remaining_seconds(), self.settings.deadline_margin_seconds)
        try:
            return within(limit.last_seconds, work)
        except AbandonedError:
            raise errors.OutOfTimeError(
                "The storage did not answer within the function's time. Sending the request again is safe."
            ) from None

    def prime(self) -> None:
        """Do once, before a snapshot, what every restored process would otherwise do in its first turn."""
        from lambda_src.models.providers import prime_model

        load_agents()
        with self._opening:
            self._store = self._store or self._open()
        prime_model(self.settings)
        secrets.forget()  # a snapshot holds none

    def forget_store(self) -> None:
        """Drop the store with its connections; the next request opens it again."""
        with self._opening:
            self._store = None

    def _open(self) -> SessionStore:
        from agent_sessions.session_store import SessionStore
        from agent_sessions.store_url import parse_store_url

        url = self.settings.session_store
        client = aws.s3_client() if parse_store_url(url).needs_aws else None
        return SessionStore.from_url(
            url,
            client=client,
            ttl_days=self.settings.session_ttl_days,
            allow_unconditional=self.settings.allow_unconditional,
        )
