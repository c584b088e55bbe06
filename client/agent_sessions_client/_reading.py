"""Reading a turn to its end, even if the connection is lost: decisions, without any I/O.

    send POST (Idempotency-Key) ──► events ──► reply: over
              ▲                        │
              │ turn not known yet     │ the connection is lost
              └────────────────────────┤
                                       │ turn known
                                       ▼
                       GET …/turns/{turn_id} (Last-Event-ID) ──► what was missed, then reply: over

The POST, sent again with its key, follows the turn that it began. A follower gets whole messages, not the words as they
are said. What was not yet heard of a message is told as text, so that all pieces of text together are all that was
said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions_client._requests import EVENTS, Sent, of_agent, turn_path
from agent_sessions_client.errors import ConnectionLostError, EndpointProblemError, problem_in
from agent_sessions_client.events import Event, Message, Reply, Text, TurnBegan, event_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_WORTH_WAITING = frozenset({409, 425, 429, 500, 502, 503, 504})
"""Statuses that are tried again after a lost connection: what broke the connection may still be broken."""


class TurnReading:
    """One turn, read over as many connections as it takes.

    Args:
        first: The request that takes the turn, or follows one.
        patience_seconds: After so long without hearing anything, the connection is given up.

    Attributes:
        turn: The turn, as soon as it is known.
        reply: Its reply, when it is over.
    """

    def __init__(self, first: Sent, patience_seconds: float) -> None:
        self.turn: TurnBegan | None = None
        self.reply: Reply | None = None
        self._first = first
        self._patience_seconds = patience_seconds
        self._waited_seconds = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._last_event_id = first.headers.get("Last-Event-ID", "")
        self._last_message_id = -1
        self._heard = ""  # of the message that is being said
        self._said = ""  # the last message that was heard to its end
        self._was_sent = False
        self._hears_nodes = False  # whose words are their own, and not the answer's

    @property
    def is_over(self) -> bool:
        """Whether the reply was read."""
        return self.reply is not None

    def next_request(self) -> Sent:
        """What to send, at first and after each lost connection."""
        if self.turn is None:
            return self._first
        known = {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}
        path = turn_path(self.turn.session_id, self.turn.turn_id)
        return Sent("GET", path, headers={"Accept": EVENTS, **known}, params=of_agent(self.turn.agent_id))

    def connected(self) -> None:
        """Note that the endpoint answers with a stream."""
        self._was_sent = True

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        """Take an answer that is no stream.

        Returns:
            Seconds to wait before sending again.

        Raises:
            EndpointProblemError: Sending again does not help.
        """
        problem = problem_in(status, headers, body)
        if not self._was_sent or status not in _WORTH_WAITING:
            raise problem
        return self._wait(problem, at_least=problem.retry_after_seconds or 0)

    def ended(self) -> float:
        """Take the end of the stream. If the turn has not ended, it is taken up again.

        Returns:
            Seconds to wait before that.

        Raises:
            ConnectionLostError: The stream has ended too often without telling anything.
        """
        return 0.0 if self.is_over else self.lost(None)

    def lost(self, error: Exception | None) -> float:
        """Take the loss of the connection.

        Args:
            error: What was raised; ``None`` for a stream that just ended.

        Returns:
            Seconds to wait before sending again.

        Raises:
            ConnectionLostError: Waiting does not help.
        """
        self._was_sent = True
        return self._wait(error)

    def unreachable(self, error: Exception) -> float:
        """Take a failure to connect. Before anything has begun, it is raised at once.

        Raises:
            ConnectionLostError: See above, and :meth:`lost`.
        """
        if not self._was_sent:
            raise ConnectionLostError("The endpoint cannot be reached.") from error
        return self._wait(error)

    def heard(self, name: str, data: str, event_id: str) -> Iterator[Event]:
        """Take one event of the stream.

        Yields:
            What is new of it.

        Raises:
            EndpointProblemError: The turn ended in a problem.
        """
        self._waited_seconds, self._pause_seconds = 0.0, _FIRST_PAUSE_SECONDS
        if not data:
            return  # no event, says the standard: httpx-sse makes one of a comment
        if name == "problem":
            raise _problem(data)
        if event_id:
            self._last_event_id = event_id
        event = event_of(name, data)
        if event is not None:
            yield from self._new_in(event)

    def _new_in(self, event: Event) -> Iterator[Event]:
        match event:
            case TurnBegan():
                if self.turn is None:
                    self.turn = event
                    yield event
            case Text():
                if event.node_id is None:
                    self._heard += event.text
                else:
                    self._hears_nodes = True
                yield event
            case Message():
                yield from self._message(event)
            case Reply():
                if self._heard or not self._said:  # a reply that is told again comes without its messages
                    yield from self._unheard(event.text)
                self.reply = event
                yield event
            case _:
                yield event

    def _message(self, message: Message) -> Iterator[Event]:
        if message.message_id <= self._last_message_id:
            return
        self._last_message_id = message.message_id
        if message.role == "assistant":
            self._said = self._heard if message.content is None else text_of(message.content)
            yield from self._unheard(self._said)
        yield message

    def _unheard(self, text: str) -> Iterator[Text]:
        """The part of a message's text that was not heard yet; nothing if the text was changed since."""
        rest = text[len(self._heard) :] if text.startswith(self._heard) else ""
        self._heard = ""
        if rest and not self._hears_nodes:
            yield Text(rest)

    def _wait(self, error: Exception | None, at_least: float = 0) -> float:
        if self._waited_seconds >= self._patience_seconds:
            raise ConnectionLostError("The connection was lost, and the turn could not be followed.") from error
        pause = max(self._pause_seconds, at_least)
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._waited_seconds += pause
        return pause


def _problem(data: str) -> EndpointProblemError:
    problem = problem_in(500, {}, data.encode())
    return EndpointProblemError(int(problem.problem.get("status", 500)), problem.problem)
