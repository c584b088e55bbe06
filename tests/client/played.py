"""An endpoint that plays connections, one after the other, without a network; and both clients, asked alike."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from agent_sessions_client import AsyncClient, Client, Event, TurnStream


@dataclass(frozen=True)
class Connection:
    """What comes of one request.

    Attributes:
        body: The bytes that arrive, each piece by itself.
        breaks: What is raised after them; ``None`` for an end in good order.
        status: The HTTP status.
        headers: Of the answer.
    """

    body: tuple[bytes, ...] = ()
    breaks: type[httpx.TransportError] | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})


def event(name: str, data: dict[str, Any], event_id: int | None = None) -> bytes:
    """One event as the endpoint sends it."""
    identified = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{identified}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


TURN = event("turn", {"session_id": "demo", "agent_id": "default", "turn_id": "t1", "restored_messages": 0})


def reply(text: str, **more: Any) -> dict[str, Any]:
    """The reply of a turn that says this."""
    return {
        "session_id": "demo",
        "agent_id": "default",
        "turn_id": "t1",
        "message": {"role": "assistant", "content": [{"text": text}]},
        "stop_reason": "end_turn",
        **more,
    }


def problem(status: int, kind: str, **headers: str) -> Connection:
    """A problem document."""
    document = {"type": f"urn:agent-session-kit:problem:{kind}", "title": "No", "status": status, "detail": "Really."}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Connection((json.dumps(document).encode(),), None, status, named)


class Played(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers the first request with the first connection, and so on.

    Args:
        connections: What is played; the last one again, when there are more requests.

    Attributes:
        requests: What was asked.
        pauses: How long the client waited in between.
    """

    def __init__(self, *connections: Connection | type[httpx.TransportError]) -> None:
        self._connections = list(connections)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._next(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._next(request)

    def _next(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        number = min(len(self.requests), len(self._connections)) - 1
        found = self._connections[number]
        if isinstance(found, Connection):
            return httpx.Response(found.status, headers=found.headers, stream=_Body(found))
        raise found("played")


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        yield from self._connection.body
        if self._connection.breaks is not None:
            raise self._connection.breaks("played")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


Hears = Callable[..., list[Event]]


def hear(played: Played, *, patience_seconds: float = 60, **arguments: Any) -> list[Event]:
    """What the blocking client hears of one turn."""
    with Client(
        "http://endpoint", transport=played, pause=played.pauses.append, patience_seconds=patience_seconds
    ) as client:
        return list(client.stream("demo", "Hello", **arguments))


def hear_asynchronously(played: Played, *, patience_seconds: float = 60, **arguments: Any) -> list[Event]:
    """What the asynchronous client hears of one turn."""

    async def pause(seconds: float) -> None:
        played.pauses.append(seconds)

    async def heard() -> list[Event]:
        async with AsyncClient(
            "http://endpoint", transport=played, pause=pause, patience_seconds=patience_seconds
        ) as client:
            return [event async for event in client.stream("demo", "Hello", **arguments)]

    return asyncio.run(heard())


def stream_of(played: Iterable[Connection]) -> TurnStream:
    """A stream that nobody has read yet."""
    transport = Played(*played)
    return Client("http://endpoint", transport=transport, pause=transport.pauses.append).stream("demo", "Hello")
