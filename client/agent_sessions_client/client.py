"""The blocking client."""
# Over 300 lines: every verb with its arguments explained where it is called.

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import httpx
from httpx_sse import EventSource, SSEError

from agent_sessions_client import _requests
from agent_sessions_client._reading import TurnReading
from agent_sessions_client._requests import EVENTS, JSON, Prompt, Sent
from agent_sessions_client._wire import STREAM, UNREACHABLE, WHOLE, RefusedError, on_behalf, request_of
from agent_sessions_client.errors import AgentSessionsError, ConnectionLostError, problem_in
from agent_sessions_client.events import Event, Reply, Submitted, TurnBegan, reply_of, submitted_of
from agent_sessions_client.sessions import fork_of, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from agent_sessions_client.sessions import Fork, Order, SessionsPage


class Client:
    """Speaks to one endpoint.

    Args:
        url: The endpoint's, such as the stack's output ``EndpointUrl``.
        auth: :class:`SigV4Auth`, :class:`BearerAuth`, or another of httpx; ``None`` for ``make run``.
        session_owner: Somebody that the caller speaks for, where callers sign with IAM: any text of 1 to 200 bytes in
            UTF-8. Every request is about this person's sessions then.
        patience_seconds: After so long without hearing anything, a connection is given up.
        transport: Of httpx, instead of a network.
        pause: Waits so many seconds between two attempts.
    """

    def __init__(
        self,
        url: str,
        auth: httpx.Auth | None = None,
        *,
        session_owner: str | None = None,
        patience_seconds: float = 60,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._http = httpx.Client(
            base_url=url.rstrip("/"), auth=auth, headers=on_behalf(session_owner), timeout=WHOLE, transport=transport
        )
        self._patience_seconds = patience_seconds
        self._pause = pause

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def stream(
        self,
        session_id: str | None,
        prompt: Prompt | None = None,
        *,
        agent_id: str | None = None,
        interrupt_responses: list[dict[str, Any]] | None = None,
        idempotency_key: str | None = None,
    ) -> TurnStream:
        """Take a turn and hear of it as it happens.

        Args:
            session_id: The session; ``None`` begins a new one.
            prompt: Text, or content blocks of Strands with their bytes as base64.
            agent_id: The agent; by default the endpoint's.
            interrupt_responses: Answers to what the turn before asked.
            idempotency_key: Your own name for this request; by default a new one.

        Returns:
            The turn's events, to be read once. Nothing is sent before the first is asked for.
        """
        sent = _requests.turn(
            session_id,
            prompt,
            accept=EVENTS,
            agent_id=agent_id,
            interrupt_responses=interrupt_responses,
            idempotency_key=idempotency_key,
        )
        return TurnStream(self, sent)

    def follow(
        self, session_id: str, turn_id: str, *, agent_id: str | None = None, after_message: int | None = None
    ) -> TurnStream:
        """Hear of a turn that somebody else takes or took.

        Args:
            session_id: The session.
            turn_id: The turn.
            agent_id: The agent; by default the endpoint's.
            after_message: The last message that is known already.
        """
        known = {} if after_message is None else {"Last-Event-ID": str(after_message)}
        path = _requests.turn_path(session_id, turn_id)
        return TurnStream(self, Sent("GET", path, None, {"Accept": EVENTS, **known}, _requests.of_agent(agent_id)))

    def send(
        self,
        session_id: str | None,
        prompt: Prompt | None = None,
        *,
        agent_id: str | None = None,
        interrupt_responses: list[dict[str, Any]] | None = None,
        idempotency_key: str | None = None,
    ) -> Reply:
        """Take a turn and wait for its reply; the arguments are those of :meth:`stream`.

        Raises:
            EndpointProblemError: There is no reply.
            ConnectionLostError: The answer did not arrive. Sent again with the same key, the request means the same
                turn.
        """
        sent = _requests.turn(
            session_id,
            prompt,
            accept=JSON,
            agent_id=agent_id,
            interrupt_responses=interrupt_responses,
            idempotency_key=idempotency_key,
        )
        return reply_of(self._whole(sent))

    def submit(
        self,
        session_id: str | None,
        prompt: Prompt | None = None,
        *,
        agent_id: str | None = None,
        interrupt_responses: list[dict[str, Any]] | None = None,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Have a turn taken without waiting for it; the arguments are those of :meth:`stream`.

        Returns:
            How to see, follow and cancel the turn.
        """
        sent = _requests.turn(
            session_id,
            prompt,
            accept=JSON,
            agent_id=agent_id,
            interrupt_responses=interrupt_responses,
            idempotency_key=idempotency_key,
        )
        return submitted_of(self._whole(_requests.without_caller(sent)))

    def turn(self, session_id: str, turn_id: str, *, agent_id: str | None = None) -> dict[str, Any]:
        """What became of a turn: ``status``, and ``reply`` or ``problem``."""
        path = _requests.turn_path(session_id, turn_id)
        found: dict[str, Any] = self._whole(Sent("GET", path, params=_requests.of_agent(agent_id)))
        return found

    def cancel(self, session_id: str, turn_id: str, *, agent_id: str | None = None) -> None:
        """Ask a running turn to stop. It does so within two seconds; its reply says ``cancelled``.

        Raises:
            EndpointProblemError: There is no such turn, or it is over (409).
        """
        self._whole(Sent("DELETE", _requests.turn_path(session_id, turn_id), params=_requests.of_agent(agent_id)))

    def sessions(self, *, order: Order = "id", limit: int = 100, cursor: str | None = None) -> SessionsPage:
        """List the caller's sessions, a page at a time.

        Args:
            order: ``id``, or ``recent`` for those used last first.
            limit: At most so many, from 1 to 1,000; ``recent`` has 100 at most.
            cursor: ``next_cursor`` of the page before.
        """
        return page_of(self._whole(_requests.sessions(order, limit, cursor)))

    def rename(self, session_id: str, title: str | None) -> str | None:
        """Give a session a title, or take it back. It is no use of the session, and a turn that runs goes on.

        Args:
            session_id: The session.
            title: 1 to 200 characters; ``None`` gives back the one that the first prompt has made.

        Returns:
            The title that is shown from now on.

        Raises:
            EndpointProblemError: There is no such session (404), or the title is none (422).
        """
        renamed = self._whole(_requests.rename(session_id, title))
        shown: str | None = renamed["title"]
        return shown

    def fork(
        self,
        session_id: str,
        *,
        before_turn: str | None = None,
        before_message: int | None = None,
        agent_id: str | None = None,
        fork_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Fork:
        """Begin a new session as this one was before a turn; this one stays as it is.

        Args:
            session_id: The session.
            before_turn: The turn, by its id; or
            before_message: by its first message.
            agent_id: Whose turn; needed where there are several agents and the message names it.
            fork_id: The new session's id; by default one that cannot be guessed.
            idempotency_key: Your own name for this request; by default a new one.

        Raises:
            EndpointProblemError: There is no such turn (404), no fork can begin there (422), or ``fork_id`` is in use
                (409).
            ConnectionLostError: The answer did not arrive. Sent again with the same key, the request means the same
                fork.
        """
        sent = _requests.fork(
            session_id,
            before_turn=before_turn,
            before_message=before_message,
            agent_id=agent_id,
            fork_id=fork_id,
            idempotency_key=idempotency_key,
        )
        return fork_of(self._whole(sent))

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, **params: str) -> Any:
        """Send any other request of the HTTP contract.

        Args:
            method: HTTP method.
            path: Such as ``/sessions``, encoded.
            body: Sent as JSON.
            **params: Of the query string.

        Returns:
            The answer's JSON; ``None`` for an empty one.
        """
        return self._whole(Sent(method, path, body, params=params))

    def _whole(self, sent: Sent) -> Any:
        try:
            response = self._http.send(request_of(self._http, sent, WHOLE))
        except httpx.TransportError as error:
            raise ConnectionLostError("No answer arrived.") from error
        if not response.is_success:
            raise problem_in(response.status_code, response.headers, response.content)
        return response.json() if response.content else None

    def _events(self, reading: TurnReading) -> Generator[Event]:
        while not reading.is_over:
            try:
                yield from self._connection(reading)
                seconds = reading.ended()
            except UNREACHABLE as error:
                seconds = reading.unreachable(error)
            except SSEError as error:
                raise AgentSessionsError("The endpoint answers, but not with a stream of events.") from error
            except httpx.TransportError as error:
                seconds = reading.lost(error)
            except RefusedError as refusal:
                seconds = reading.refused(refusal.status, refusal.headers, refusal.body)
            if seconds:
                self._pause(seconds)

    def _connection(self, reading: TurnReading) -> Generator[Event]:
        request = request_of(self._http, reading.next_request(), STREAM)
        response = self._http.send(request, stream=True)
        try:
            if not response.is_success:
                raise RefusedError(response, response.read())
            reading.connected()
            for sse in EventSource(response).iter_sse():
                yield from reading.heard(sse.event, sse.data, sse.id)
                if reading.is_over:
                    return
        finally:
            response.close()


class TurnStream:
    """A turn's events, one after the other; lost connections are taken up again.

    Raises:
        EndpointProblemError: While it is read: the turn was refused, or ended in a problem.
        ConnectionLostError: While it is read: the endpoint cannot be reached any more.
    """

    def __init__(self, client: Client, first: Sent) -> None:
        self._client = client
        self._reading = TurnReading(first, client._patience_seconds)  # noqa: SLF001 - one module
        self._events = client._events(self._reading)  # noqa: SLF001 - likewise

    def __iter__(self) -> Iterator[Event]:
        """The events themselves."""
        return self

    def __next__(self) -> Event:
        """The next event, waited for."""
        return next(self._events)

    @property
    def turn(self) -> TurnBegan | None:
        """The turn, as soon as its first event was read."""
        return self._reading.turn

    @property
    def reply(self) -> Reply | None:
        """The reply, as soon as it was read."""
        return self._reading.reply

    def cancel(self) -> None:
        """Ask the turn to stop; its events go on to the end.

        Raises:
            ValueError: No event was read yet, so that nothing is known to have begun.
            EndpointProblemError: The turn is over (409).
        """
        if self.turn is None:
            raise ValueError("the turn is not known yet: read its first event")
        self._client.cancel(self.turn.session_id, self.turn.turn_id, agent_id=self.turn.agent_id)

    def close(self) -> None:
        """Leave. The turn goes on and is stored."""
        self._events.close()
