"""Reading a conversation in pages that fit into a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from agent_sessions.turn_request import turn_begun_by
from lambda_src.answers import errors
from lambda_src.content import shown
from lambda_src.contract import LeftOut, Message, Messages, NodeReply, StoredMessage, TurnBegun
from lambda_src.doors.payload import fits, serialize
from lambda_src.models.marks import is_refused, left_out_of
from lambda_src.turns.orchestrators.results import kept_with

if TYPE_CHECKING:
    from agent_sessions.session_store import SessionStore
    from agent_sessions.types import SessionMessage

PAGE_BYTES = 5_000_000


def read_messages(
    store: SessionStore,
    session_id: str,
    agent_id: str | None,
    limit: int,
    cursor: str | None,
    within_seconds: float | None = None,
) -> Messages:
    """A page of a conversation, with redactions applied.

    Args:
        store: The caller's sessions.
        session_id: Which of them.
        agent_id: Whose conversation; ``None`` when the session has a single agent.
        limit: How many messages at most; fewer when they are large, or the storage is slow.
        cursor: Where the last page ended.
        within_seconds: When to end the page with what has been read; ``None`` waits for all of it.

    Raises:
        BadRequestError: The session has several agents and none was named, or the cursor is not one of ours.
        PayloadTooLargeError: A single message is larger than a reply; ``next_cursor`` leads past it.
        SessionException: What the store says.
    """
    try:
        page = store.messages(
            session_id, agent_id, limit=limit, cursor=cursor, max_bytes=PAGE_BYTES, within_seconds=within_seconds
        )
    except ValueError as error:
        raise errors.BadRequestError(str(error)) from None
    while True:
        reply = Messages(
            session_id=session_id,
            agent_id=page.agent_id,
            messages=[_shown(stored) for stored in page.messages],
            next_cursor=page.next_cursor,
        )
        if fits(serialize(reply.model_dump())):
            return reply
        if len(page.messages) <= 1:
            large = page.messages[0].message_id
            raise errors.PayloadTooLargeError(
                f"Message {large} is larger than the 6 MB of a reply; next_cursor leads to the page after it.",
                next_cursor=page.next_cursor,
            )
        # A page's bytes are counted as stored. In the reply, quotes and some letters are escaped and count more.
        page = page.first(len(page.messages) // 2)


def _shown(stored: SessionMessage) -> StoredMessage:
    message = cast("dict[str, Any]", stored.to_message())
    run, turn = kept_with(message), turn_begun_by(stored)
    return StoredMessage(
        message_id=stored.message_id,
        created_at=stored.created_at,
        message=Message.model_validate(shown(message)),
        left_out=[LeftOut.model_validate(part) for part in left_out_of(message)],
        nodes=None if run is None else [NodeReply.model_validate(node) for node in run["nodes"]],
        refused=is_refused(message),
        turn=None if turn is None else TurnBegun(turn_id=turn.turn_id, restored_messages=turn.restored_messages),
    )
