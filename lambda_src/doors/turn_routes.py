"""The door for turns: taking one, as one reply or as a stream, seeing what became of one, cancelling one."""

import re
import secrets
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query
from pydantic import BeforeValidator

from lambda_src import contract, value_rules
from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.errors import MalformedRequestError, TurnOverError
from lambda_src.answers.logs import log_refusal
from lambda_src.doors import accept, event_stream, openapi, problems
from lambda_src.doors.accepting import Accepting
from lambda_src.doors.current_request import CurrentRequest
from lambda_src.doors.http_request import decoded
from lambda_src.doors.payload import serialize
from lambda_src.doors.prefer import prefers_async
from lambda_src.doors.resolver import FunctionUrlRouter
from lambda_src.endpoint import Endpoint
from lambda_src.runtime.streamed_answer import StreamedAnswer
from lambda_src.turn_resource.accepted import AwaitedTurn, find_turn
from lambda_src.turn_resource.feed import Feed
from lambda_src.turn_resource.following import FollowedTurn
from lambda_src.turn_resource.turn_apart import TurnApart
from lambda_src.turn_resource.turn_status import RUNNING
from lambda_src.turns.repeats import session_id_for

SessionId = Annotated[value_rules.SessionIdInPath, BeforeValidator(decoded), Path(description="The session's id.")]
IdempotencyKey = Annotated[
    value_rules.IdempotencyKey | None,
    Header(
        alias="Idempotency-Key",
        description="The caller's own name for this request. Sent again with it, the request gets the same reply.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(alias="Prefer", description="respond-async: answer 202 at once, and take the turn without this caller."),
]
TurnId = Annotated[value_rules.TurnId, Path(description="turn_id of a reply, or of a stream's first event.")]
AgentId = Annotated[
    value_rules.AgentId | None, Query(description="The agent looked at first; by default the endpoint's.")
]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Of a stream: the last message that is known already."),
]
Reply = Response[contract.TurnReply | contract.RunningTurn | None]
"""A reply, or a 202 for one to come; none where the reply is streamed instead."""


_NO_EVENT = "Last-Event-ID is the id of no event of this turn."


class TurnRoutes:
    """The routes of turns.

    Args:
        endpoint: What they act on.
        router: Knows the current request.
    """

    def __init__(self, endpoint: Endpoint, router: FunctionUrlRouter) -> None:
        self._endpoint = endpoint
        self._router = router
        self._request = CurrentRequest(endpoint, router)

    def register(self) -> None:
        """Tell the router which request goes where."""
        router, session = self._router, "/sessions/<session_id>"
        router.post(f"{session}/messages", **openapi.operation("take_turn"))(self.take_turn)
        router.post("/sessions", **openapi.operation("start_session"))(self.start_session)
        router.get(f"{session}/turns/<turn_id>", **openapi.operation("read_turn"))(self.read_turn)
        router.delete(f"{session}/turns/<turn_id>", **openapi.operation("cancel_turn"))(self.cancel_turn)

    def take_turn(
        self,
        session_id: SessionId,
        body: Annotated[contract.TurnBody, Body(description="The turn.")],
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
        last_event_id: LastEventId = None,
    ) -> Reply:
        """Take one turn of a conversation; the session is made when there is none."""
        if prefers_async(prefer) and Accepting.is_possible(self._endpoint):
            return self._accept(session_id, body, idempotency_key)
        return self._answer(session_id, body, idempotency_key, last_event_id, status_code=200, headers={})

    def start_session(
        self,
        body: Annotated[contract.FirstTurnBody, Body(description="The first turn.")],
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
        last_event_id: LastEventId = None,
    ) -> Reply:
        """Start a session under a new id that cannot be guessed, with its first turn."""
        owner = self._request.owner()
        session_id = session_id_for(owner, idempotency_key) if idempotency_key else secrets.token_hex(16)
        turn = contract.TurnBody.model_construct(prompt=body.prompt, interrupt_responses=None, agent_id=body.agent_id)
        if prefers_async(prefer) and Accepting.is_possible(self._endpoint):
            return self._accept(session_id, turn, idempotency_key)
        location = {"Location": f"/sessions/{session_id}"}
        return self._answer(session_id, turn, idempotency_key, last_event_id, status_code=201, headers=location)

    def _answer(
        self,
        session_id: str,
        body: contract.TurnBody,
        idempotency_key: str | None,
        last_event_id: str | None,
        *,
        status_code: int,
        headers: dict[str, str],
    ) -> Reply:
        form = accept.chosen(self._request.header("accept"), self._offered())
        take = partial(
            self._endpoint.take_turn,
            self._request.owner(),
            session_id,
            body,
            self._request.remaining_seconds(),
            request_id=self._request.request_id,
            idempotency_key=idempotency_key,
        )
        if form == accept.EVENTS:
            after_id = _message_id(last_event_id)
            return self._stream(session_id, self._streaming(take, session_id, body, idempotency_key, after_id), headers)
        reply = contract.TurnReply.model_validate(take())
        return Response(status_code=status_code, content_type=accept.JSON, body=reply, headers={**headers})

    def _streaming(
        self,
        take: Callable[..., dict[str, Any]],
        session_id: str,
        body: contract.TurnBody,
        idempotency_key: str | None,
        after_id: int,
    ) -> TurnApart:
        """The turn. If the same request is being worked on already, that turn is followed.

        Only what is followed can be known already: a turn that is taken stores other messages.
        """
        if idempotency_key is None:
            return TurnApart(lambda feed: take(watch=feed.put))
        owner, has_time = self._request.owner(), self._request.has_time()

        def take_or_follow(feed: Feed) -> dict[str, Any]:
            return self._endpoint.take_or_follow_turn(
                partial(take, watch=feed.put),
                *(owner, session_id, body, idempotency_key),
                watch=feed.put,
                goes_on=lambda: feed.is_read and has_time(),
                after_id=after_id,
            )

        return TurnApart(take_or_follow)

    def _stream(
        self, session_id: str, turn: TurnApart, headers: dict[str, str], *, at_once: bool = False
    ) -> Response[Any]:
        """Answer with the stream of a turn that begins.

        Args:
            session_id: In which session.
            turn: The turn.
            headers: The answer's own headers.
            at_once: Whether the stream begins before there is anything to tell.

        Raises:
            BaseException: The turn was refused before there was anything to tell.
        """
        request_id, context = self._request.request_id, copy_context()
        told: list[BaseException] = []

        def tell(error: BaseException) -> dict[str, Any]:
            refusal = answer_for(error)
            told.append(error)
            context.run(log_refusal, refusal, error)  # the stream's carrier does not know the request
            return problems.problem(refusal, session_id=session_id, request_id=request_id)

        def over() -> None:
            turn.wait()
            if turn.failure is not None and not told:  # its reader has left
                tell(turn.failure)

        feed = turn.start(wait=not at_once)
        pieces = event_stream.EventStream(feed, session_id, tell, begins_awake=at_once)
        self._router.stream(StreamedAnswer(200, {**event_stream.HEADERS, **headers}, pieces, over=over))
        return Response(status_code=200)

    def _accept(self, session_id: str, body: contract.TurnBody, idempotency_key: str | None) -> Reply:
        """Answer 202, and have the turn taken without this caller."""
        accept.chosen(self._request.header("accept"), self._offered())  # raises if no form of the reply is wanted
        accepting = Accepting(self._endpoint, self._request, session_id, body, idempotency_key)
        running, headers, over = accepting.accept()
        if over is not None:
            # On this machine the turn belongs to the answer: the server waits for the turn before it stops.
            pieces = iter([serialize(running.model_dump(mode="json")).encode()])
            self._router.stream(StreamedAnswer(202, {"Content-Type": accept.JSON, **headers}, pieces, over=over))
        return Response(status_code=202, content_type=accept.JSON, body=running, headers={**headers})

    def read_turn(
        self, session_id: SessionId, turn_id: TurnId, agent_id: AgentId = None, last_event_id: LastEventId = None
    ) -> Response[contract.TurnView | None]:
        """Tell what became of a turn, while it runs and afterwards; as a stream, follow it."""
        form = accept.chosen(self._request.header("accept"), self._offered())
        after_id = _message_id(last_event_id) if form == accept.EVENTS else -1
        turn = self._request.in_time(lambda: self._find(session_id, turn_id, agent_id))
        if form == accept.EVENTS:
            if after_id >= 0 and not self._request.in_time(lambda: turn.has_told(after_id)):
                raise MalformedRequestError(_NO_EVENT)
            goes_on = self._request.has_time()
            has_to_come = isinstance(turn, AwaitedTurn)
            follower = TurnApart(
                lambda feed: turn.follow(feed.put, after_id=after_id, goes_on=lambda: feed.is_read and goes_on())
            )
            return self._stream(session_id, follower, {}, at_once=has_to_come)
        view = self._request.in_time(lambda: self._view(turn))
        return Response(status_code=200, content_type=accept.JSON, body=view)

    def cancel_turn(
        self, session_id: SessionId, turn_id: TurnId, agent_id: AgentId = None
    ) -> Response[contract.RunningTurn]:
        """Ask a running turn to stop. It does so within two seconds, in good order, wherever it runs."""
        store = self._request.store()

        def cancel() -> FollowedTurn | AwaitedTurn:
            turn = self._find(session_id, turn_id, agent_id)
            while isinstance(turn, AwaitedTurn) and turn.state() is RUNNING and not turn.cancel():
                turn = self._find(session_id, turn_id, agent_id)  # it has begun meanwhile
            if turn.state() is not RUNNING:
                raise TurnOverError("The turn is over. GET tells what became of it.")
            if isinstance(turn, FollowedTurn):
                store.ask_to_cancel(session_id, turn.agent_id, turn.turn_id)
            return turn

        turn = self._request.in_time(cancel)
        cancelled = contract.RunningTurn(
            session_id=session_id, agent_id=turn.agent_id, turn_id=turn.turn_id, status="running"
        )
        return Response(status_code=202, content_type=accept.JSON, body=cancelled)

    def _find(self, session_id: str, turn_id: str, agent_id: str | None) -> FollowedTurn | AwaitedTurn:
        first = agent_id or self._endpoint.settings.agent_id
        return find_turn(self._request.store(), session_id, first, turn_id)

    def _view(self, turn: FollowedTurn | AwaitedTurn) -> contract.TurnView:
        state = turn.state()
        problem = None
        if state.problem is not None:
            told = problems.problem(state.problem, session_id=turn.session_id, request_id=turn.request_id)
            problem = contract.Problem.model_validate(told)
        reply = turn.reply(state)
        return contract.TurnView(
            session_id=turn.session_id,
            agent_id=turn.agent_id,
            turn_id=turn.turn_id,
            status=state.status,
            reply=None if reply is None else contract.TurnReply.model_validate(reply),
            problem=problem,
            request_id=turn.request_id,
        )

    def _offered(self) -> list[str]:
        return [accept.JSON, accept.EVENTS] if self._endpoint.settings.streaming else [accept.JSON]


def _message_id(last_event_id: str | None) -> int:
    """The message that a follower has seen last; -1 for none.

    Raises:
        MalformedRequestError: It is the id of no event.
    """
    if not last_event_id:
        return -1
    if not re.fullmatch("0|[1-9][0-9]{0,14}", last_event_id):
        raise MalformedRequestError(_NO_EVENT)
    return int(last_event_id)
