"""The headers that every HTTP answer has, in one piece or as a stream."""

from typing import Any

from lambda_src.runtime.streamed_answer import StreamedAnswer

HEADERS = {"Cache-Control": "no-store", "Vary": "Origin"}
"""Conversations belong in no cache. An answer that says otherwise keeps what it says.

``Vary``: where pages of other origins may call, the Function URL names the page's origin in the answer.
"""


REQUEST_ID = "X-Request-Id"


def add_headers(response: dict[str, Any] | StreamedAnswer, request_id: str) -> None:
    """Give an answer the headers that every answer has. A stream's headers are its beginning.

    Args:
        response: The answer.
        request_id: By which everything that was logged of the request is found.
    """
    headers = response.headers if isinstance(response, StreamedAnswer) else response.setdefault("headers", {})
    headers[REQUEST_ID] = request_id
    for name, value in HEADERS.items():
        headers.setdefault(name, value)


def status_of(response: dict[str, Any] | StreamedAnswer) -> int:
    """The status of an answer."""
    status: int = response.status_code if isinstance(response, StreamedAnswer) else response["statusCode"]
    return status
