"""A turn as server-sent events (WHATWG HTML, "Server-sent events"): docs/HTTP.md has the table.

Each piece is one whole event or comment in UTF-8. A reader ignores an event in which its stream broke off.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lambda_src.contract import TurnReply
from lambda_src.doors.payload import serialize
from lambda_src.doors.whole_characters import WholeCharacters
from lambda_src.turn_resource.feed import Failed, Replied
from lambda_src.turns.turn_events import (
    MessageStored,
    NodeEnded,
    NodeStarted,
    ReasoningDelta,
    Restored,
    TextDelta,
    ToolCall,
    ToolEnded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_src.turn_resource.feed import Feed
    from lambda_src.turns.turn_events import TurnEvent

HEARTBEAT_SECONDS = 10.0
"""After so long without an event a comment is sent: proxies close idle connections."""

HEADERS = {
    "Content-Type": "text/event-stream",
    # nginx, and proxies that took over its header, pass the stream on as it comes.
    "X-Accel-Buffering": "no",
}

_HEARTBEAT = b": heartbeat\n\n"


class EventStream:
    """The pieces of a turn's stream.

    Args:
        feed: What happens.
        session_id: In which session.
        problem: Makes the problem document for what ended a turn without a reply.
        begins_awake: Whether a comment comes at once, because nobody knows when the first event will come.
    """

    def __init__(
        self,
        feed: Feed,
        session_id: str,
        problem: Callable[[BaseException], dict[str, Any]],
        *,
        begins_awake: bool = False,
    ) -> None:
        self._begins_awake = begins_awake
        self._feed = feed
        self._session_id = session_id
        self._problem = problem
        self._said: dict[tuple[type[TextDelta | ReasoningDelta], str | None], WholeCharacters] = {}

    def __iter__(self) -> EventStream:
        """The stream itself."""
        return self

    def __next__(self) -> bytes:
        """The next piece. It waits no longer than a heartbeat."""
        if self._begins_awake:
            self._begins_awake = False
            return _HEARTBEAT
        while True:
            try:
                event = self._feed.take(HEARTBEAT_SECONDS)
            except EOFError:
                raise StopIteration from None
            piece = _HEARTBEAT if event is None else self._piece(event)
            if piece:
                return piece

    def close(self) -> None:
        """The reader has left."""
        self._feed.leave()

    def _piece(self, event: TurnEvent | Replied | Failed) -> bytes:
        if isinstance(event, TextDelta | ReasoningDelta):
            speaker = type(event), event.node_id
            return _said(*speaker, self._said.setdefault(speaker, WholeCharacters()).add(event.text))
        # Half a character stays half when something else follows it.
        rest = b"".join(_said(*speaker, said.rest()) for speaker, said in self._said.items())
        return rest + self._told(event)

    def _told(self, event: TurnEvent | Replied | Failed) -> bytes:
        match event:
            case Replied():
                return frame("reply", TurnReply.model_validate(event.reply).model_dump(mode="json"))
            case Failed():
                return frame("problem", self._problem(event.error))
            case Restored():
                return frame("turn", {"session_id": self._session_id, **asdict(event)})
            case ToolCall() | ToolEnded() | NodeStarted() | NodeEnded():
                return frame("tool" if isinstance(event, ToolCall | ToolEnded) else "node", _present(event))
            case MessageStored():
                return frame("message", _present(event), event_id=event.message_id)
            case _:
                return b""  # text is told above; the reply tells that the turn is completed


def frame(name: str, data: dict[str, Any], *, event_id: int | None = None) -> bytes:
    """One event. JSON text has no line breaks, so its data is one line."""
    identified = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{identified}data: {serialize(data)}\n\n".encode()


def _present(event: ToolCall | ToolEnded | NodeStarted | NodeEnded | MessageStored) -> dict[str, Any]:
    return {name: value for name, value in asdict(event).items() if value is not None}


def _said(kind: type[object], node_id: str | None, text: str) -> bytes:
    said = {"text": text} if node_id is None else {"text": text, "node_id": node_id}
    return frame("text" if kind is TextDelta else "reasoning", said) if text else b""
