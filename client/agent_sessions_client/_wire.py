"""What both clients do alike with httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import httpx

from agent_sessions_client._requests import JSON

if TYPE_CHECKING:
    from agent_sessions_client._requests import Sent

WHOLE: Final = httpx.Timeout(10, read=930)
"""For requests of a whole answer: a turn may take a function's 15 minutes."""

STREAM: Final = httpx.Timeout(10, read=30)
"""For streams: the endpoint says something every 10 seconds."""

UNREACHABLE: Final = (httpx.ConnectError, httpx.ConnectTimeout)


class RefusedError(Exception):
    """The endpoint answered a request for a stream with something else."""

    def __init__(self, response: httpx.Response, body: bytes) -> None:
        super().__init__(response.status_code)
        self.status = response.status_code
        self.headers = response.headers
        self.body = body


def on_behalf(session_owner: str | None) -> dict[str, str]:
    """The header that names somebody whom the caller speaks for."""
    return {} if session_owner is None else {"Session-Owner": quote(session_owner, safe="")}


def request_of(http: httpx.Client | httpx.AsyncClient, sent: Sent, timeout: httpx.Timeout) -> httpx.Request:
    """The request as httpx sends it."""
    headers = {"Accept": JSON, **sent.headers}
    return http.build_request(
        sent.method, sent.path, json=sent.body, headers=headers, params=sent.params or None, timeout=timeout
    )
