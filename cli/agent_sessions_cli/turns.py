"""The turns of a conversation, from the messages and from what the agent's record remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions.turn_request import TurnRecord, begins_turn, turns_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent_sessions.session_store import SessionStore
    from agent_sessions.turn_reader import TurnReader
    from agent_sessions.types import SessionMessage


class ShownTurn(NamedTuple):
    """A turn that answered a request.

    Attributes:
        turn_id: Its id.
        began_at: When its first message was made; ISO 8601, UTC.
        first_id: Its first message.
        last_id: Its last message.
        became: ``answered``, ``refused: <reason>``, ``ended``, or ``under way, or cut off``.
        outcome: What its caller was told; ``None`` when nobody remembers, or it has not ended.
    """

    turn_id: str
    began_at: str
    first_id: int | None
    last_id: int | None
    became: str
    outcome: dict[str, Any] | None


def turns_of(
    store: SessionStore, session_id: str, agent_id: str, records: Iterable[SessionMessage]
) -> Iterator[ShownTurn]:
    """The turns of an agent in order. A turn that was taken by the library alone has no id, and is left out.

    Args:
        store: Where the session is.
        session_id: The session.
        agent_id: The agent.
        records: All its messages in order; one turn's are held at a time.
    """
    reader = store.turns(session_id)
    turn: list[SessionMessage] = []
    for record in records:
        if turn and begins_turn(record):
            yield from _shown(reader, agent_id, turn, is_last=False)
            turn = []
        turn.append(record)
    yield from _shown(reader, agent_id, turn, is_last=True)


def _shown(reader: TurnReader, agent_id: str, messages: list[SessionMessage], *, is_last: bool) -> Iterator[ShownTurn]:
    for turn in turns_in(messages):
        remembered = reader.read_ended(agent_id, turn.turn_id)
        yield ShownTurn(
            turn_id=turn.turn_id,
            began_at=messages[0].created_at,
            first_id=turn.first_id,
            last_id=turn.last_id,
            became=_became(remembered, is_last=is_last),
            outcome=None if remembered is None else remembered.outcome,
        )


def _became(remembered: TurnRecord | None, *, is_last: bool) -> str:
    if remembered is None:
        # A conversation that has gone on behind a turn says that the turn has ended.
        return "under way, or cut off" if is_last else "ended"
    outcome = remembered.outcome or {}
    if "refused" in outcome:
        return f"refused: {outcome['refused']}"
    return "answered" if "reply" in outcome else "ended"
