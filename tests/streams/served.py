"""A client of the endpoint: turns as streams, read by httpx-sse over a socket."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
import pytest
from httpx_sse import EventSource

from agent_sessions._objects.turn_writer import TurnWriter
from agent_sessions.exceptions import SessionConflictError
from agent_sessions.types import SessionMessage
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import PROBLEM, Function

EVENTS = "text/event-stream"


class Event(NamedTuple):
    """One event of a stream."""

    name: str
    data: Any
    id: str


class Stream:
    """A stream that is being read."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = EventSource(response).iter_sse()

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            yield Event(event.event, json.loads(event.data), event.id)

    def until(self, name: str, **members: Any) -> list[Event]:
        """Read up to an event of this name, with these members."""
        read: list[Event] = []
        for event in self:
            read.append(event)
            if event.name == name and members.items() <= event.data.items():
                return read
        raise AssertionError(f"no {name} {members} among {[event.name for event in read]}")


@dataclass
class Served:
    """A running endpoint."""

    url: str
    function: Function
    model: ScriptedModel
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = httpx.Client(base_url=self.url, timeout=60)

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request; ``last_event_id="3"`` is the header ``Last-Event-ID``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.request(method, path, json=body, headers=named)

    def say(self, prompt: Any, session_id: str = "chat", **headers: str) -> httpx.Response:
        """Take a turn and wait for its reply."""
        return self.request("POST", f"/sessions/{session_id}/messages", {"prompt": prompt}, **headers)

    @contextmanager
    def open(self, method: str, path: str, body: Any = None, **headers: str) -> Iterator[Stream]:
        """Ask for a stream; whoever leaves the block early closes the connection."""
        named = {"accept": EVENTS, **{name.replace("_", "-"): value for name, value in headers.items()}}
        # A connection of its own: closing a stream in the middle must not wait for its end.
        with (
            httpx.Client(base_url=self.url, timeout=60) as client,
            client.stream(method, path, json=body, headers=named) as response,
        ):
            if response.status_code != httpx.codes.OK:
                response.read()
            yield Stream(response)

    @contextmanager
    def telling(self, prompt: Any, session_id: str = "chat", **headers: str) -> Iterator[Stream]:
        """Take a turn as a stream."""
        path = f"/sessions/{session_id}/messages"
        with self.open("POST", path, {"prompt": prompt}, **headers) as stream:
            yield stream

    def tell(self, prompt: Any, session_id: str = "chat", **headers: str) -> list[Event]:
        """Take a turn as a stream and read all of it."""
        with self.telling(prompt, session_id, **headers) as stream:
            assert stream.response.status_code == httpx.codes.OK, stream.response.text
            return list(stream)

    def said(self, session_id: str = "chat") -> list[str]:
        """The conversation as it is stored."""
        page = self.request("GET", f"/sessions/{session_id}/messages").json()
        return [f"{item['message']['role']}: {text_of(item['message'])}" for item in page["messages"]]


def text_of(message: Any) -> str:
    return "".join(block.get("text", "") for block in message["content"])


def names(events: list[Event]) -> list[str]:
    """The events' names, repeated ones once: how a text is cut into pieces is the model's business."""
    return [event.name for number, event in enumerate(events) if not number or events[number - 1].name != event.name]


def told_text(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "text")


def problem_of(response: httpx.Response) -> str:
    """The kind of problem that a response is."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    return str(response.json()["type"]).removeprefix(PROBLEM)


class Gate:
    """Lets a model or a tool go on when the test says so."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.opened.wait(30)


@contextmanager
def another_writer_comes_first(monkeypatch: pytest.MonkeyPatch, *, message_id: int = 0) -> Iterator[None]:
    """Turns are refused at this message, and at those behind it."""
    append = TurnWriter.append

    def refuse(writer: TurnWriter, record: SessionMessage) -> Any:
        if record.message_id >= message_id:
            raise SessionConflictError("another writer came first")
        return append(writer, record)

    with monkeypatch.context() as patch:
        patch.setattr(TurnWriter, "append", refuse)
        yield
