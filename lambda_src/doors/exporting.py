"""Everything of a caller as JSON lines: streamed, or in pages that fit into a reply."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from lambda_src.answers import errors
from lambda_src.doors.payload import ENVELOPE_BYTES, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_sessions.session_store import SessionStore

JSON_LINES = "application/jsonl"

MAX_STREAMED_BYTES = 150_000_000
"""A streamed answer can have 200 MB (docs.aws.amazon.com/lambda, "Lambda quotas")."""

MAX_WHOLE_BYTES = (MAX_PAYLOAD_BYTES - ENVELOPE_BYTES) // 2
"""In an answer that is sent whole, quotes and backslashes of its lines are escaped and count twice."""


def export_pieces(
    store: SessionStore, cursor: str | None, *, streamed: bool, goes_on: Callable[[], bool]
) -> Iterator[bytes]:
    """The pieces of a page. The first has been read when this returns, so that what fails before it is told.

    Args:
        store: The caller's sessions.
        cursor: ``next_cursor`` of the page before.
        streamed: Whether the pieces are sent as they come.
        goes_on: Whether there is time for another session.

    Raises:
        BadRequestError: The cursor is none of ours.
        PayloadTooLargeError: The page's first session is larger than an answer; ``next_cursor`` leads past it.
        SessionException: What the store says.
    """
    from agent_sessions.session_export import SessionTooLargeError

    most = MAX_STREAMED_BYTES if streamed else MAX_WHOLE_BYTES
    pieces = store.export(cursor=cursor, max_bytes=most, goes_on=goes_on).pieces()
    try:
        first = next(pieces)
    except ValueError as error:
        raise errors.BadRequestError(str(error)) from None
    except SessionTooLargeError as error:
        raise errors.PayloadTooLargeError(
            f"Session {error.session_id} is larger than an answer may be; next_cursor leads to those behind it. "
            "Whoever runs the endpoint can export it with `agent-sessions export`.",
            next_cursor=error.next_cursor,
        ) from None
    return chain([first], pieces)


def until_it_fails(pieces: Iterator[bytes], tell: Callable[[BaseException], object]) -> Iterator[bytes]:
    """The pieces; what fails in the middle is told, and the answer ends without its last line."""
    try:
        yield from pieces
    except Exception as error:  # noqa: BLE001 - the answer has begun: it can only end
        tell(error)
