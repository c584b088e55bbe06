"""The endpoint behind both doors, HTTP and plain events: its settings, its store, and taking a turn."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from lambda_src.answers import errors
from lambda_src.answers.logs import logger
from lambda_src.runtime import aws
from lambda_src.runtime.event_loop import AbandonedError, Result, within
from lambda_src.turns.first_import import import_agent
from lambda_src.turns.repeats import Asked
from lambda_src.turns.session_use import SessionUse
from lambda_src.turns.turn import TimeLimit, stream_turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions.session_store import SessionStore
    from lambda_src.contract import TurnBody
    from lambda_src.settings import Settings


class Endpoint:
    """One per process. Everything that belongs to a single request is passed in.

    Args:
        settings: What the environment said.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
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
    ) -> dict[str, Any]:
        """Take one turn of a session and return the reply; the session is made when there is none.

        Args:
            owner: Whose session it is.
            session_id: Which session.
            body: The prompt, or the answers to pending interrupts.
            remaining_seconds: Tells the time the function has left; asked when the turn starts.
            request_id: Names this request to whoever is refused meanwhile.
            idempotency_key: The caller's name for what it asks: sent again, it gets the same reply.

        Raises:
            EndpointError: When there is no reply.
            SessionException: When the session cannot be opened.
        """
        # Strands takes longest to import by far; who only reads sessions does not wait for it.
        import_agent()
        from lambda_src.agent import build_agent

        store = self.store(owner)
        settings = self.settings.for_agent(body.agent_id)
        use = SessionUse(store, session_id, settings, remaining_seconds, request_id)
        if body.prompt is None:
            # Answers to a session that is not there must not make one.
            self.in_time(lambda: store.describe(session_id), remaining_seconds)
        with use:
            turn = stream_turn(
                use.open_session,
                lambda session: build_agent(session, settings),
                body,
                use.limit,
                Asked.of(
                    idempotency_key,
                    body,
                    default_agent_id=self.settings.agent_id,
                    after_crash=use.found_unfinished,
                ),
            )
            reply = use.run(turn)
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

    def in_time(self, work: Callable[[], Result], remaining_seconds: Callable[[], float]) -> Result:
        """Read something, and say so in time when the storage does not answer.

        Args:
            work: Reads. It may go on, in a later invocation even, when nobody waits for it any more.
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
        """Do before a snapshot what the first turn of every restored process would do again."""
        from lambda_src.runtime.model_providers import build_model

        import_agent()
        with self._opening:
            self._store = self._store or self._open()
        build_model(self.settings)

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
