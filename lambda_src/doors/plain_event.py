"""The door for plain events: Step Functions, EventBridge, ``aws lambda invoke``.

A sender that may invoke the function directly is trusted to name the owner. An answer that is not a reply is raised: a
returned error would count as success, and a state machine catches class names.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from agent_sessions.owner import owner_prefix, part_prefix
from lambda_src import contract, value_rules
from lambda_src.answers.logs import logger
from lambda_src.doors.json_values import faults_in
from lambda_src.doors.validation import invalid
from lambda_src.metrics import recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_src.endpoint import Endpoint

_OWNER_PREFIX = re.compile(r"o_[a-z2-7]{52}(/o_[a-z2-7]{52})?")

EVENT_ISSUER = "event"
"""Issuer of owners that exist only in plain events, such as ``nightly-report``: no caller over HTTP has it."""


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain NUL, which stands between issuer and subject")
    return value


def _name(value: str) -> str:
    part_prefix("", value)
    return value


OwnerText = Annotated[str, Field(min_length=1), AfterValidator(_without_nul)]


class OwnerName(contract.StrictBody):
    """Whose session it is, as ``agent_sessions.owner.owner_prefix`` takes it."""

    issuer: OwnerText
    subject: OwnerText


class PlainEvent(contract.TurnBody):
    """A turn without HTTP, for Step Functions, EventBridge and ``aws lambda invoke``."""

    owner: OwnerText | OwnerName
    on_behalf_of: Annotated[str, AfterValidator(_name)] | None = Field(
        default=None, description="Somebody that the owner speaks for, as the header Session-Owner names them."
    )
    session_id: value_rules.SessionId
    request_id: str = Field(min_length=1, max_length=200, description="The sender's own name for this request.")
    turn_id: value_rules.TurnId | None = Field(
        default=None, description="How the turn is called; of one that was accepted before."
    )
    accepted_by: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")] | None = Field(
        default=None, description="X-Request-Id of the request that accepted it."
    )


def answer(
    endpoint: Endpoint, event: Any, remaining_seconds: Callable[[], float], *, request_id: str
) -> dict[str, Any]:
    """Take the turn an event asks for and return the reply.

    Args:
        endpoint: The endpoint.
        event: The event, of the shape of ``PlainEvent``.
        remaining_seconds: Tells the time the function has left.
        request_id: Lambda's name for this invocation; the sender's own is in the event, and the same at every retry.

    Raises:
        EndpointError: When there is no reply; the subclass says why.
        SessionException: When the session cannot be opened.
    """
    if faults := faults_in(event):  # Lambda's parser takes NaN, and any depth and digits, for JSON
        raise invalid([fault._asdict() for fault in faults])
    try:
        request = PlainEvent.model_validate(event)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False, include_input=False)) from None
    if request.accepted_by is not None:
        # What is logged and counted of the turn is found by the id that its caller was given.
        logger.thread_safe_append_keys(request_id=request.accepted_by, invocation_id=request_id)
        recorded.name(request_id=request.accepted_by, invocation_id=request_id)
        request_id = request.accepted_by
    take: Callable[..., dict[str, Any]] = endpoint.take_turn
    if request.turn_id is not None:
        take = partial(endpoint.take_accepted_turn, turn_id=request.turn_id)
    return take(
        owner_of(request.owner, request.on_behalf_of),
        request.session_id,
        request,
        remaining_seconds,
        request_id=request_id,
        idempotency_key=request.request_id,
    )


def owner_of(owner: str | OwnerName, on_behalf_of: str | None) -> str:
    """The key prefix of the owner an event names, or of somebody that this owner speaks for.

    A prefix that ``owner_prefix`` made is taken as it is. Issuer and subject name somebody who also calls over HTTP.
    Any other text is an owner of its own that only plain events can name.

    Raises:
        BadRequestError: The owner is named by a prefix that is a part of somebody's space already.
    """
    if isinstance(owner, OwnerName):
        own = owner_prefix(owner.issuer, owner.subject)
    else:
        own = owner if _OWNER_PREFIX.fullmatch(owner) else owner_prefix(EVENT_ISSUER, owner)
    if on_behalf_of is None:
        return own
    if "/" in own:
        raise invalid([{"loc": ("on_behalf_of",), "msg": "goes with an owner, not with the part of one"}])
    return part_prefix(own, on_behalf_of)
