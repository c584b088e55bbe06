"""A turn as server-sent events (WHATWG HTML, "Server-sent events"): docs/HTTP.md has the table.

A small event or comment is one piece, a large event several. A reader ignores an event in which its stream broke off.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent_sessions.values import LONG_TEXT, json_pieces
from lambda_src.contract import TurnReply
from lambda_src.doors.whole_characters import WholeCharacters
from lambda_src.turn_resource.feed import Failed, Replied
from lambda_src.turns.turn_events import (
    Completed,
    MessageStored,
    NodeEnded,
    NodeStarted,
    ReasoningDelta,
    Restored,
    TextDelta,
    ToolCall,
    ToolEnded,
    reply_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        self._begun: Restored | None = None
        self._pieces: Iterator[bytes] = iter(())
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
            for piece in self._pieces:
                return piece
            try:
                event = self._feed.take(HEARTBEAT_SECONDS)
            except EOFError:
                raise StopIteration from None
            self._pieces = iter([_HEARTBEAT]) if event is None else self._told(event)

    def close(self) -> None:
        """The reader has left."""
        self._feed.leave()

    def _told(self, event: TurnEvent | Replied | Failed) -> Iterator[bytes]:
        if isinstance(event, TextDelta | ReasoningDelta):
            speaker = type(event), event.node_id
            yield from _said(*speaker, self._said.setdefault(speaker, WholeCharacters()).add(event.text))
            return
        # Half a character stays half when something else follows it.
        for speaker, said in self._said.items():
            yield from _said(*speaker, said.rest())
        match event:
            case Replied():
                yield from _reply(event.reply)
            case Completed() if self._begun is not None:
                # It is durable, and its lease is given back while the reader has this. The stream ends after that.
                yield from _reply(reply_of(self._session_id, self._begun, event))
            case Failed():
                yield from frame("problem", self._problem(event.error))
            case Restored():
                self._begun = event
                yield from frame("turn", {"session_id": self._session_id, **asdict(event)})
            case ToolCall() | ToolEnded() | NodeStarted() | NodeEnded():
                yield from frame("tool" if isinstance(event, ToolCall | ToolEnded) else "node", _present(event))
            case MessageStored():
                yield from frame("message", _present(event), event_id=event.message_id)
            case _:
                pass  # text is told above


def frame(name: str, data: dict[str, Any], *, event_id: int | None = None) -> Iterator[bytes]:
    """The pieces of one event; a small event has one. JSON text has no line breaks, so its data is one line."""
    identified = "" if event_id is None else f"id: {event_id}\n"
    held = f"event: {name}\n{identified}data: ".encode()
    for piece in json_pieces(data, separators=(",", ":")):
        held += piece
        if len(held) > LONG_TEXT:
            yield held
            held = b""
    yield held + b"\n\n"


def _reply(reply: dict[str, Any]) -> Iterator[bytes]:
    return frame("reply", TurnReply.model_validate(reply).model_dump(mode="json"))


def _present(event: ToolCall | ToolEnded | NodeStarted | NodeEnded | MessageStored) -> dict[str, Any]:
    return {name: value for name, value in asdict(event).items() if value is not None}


def _said(kind: type[object], node_id: str | None, text: str) -> Iterator[bytes]:
    said = {"text": text} if node_id is None else {"text": text, "node_id": node_id}
    return frame("text" if kind is TextDelta else "reasoning", said) if text else iter(())
