"""The door for HTTP: which request does what.

Each route finds out who is asking, opens that owner's part of the store and nothing else, and returns the shape that
``docs/openapi.json`` promises.
"""

from contextvars import copy_context
from dataclasses import asdict
from functools import partial
from typing import Annotated, Literal
from urllib.parse import quote

from annotated_types import Ge, Le
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError as RouteNotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Query
from pydantic import BeforeValidator

from lambda_src import contract, value_rules
from lambda_src.answers.error_answers import answer_for
from lambda_src.answers.errors import BadRequestError, EndpointError, MethodNotAllowedError, NotFoundError
from lambda_src.answers.logs import log_refusal
from lambda_src.doors import list_contract, openapi, problems
from lambda_src.doors.caller import owner_of
from lambda_src.doors.current_request import CurrentRequest
from lambda_src.doors.erasing import erase_all, erase_session
from lambda_src.doors.exporting import JSON_LINES, export_pieces, until_it_fails
from lambda_src.doors.forking import fork_session
from lambda_src.doors.message_pages import read_messages
from lambda_src.doors.page_routes import PageRoutes, is_of_page
from lambda_src.doors.resolver import FunctionUrlRouter
from lambda_src.doors.turn_routes import IdempotencyKey, SessionId, TurnRoutes
from lambda_src.doors.validation import invalid
from lambda_src.endpoint import Endpoint
from lambda_src.runtime.streamed_answer import StreamedAnswer

MAX_PAGE = 1_000
PAGE_SECONDS = 8.0
"""Most pages are full sooner, unless they pass thousands of expired sessions or the storage is slow."""

ERASURE_RETRY_SECONDS = 1

PUBLIC_PATHS = frozenset({"/health", "/openapi.json"})
"""These say nothing of anybody, and ask nobody who is calling. With IAM, the Function URL still asks."""

AgentId = Annotated[value_rules.AgentId | None, Query(description="Needed when the session has several agents.")]
Limit = Annotated[
    int,
    Ge(1),
    Le(MAX_PAGE),
    BeforeValidator(value_rules.whole_number),
    Query(description="How many at most; a page may hold fewer."),
]
Order = Annotated[
    Literal["id", "recent"],
    Query(description="id: by their ids. recent: those used last first, at most 100 of them a page."),
]
OpaqueCursor = Annotated[value_rules.OpaqueCursor | None, Query(description="next_cursor of the last page.")]
MessagesCursor = Annotated[value_rules.MessagesCursor | None, Query(description="next_cursor of the last page.")]


def build_router(endpoint: Endpoint) -> FunctionUrlRouter:
    """The router with every route of the endpoint."""
    settings = endpoint.settings
    router = FunctionUrlRouter(
        partial(owner_of, settings=settings), lambda path: path in PUBLIC_PATHS or (settings.page and is_of_page(path))
    )
    Routes(endpoint, router).register()
    TurnRoutes(endpoint, router).register()
    if settings.page:
        PageRoutes(settings, router).register()
    router.prepare()
    return router


class Routes:
    """The endpoint's routes.

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
        router.get(session, **openapi.operation("describe_session"))(self.describe_session)
        router.get(f"{session}/messages", **openapi.operation("list_messages"))(self.list_messages)
        router.get("/sessions", **openapi.operation("list_sessions"))(self.list_sessions)
        router.patch(session, **openapi.operation("rename_session"))(self.rename_session)
        router.post(f"{session}/fork", **openapi.operation("fork_session"))(self.fork_session)
        router.delete(session, **openapi.operation("delete_session"))(self.delete_session)
        router.delete("/sessions", **openapi.operation("delete_sessions"))(self.delete_sessions)
        router.get("/export", **openapi.operation("export_sessions"))(self.export_sessions)
        router.get("/health", **openapi.operation("health"))(self.health)
        router.get("/openapi.json", include_in_schema=False)(self.openapi_document)
        router.exception_handler(Exception)(self.refuse)

    def describe_session(self, session_id: SessionId, cursor: OpaqueCursor = None) -> contract.SessionDescription:
        """Tell when a session was made, used and will expire, and how long its conversations are."""
        store = self._request.store()
        try:
            summary = self._request.in_time(lambda: store.describe(session_id, cursor=cursor))
        except ValueError as error:
            raise BadRequestError(str(error)) from None
        return contract.SessionDescription(
            session_id=summary.session_id,
            title=summary.title,
            created_at=summary.created_at,
            last_used_at=summary.last_used_at,
            expires_at=summary.expires_at,
            agents=[
                contract.AgentDescription(agent_id=agent.agent_id, message_count=agent.message_count)
                for agent in summary.agents
            ],
            next_cursor=summary.next_cursor,
            fork=None if summary.fork is None else contract.ForkDescription(**asdict(summary.fork)),
        )

    def list_messages(
        self, session_id: SessionId, agent_id: AgentId = None, limit: Limit = 100, cursor: MessagesCursor = None
    ) -> contract.Messages:
        """Read a conversation, redactions applied, in pages of messages in order."""
        store = self._request.store()
        seconds = self._page_seconds()
        return self._request.in_time(lambda: read_messages(store, session_id, agent_id, limit, cursor, seconds))

    def list_sessions(
        self, order: Order = "id", limit: Limit = 100, cursor: OpaqueCursor = None
    ) -> list_contract.Sessions:
        """List the caller's sessions, ordered by id, or those used last first."""
        store, seconds = self._request.store(), self._page_seconds()
        listed = store.list_recent if order == "recent" else store.sessions
        try:
            page = self._request.in_time(lambda: listed(limit=limit, cursor=cursor, within_seconds=seconds))
        except ValueError as error:
            raise BadRequestError(str(error)) from None
        rows = [list_contract.SessionRow(**asdict(glance)) for glance in page.sessions]
        return list_contract.Sessions(
            session_ids=[row.session_id for row in rows], sessions=rows, next_cursor=page.next_cursor
        )

    def rename_session(
        self,
        session_id: SessionId,
        body: Annotated[list_contract.RenameBody, Body(description="What it is to be called.")],
    ) -> list_contract.SessionName:
        """Give a session a title, or take it back. It is no use of the session, and a turn that runs goes on."""
        store = self._request.store()
        title = self._request.in_time(lambda: store.rename(session_id, body.title))
        return list_contract.SessionName(session_id=session_id, title=title)

    def fork_session(
        self,
        session_id: SessionId,
        body: Annotated[contract.ForkBody, Body(description="Where the fork begins.")],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[contract.ForkDescription]:
        """Begin a new session as this one was before a turn: its messages, and its agents' state of that moment."""
        owner, store = self._request.owner(), self._request.store()
        first = self._endpoint.settings.agent_id
        fork = self._request.in_time(
            lambda: fork_session(store, owner, session_id, body, idempotency_key, default_agent_id=first)
        )
        return Response(
            status_code=201,
            content_type="application/json",
            body=contract.ForkDescription(**asdict(fork)),
            headers={"Location": f"/sessions/{quote(fork.session_id, safe='')}"},
        )

    def delete_session(self, session_id: SessionId) -> Response[contract.Erasure | None]:
        """Erase a session with everything that belongs to it. From the first moment on nobody reads it any more."""
        left = erase_session(self._request.store(), session_id, self._request.time_limit())
        if left is None:
            return Response(status_code=204)
        return Response(
            status_code=202,
            content_type="application/json",
            body=left,
            headers={"Retry-After": str(ERASURE_RETRY_SECONDS)},
        )

    def delete_sessions(self) -> Response[contract.Receipt]:
        """Erase every session of the caller, and count what goes. Sent again, it goes on with the same totals."""
        owner = self._request.owner()
        receipt = erase_all(self._endpoint.store(owner), owner, self._request.time_limit())
        # What the request is to be sent to again.
        again = {"Location": "/sessions", "Retry-After": str(ERASURE_RETRY_SECONDS)}
        return Response(
            status_code=200 if receipt.complete else 202,
            content_type="application/json",
            body=receipt,
            headers={} if receipt.complete else again,
        )

    def export_sessions(self, cursor: OpaqueCursor = None) -> Response[str]:
        """Everything of the caller as JSON lines, as `agent-sessions import` takes it."""
        streamed = self._endpoint.settings.streaming
        store, has_time = self._request.store(), self._request.has_time()
        if streamed:
            pieces = self._request.in_time(lambda: export_pieces(store, cursor, streamed=True, goes_on=has_time))
            context = copy_context()

            def tell(error: BaseException) -> None:
                context.run(log_refusal, answer_for(error), error)

            self._router.stream(StreamedAnswer(200, {"Content-Type": JSON_LINES}, until_it_fails(pieces, tell)))
            return Response(status_code=200, content_type=JSON_LINES, body="")
        whole = self._request.in_time(
            lambda: b"".join(export_pieces(store, cursor, streamed=False, goes_on=has_time)).decode()
        )
        return Response(status_code=200, content_type=JSON_LINES, body=whole)

    def health(self) -> contract.Health:
        """Tell that the function is up. It touches neither storage nor model."""
        return contract.Health(status="ok")

    def openapi_document(self) -> Response[str]:
        """This contract."""
        return Response(status_code=200, content_type="application/json", body=openapi.document(self._router))

    def refuse(self, error: Exception) -> Response[str]:
        """Answer with a problem document instead of a reply."""
        refusal = self._refusal(error)
        log_refusal(refusal, error)
        answer = problems.response(
            refusal,
            path=self._router.current_event.raw_path,
            request_id=self._router.lambda_context.aws_request_id,
        )
        return Response(status_code=answer["statusCode"], body=answer["body"], headers=answer["headers"])

    def _page_seconds(self) -> float:
        """How long a page may take. After that, what has been found is sent, and the cursor goes on from there."""
        return min(PAGE_SECONDS, self._request.time_limit().seconds / 2)

    def _refusal(self, error: Exception) -> EndpointError:
        match error:
            case RequestValidationError():
                return invalid(error.errors())
            case RouteNotFoundError():
                if allowed := self._router.allowed_methods():
                    return MethodNotAllowedError(f"This path takes {', '.join(allowed)}.", allowed=allowed)
                return NotFoundError("There is no such route; GET /openapi.json lists them.")
            case _:
                return answer_for(error)
