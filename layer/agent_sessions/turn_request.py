"""Which request a turn answers, and what the turn came to: how a repeated request finds its first answer.

The messages are the record. A turn's first message carries in its record, under ``kit.turn``, the turn's id and
digests of the request's key and body. The agent's record keeps, under ``kit.turns``, what the last turns came to.
Strands' managers know neither: their turns rewrite the agent's record without it, and a turn that was cut off never
wrote it. Then the messages still tell which request was answered, and they are read before anything is forgotten about
them. A message also tells why the model stopped: if the turn was cancelled, its last
message is no answer.
"""
# Over 300 lines: what a message and an agent's record say of requests, and who reads it.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions.types import is_message_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from strands.types.content import Message

    from agent_sessions.types import SessionMessage

FORMAT = 1
"""Version of ``kit.turns``. Another version is not read."""

TURNS_KEPT = 32
"""How many turns an agent's record remembers."""

MESSAGES_SEARCHED = 128
"""How many of the last messages are searched for a request that the agent's record does not know."""


class TurnRequest(NamedTuple):
    """The request that a turn is about to answer.

    Attributes:
        turn_id: Names the turn; tools may use it to recognise a repetition of their own work.
        key: Digest of the caller's idempotency key, if there is one. The endpoint takes 32 hex digits of SHA-256.
        body: Digest of what was asked, made in the same way.
        first_id: The id of the first message of a turn that was cut off and is continued.
        restored_messages: How many messages the agent remembered when the turn began.
        request_id: By which whoever runs the turn finds what was logged of it.
    """

    turn_id: str
    key: str | None = None
    body: str | None = None
    first_id: int | None = None
    restored_messages: int | None = None
    request_id: str | None = None


class TurnRecord(NamedTuple):
    """What is known of an earlier turn.

    Attributes:
        turn_id: See :class:`TurnRequest`.
        key: See :class:`TurnRequest`.
        body: See :class:`TurnRequest`.
        first_id: The id of its first message; ``None`` when it stored none.
        last_id: The id of its last message.
        outcome: What its caller was told, or would have been; ``None`` when the turn did not get so far.
        restored_messages: See :class:`TurnRequest`; ``None`` when nobody noted it.
        request_id: Likewise.
    """

    turn_id: str
    key: str | None
    body: str | None
    first_id: int | None
    last_id: int | None
    outcome: dict[str, Any] | None
    restored_messages: int | None = None
    request_id: str | None = None


class OrchestratorRecord(NamedTuple):
    """What was stored of an orchestrator when it was restored.

    Attributes:
        state: Its own state, as its ``serialize_state`` returned it; ``None`` when it is new.
        turn_id: The turn that wrote it; ``None`` when nobody noted it.
        used: What that turn had used by then, as :meth:`RepositorySessionManager.name_turn` was told; ``None`` when
            nobody noted it.
    """

    state: dict[str, Any] | None
    turn_id: str | None
    used: dict[str, int] | None = None


class TurnLog:
    """The turns of one agent: the answered ones, and the one under way.

    Args:
        stored: What stands under ``kit.turns`` of the agent's record.
    """

    def __init__(self, stored: object = None) -> None:
        self.known_below: int | None = None
        """Turns whose first message is below this id are known here, or too old; ``None`` when nothing is known."""
        self.stop_reason: str | None = None
        """Why the model stopped last, in the turn under way."""
        self._answered: list[TurnRecord] = []
        self._request: TurnRequest | None = None
        self._next_id = 0
        self._first_id: int | None = None
        self._outcome: dict[str, Any] | None = None
        if isinstance(stored, dict) and stored.get("format") == FORMAT:
            self._read(stored)

    def _read(self, stored: dict[str, Any]) -> None:
        answered, known_below = stored.get("answered"), stored.get("known_below")
        if is_message_id(known_below) and isinstance(answered, list) and all(map(_is_turn, answered)):
            self._answered, self.known_below = [TurnRecord(**entry) for entry in answered], known_below

    def to_kit(self) -> dict[str, Any] | None:
        """The value for ``kit.turns``; ``None`` when there is nothing to say."""
        if self.known_below is None and not self._answered:
            return None
        answered = [record._asdict() for record in self._answered]
        # No message is below 0: if nobody has looked at them, the next caller that asks for a request looks.
        return {"format": FORMAT, "known_below": self.known_below or 0, "answered": answered}

    def find(self, key: str) -> TurnRecord | None:
        """The turn that answered the request of this key, if it is remembered."""
        return self.latest(lambda record: record.key == key)

    def find_or_learn(
        self, key: str, next_id: int, read_from: Callable[[int], Sequence[SessionMessage]]
    ) -> TurnRecord | None:
        """As :meth:`find`; turns that are unknown here, as crashes and Strands' managers leave them, are read first.

        Args:
            key: The request's.
            next_id: The id of the message after all others.
            read_from: Reads the messages from an id on.
        """
        found = self.find(key)
        if found is None and self.known_below != next_id:
            self.learn(read_from(max(self.known_below or 0, next_id - MESSAGES_SEARCHED)), next_id)
            found = self.find(key)
        return found

    def latest(self, is_wanted: Callable[[TurnRecord], bool]) -> TurnRecord | None:
        """The latest of the turns that are remembered and wanted."""
        return next((record for record in reversed(self._answered) if is_wanted(record)), None)

    def find_by_id(self, turn_id: str) -> TurnRecord | None:
        """The turn of this id, if it is remembered."""
        return self.latest(lambda record: record.turn_id == turn_id)

    def learn(self, records: Sequence[SessionMessage], next_id: int) -> None:
        """Learn the turns that messages tell of, from the first unknown message to the last.

        Args:
            records: The messages in order.
            next_id: The id of the message after them.
        """
        known = {record.turn_id for record in self._answered}
        found = [record for record in turns_in(records) if record.turn_id not in known]
        merged = [*self._answered, *found]
        merged.sort(key=lambda record: -1 if record.first_id is None else record.first_id)
        self._answered = merged[-TURNS_KEPT:]
        self.known_below = next_id

    def begin(self, request: TurnRequest, next_id: int) -> None:
        """Begin a turn for this request; ``next_id`` is the id of its first message, or of the next one."""
        self._request, self._first_id, self._outcome = request, request.first_id, None
        self._next_id, self.stop_reason = next_id, None
        if next_id == 0:
            self.known_below = 0

    @property
    def begins_request(self) -> bool:
        """Whether the turn under way answers a request that may be repeated, and has stored nothing yet."""
        return self._request is not None and self._request.key is not None and self._first_id is None

    def mark_of(self, message: Message) -> dict[str, Any] | None:
        """The ``kit`` mark of the next message: a turn's first names the request, an answer says why it ended."""
        request = self._request
        if request is None:
            return None
        if self._first_id is None:
            noted = {"restored": request.restored_messages, "request": request.request_id}
            noted = {name: value for name, value in noted.items() if value is not None}
            return {"turn": {"id": request.turn_id, "key": request.key, "body": request.body, **noted}}
        if message["role"] == "assistant" and self.stop_reason is not None:
            return {"stop_reason": self.stop_reason}
        return None

    def record_stored(self, message_id: int) -> None:
        """Note that a message of the turn has been stored."""
        if self._request is not None and self._first_id is None:
            self._first_id = message_id

    def conclude(self, outcome: dict[str, Any]) -> None:
        """Note what the turn has come to. It may be called again, when more becomes known."""
        self._outcome = outcome

    def reword(self, redacted: Callable[[Any], Any]) -> None:
        """Take something back, out of what the turns have come to."""
        self._answered = [
            turn if turn.outcome is None else turn._replace(outcome=redacted(turn.outcome)) for turn in self._answered
        ]

    def end(self, next_id: int) -> None:
        """End the turn; ``next_id`` is the id of the message after it."""
        request = self._request
        if request is None:
            return
        began = self._next_id if self._first_id is None or request.first_id is not None else self._first_id
        if self.known_below == began:
            self.known_below = next_id
        # If messages in between are unknown, the next caller that asks for a request looks at them.
        self._next_id = next_id
        last_id = None if self._first_id is None else next_id - 1
        record = TurnRecord(
            request.turn_id,
            request.key,
            request.body,
            self._first_id,
            last_id,
            self._outcome,
            request.restored_messages,
            request.request_id,
        )
        others = [other for other in self._answered if other.turn_id != record.turn_id]
        self._answered = [*others, record][-TURNS_KEPT:]


def reworded_turns(stored: Any, redacted: Callable[[Any], Any]) -> Any:
    """What stands under ``kit.turns``, with other words in what the turns came to."""
    if not isinstance(stored, dict) or not isinstance(stored.get("answered"), list):
        return stored
    answered = [
        {**turn, "outcome": redacted(turn["outcome"])} if isinstance(turn, dict) and turn.get("outcome") else turn
        for turn in stored["answered"]
    ]
    return {**stored, "answered": answered}


def _is_turn(found: object) -> bool:
    """Whether a stored value is a turn."""
    if not isinstance(found, dict) or found.keys() | TurnRecord._field_defaults != set(TurnRecord._fields):
        return False
    texts = [found["key"], found["body"], found.get("request_id")]
    ids = [found["first_id"], found["last_id"], found.get("restored_messages")]
    return (
        isinstance(found["turn_id"], str)
        and all(text is None or isinstance(text, str) for text in texts)
        and all(number is None or is_message_id(number) for number in ids)
        and (found["outcome"] is None or isinstance(found["outcome"], dict))
    )


def turns_in(records: Sequence[SessionMessage]) -> list[TurnRecord]:
    """The turns of requests that stored messages tell of, in order, without outcomes.

    Args:
        records: Messages in order. Only their writers' notes count. A turn ends where a message begins another one, no
            matter who wrote it.
    """
    found: list[TurnRecord] = []
    under_way = False
    for record in records:
        begun = turn_begun_by(record)
        if begun is not None:
            found.append(begun)
            under_way = True
        elif is_prompt(record.message):
            under_way = False
        elif under_way:
            found[-1] = found[-1]._replace(last_id=record.message_id)
    return found


def begins_turn(record: SessionMessage) -> bool:
    """Whether a message is the first of a turn, no matter who wrote it."""
    return turn_begun_by(record) is not None or is_prompt(record.message)


def turn_begun_by(record: SessionMessage) -> TurnRecord | None:
    """The turn whose first message this is, if its writer noted one."""
    turn = (record.kit or {}).get("turn")
    if not isinstance(turn, dict):
        return None
    noted: dict[str, Any] = {"turn_id": turn.get("id"), "key": turn.get("key"), "body": turn.get("body")}
    noted |= {"first_id": record.message_id, "last_id": record.message_id, "outcome": None}
    noted |= {"restored_messages": turn.get("restored"), "request_id": turn.get("request")}
    return TurnRecord(**noted) if _is_turn(noted) else None


def stop_reason_of(record: SessionMessage) -> str | None:
    """Why the model stopped with this message, if its turn answered a request."""
    stated = (record.kit or {}).get("stop_reason")
    return stated if isinstance(stated, str) else None


def is_prompt(message: Mapping[str, Any]) -> bool:
    """Whether a message begins a turn, no matter who wrote it: the user says something that is no tool's result."""
    return message["role"] == "user" and not any("toolResult" in block for block in message["content"])
