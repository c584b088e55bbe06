"""The HTTP contract as an OpenAPI 3.1 document: served at ``/openapi.json`` and kept in ``docs/openapi.json``.

make openapi        # writes docs/openapi.json again
"""

import json
from typing import TYPE_CHECKING, Any

from agent_sessions import __version__
from lambda_src import contract, value_rules
from lambda_src.answers import errors
from lambda_src.doors import list_contract
from lambda_src.doors.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.api_gateway import ApiGatewayResolver

TITLE = "Agent Session Kit"
DESCRIPTION = (
    "An AI agent that remembers. Every request names a session; the session's agent is restored, takes one turn, and "
    "is durable when the reply arrives. A caller sees its own sessions only. Whatever is not a reply is a problem "
    "document (RFC 9457)."
)
_SIGNED, _TOKEN = "sigv4", "bearer"
_PUBLIC = ("health",)
"""Operations that do not ask who is calling. With IAM, the Function URL still asks."""
_SESSION_OWNER = {
    "name": "Session-Owner",
    "in": "header",
    "required": False,
    "description": "Somebody that the caller speaks for: the request is about their sessions, which are a part of the "
    "caller's own space. 1 to 200 bytes, percent-encoded UTF-8. Only with IAM.",
    "schema": value_rules.SESSION_OWNER,
}

_DOOR = (errors.MalformedRequestError, errors.BadRequestError, errors.MethodNotAllowedError)
_STORE = (
    *_DOOR,
    errors.OnBehalfRefusedError,
    errors.UnauthenticatedError,
    errors.IssuerUnavailableError,
    errors.StorageFailedError,
    errors.StorageRefusedError,
    errors.InternalError,
    errors.SessionDamagedError,
)
_READ = (*_STORE, errors.OutOfTimeError)
_TURN = (
    *_STORE,
    errors.ValueNotStorableError,
    errors.UnsupportedMediaTypeError,
    errors.NotAcceptableError,
    errors.TurnConflictError,
    errors.SessionInUseError,
    errors.PayloadTooLargeError,
    errors.ContextTooLongError,
    errors.IdempotencyKeyReusedError,
    errors.PromptRefusedError,
    errors.ModelThrottledError,
    errors.ModelFailedError,
    errors.ModelAccessError,
    errors.OutOfTimeError,
)


def _header(schema: dict[str, Any], description: str, *, always: bool = True) -> dict[str, Any]:
    return {"description": description, "required": always, "schema": {"type": "string", **schema}}


_SECONDS = {"pattern": "^[1-9][0-9]*$"}
# header: statuses that have it, and what it is
_HEADERS = {
    "Location": (
        (201, 202),
        _header({"pattern": "^/sessions(/[^/]+(/turns/[0-9a-f-]+)?)?$"}, "Where it is.", always=False),
    ),
    "Preference-Applied": ((202,), _header({"const": "respond-async"}, "Of a turn that was accepted.", always=False)),
    "WWW-Authenticate": ((401,), _header({}, "What to send: a signature, or a token.")),
    "Allow": ((405,), _header({"pattern": "^[A-Z]+(, [A-Z]+)*$"}, "The methods of this path.")),
    "Retry-After": ((202, 409, 429, 503), _header(_SECONDS, "Seconds to wait, where waiting helps.", always=False)),
}

# operation: summary, status and model of the reply, what it can be refused with
_OPERATIONS: dict[str, tuple[str, int, type[Any] | None, tuple[type[errors.EndpointError], ...]]] = {
    "take_turn": (
        "Take one turn",
        200,
        contract.TurnReply,
        (*_TURN, errors.NotFoundError, errors.InterruptPendingError, errors.NoInterruptPendingError),
    ),
    "start_session": ("Start a session", 201, contract.TurnReply, _TURN),
    "read_turn": (
        "See what became of a turn",
        200,
        contract.TurnView,
        (*_READ, errors.NotFoundError, errors.NotAcceptableError),
    ),
    "cancel_turn": (
        "Cancel a running turn",
        202,
        contract.RunningTurn,
        (*_READ, errors.NotFoundError, errors.TurnOverError),
    ),
    "describe_session": (
        "Describe a session",
        200,
        contract.SessionDescription,
        (*_READ, errors.NotFoundError),
    ),
    "list_messages": (
        "Read a conversation",
        200,
        contract.Messages,
        (*_READ, errors.NotFoundError, errors.PayloadTooLargeError),
    ),
    "list_sessions": ("List sessions", 200, list_contract.Sessions, _READ),
    "rename_session": (
        "Rename a session",
        200,
        list_contract.SessionName,
        (
            *_READ,
            errors.NotFoundError,
            errors.UnsupportedMediaTypeError,
            errors.PayloadTooLargeError,
        ),
    ),
    "fork_session": (
        "Fork a session",
        201,
        contract.ForkDescription,
        (
            *_READ,
            errors.NotFoundError,
            errors.UnsupportedMediaTypeError,
            errors.PayloadTooLargeError,
            errors.TurnConflictError,
            errors.SessionInUseError,
            errors.SessionTakenError,
            errors.ForkRefusedError,
            errors.IdempotencyKeyReusedError,
        ),
    ),
    "delete_session": ("Erase a session", 204, None, (*_READ, errors.NotFoundError)),
    "delete_sessions": ("Erase every session", 200, contract.Receipt, (*_READ, errors.SessionInUseError)),
    "export_sessions": ("Export every session", 200, None, (*_READ, errors.PayloadTooLargeError)),
    "health": ("Liveness", 200, contract.Health, _DOOR),
}

# operation: a reply that is no JSON document
_OF_LINES = {"export_sessions": contract.ExportLines}

# operation: status of its stream, where it has one
_STREAMED = {"take_turn": 200, "start_session": 200, "read_turn": 200}

# operation: what it may be answered with besides
_ALSO: dict[str, dict[int, tuple[str, type[Any]]]] = {
    "take_turn": {202: ("The turn was accepted, and runs without this caller", contract.RunningTurn)},
    "start_session": {202: ("The turn was accepted, and runs without this caller", contract.RunningTurn)},
    "delete_session": {202: ("The session is closed to everybody; send it again to erase the rest", contract.Erasure)},
    "delete_sessions": {202: ("Not everything is erased yet; send it again to go on", contract.Receipt)},
}


def operation(name: str) -> dict[str, Any]:
    """What the router is told about a route beyond its code: its name and its answers."""
    summary, status, model, refusals = _OPERATIONS[name]
    success: dict[str, Any] = {"description": summary, "headers": _headers(status)}
    success["content"] = {"application/json": {"model": model}} if model else {}
    if (lines := _OF_LINES.get(name)) is not None:
        success["content"] = {"application/jsonl": {"model": lines}}
    responses: dict[int, Any] = {status: success}
    for other, (description, also) in _ALSO.get(name, {}).items():
        content = {"application/json": {"model": also}}
        responses[other] = {"description": description, "headers": _headers(other), "content": content}
    if (streamed := _STREAMED.get(name)) is not None:
        answer = responses.setdefault(streamed, {"description": "A stream of events", "headers": _headers(status)})
        answer.setdefault("content", {})["text/event-stream"] = {"model": contract.TurnEvents}
    for refused_with in sorted({error.status for error in refusals}):
        titles = dict.fromkeys(error.title for error in refusals if error.status == refused_with)
        responses[refused_with] = {
            "description": "; ".join(titles),
            "headers": _headers(refused_with),
            "content": {MEDIA_TYPE: {"model": contract.Problem}},
        }
    return {"operation_id": name, "summary": summary, "tags": ["sessions"], "responses": responses}


def _headers(status: int) -> dict[str, Any]:
    """The headers of an answer, beyond those that every HTTP response has."""
    of_status = {name: header for name, (statuses, header) in _HEADERS.items() if status in statuses}
    always = {
        "Cache-Control": _header({"const": "no-store"}, "Answers are the caller's own."),
        "X-Request-Id": _header({"type": "string"}, "By which everything that was logged of the request is found."),
    }
    return always | of_status


def document(router: "ApiGatewayResolver") -> str:
    """The contract of the router's routes as JSON text."""
    from aws_lambda_powertools.event_handler.openapi.models import APIKey, HTTPBearer, Server

    from lambda_src.doors import event_contract  # late: only this document needs the shapes of events

    generated = json.loads(
        router.get_openapi_json_schema(
            title=TITLE,
            version=__version__,
            openapi_version="3.1.0",
            description=DESCRIPTION,
            servers=[Server(url="/", description="The function's URL")],
            security_schemes={
                _SIGNED: APIKey.model_validate(
                    {
                        "name": "Authorization",
                        "in": "header",
                        "description": "AWS Signature Version 4 for the service lambda. Where auth is iam.",
                    }
                ),
                _TOKEN: HTTPBearer(
                    bearerFormat="JWT",
                    description="An access token of the issuer that the endpoint trusts. Where auth is jwt.",
                ),
            },
            security=[{_SIGNED: []}, {_TOKEN: []}],
        )
    )
    for path in generated["paths"].values():
        for described in path.values():
            if described["operationId"] in _PUBLIC:
                described["security"] = []
            else:
                described.setdefault("parameters", []).append({"$ref": "#/components/parameters/SessionOwner"})
            # Powertools adds its own shape of a 422, which this endpoint never sends, to every route.
            unexpected = (
                "422" in described["responses"] and "application/json" in described["responses"]["422"]["content"]
            )
            if unexpected:
                del described["responses"]["422"]
    for unused in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        generated["components"]["schemas"].pop(unused, None)
    generated["components"]["parameters"] = {"SessionOwner": _SESSION_OWNER}
    generated["components"]["schemas"].update(event_contract.schemas())
    # Escaped: a pattern names characters that nobody would see.
    return json.dumps(generated, indent=2, sort_keys=True) + "\n"
