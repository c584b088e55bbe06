"""Turns that were accepted and have not begun: what was promised, who wants it stopped, and why it was refused.

Whoever promises a turn that somebody else will take leaves a record of it in the session, under a condition:

    accepted ──▶ begun: the record goes, the messages tell the rest
       │  ▲
       │  └───── accepted again
       └──▶ refused before its first message: the record says with what

The record is erased with its session, belongs to the session's present life, and is no use of the session. Strands'
managers do not see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._records.record_format import corrupt, nobodys_record
from agent_sessions.exceptions import SessionConflictError, SessionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_sessions._objects.object_repository import ObjectSessionRepository
    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import Key

FORMAT = 1
"""Version of the record."""

_ATTEMPTS = 8


class AcceptedTurn(NamedTuple):
    """A turn that was accepted.

    Attributes:
        turn_id: Names the turn.
        agent_id: Whose turn it will be.
        body: Digest of what was asked, by which the same request is recognised; ``None`` if it repeats no other.
        accepted_at: When, in seconds since 1970, by the clock of whoever accepted it.
        refusal: What its caller would have been told, if it was refused before its first message. A JSON object.
        is_cancelled: Whether it is to stop as soon as it begins.
        taken_as: The id of the turn that has answered the same request meanwhile.
    """

    turn_id: str
    agent_id: str
    body: str | None
    accepted_at: float
    refusal: dict[str, Any] | None = None
    is_cancelled: bool = False
    taken_as: str | None = None


class AcceptedTurns:
    """The accepted turns of a session, in the life that is found at the first request.

    Every method may raise ``SessionStorageError``, and ``SessionCorruptError`` when something else lies there.

    Args:
        repository: Where the session is.
        session_id: The session.
    """

    def __init__(self, repository: ObjectSessionRepository, session_id: str) -> None:
        self.session_id = session_id
        self._repository = repository
        self._records = repository.records

    def accept(
        self,
        turn: AcceptedTurn,
        *,
        begins_session: bool = False,
        replaces: Callable[[AcceptedTurn], bool] = lambda _: False,
    ) -> tuple[AcceptedTurn, bool]:
        """Promise a turn. Costs a read and a write, in a session that has to be begun a listing and a write more.

        Args:
            turn: What is promised.
            begins_session: Whether to begin the session if there is none.
            replaces: Whether an earlier promise under the same id is over, so that this one takes its place.

        Returns:
            What is promised under this id now, and whether this call has promised it.

        Raises:
            SessionNotFoundError: There is no such session.
            SessionBusyError: What was stored under the session's id before is still being erased.
            SessionConflictError: The session was erased meanwhile.
        """
        key, content = self._key(turn.turn_id), _content(turn)
        self._find_session(begin=begins_session)
        found: AcceptedTurn | None = None
        for _ in range(_ATTEMPTS):
            try:
                if found is None:
                    self._records.create(self.session_id, key, content)
                elif replaces(found):
                    self._records.update(self.session_id, key, content)
                else:
                    return found, False
            except (SessionConflictError, SessionNotFoundError):
                found = self.read(turn.turn_id)
            else:
                return turn, True
        raise self._written_all_the_time(key)

    def read(self, turn_id: str) -> AcceptedTurn | None:
        """What is known of an accepted turn; ``None`` when it has begun, or was never accepted. Costs one read.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        self._find_session()
        record = self._records.own(self.session_id, self._key(turn_id))
        return None if record is None else _turn_in(record)

    def ask_to_cancel(self, turn_id: str) -> bool:
        """Have a turn stop as soon as it begins.

        Returns:
            Whether it has not begun yet.
        """
        return self._change(turn_id, is_cancelled=True)

    def refuse(self, turn_id: str, refusal: dict[str, Any]) -> bool:
        """Note what a turn was refused with before its first message.

        Returns:
            Whether it was noted: the turn may have begun all the same, elsewhere.
        """
        return self._change(turn_id, refusal=refusal)

    def note_taken_as(self, turn_id: str, other_turn_id: str) -> bool:
        """Note that another turn has answered the same request.

        Returns:
            Whether it was noted.
        """
        return self._change(turn_id, taken_as=other_turn_id)

    def remove(self, turn_id: str) -> AcceptedTurn | None:
        """Delete the record, because the turn has begun or will not come.

        Returns:
            What the record said when it was deleted; ``None`` when there was none.
        """
        key = self._key(turn_id)
        for _ in range(_ATTEMPTS):
            found = self.read(turn_id)
            known = self._records.known(key)
            if found is None or known is None:
                return None
            if self._repository.objects.delete_current(key, known.etag, instead=nobodys_record()):
                return found
        raise self._written_all_the_time(key)

    def _change(self, turn_id: str, **changes: Any) -> bool:
        for _ in range(_ATTEMPTS):
            found = self.read(turn_id)
            if found is None:
                return False
            try:
                self._records.update(self.session_id, self._key(turn_id), _content(found._replace(**changes)))
            except (SessionConflictError, SessionNotFoundError):
                continue
            return True
        raise self._written_all_the_time(self._key(turn_id))

    def _find_session(self, *, begin: bool = False) -> None:
        if self._records.incarnation(self.session_id) is not None:
            return
        if begin:
            self._repository.life.find_or_begin(self.session_id)
        elif self._repository.read_session(self.session_id) is None:
            key = self._repository.layout.session(self.session_id)
            raise SessionNotFoundError(f"Session {self.session_id} does not exist", key=key)

    def _key(self, turn_id: str) -> Key:
        return self._repository.layout.accepted_turn(self.session_id, turn_id)

    def _written_all_the_time(self, key: Key) -> SessionConflictError:
        return SessionConflictError(
            f"session_id={self.session_id}, key={key} | others write it all the time, or the session was erased",
            session_id=self.session_id,
            key=key,
        )


def _content(turn: AcceptedTurn) -> dict[str, Any]:
    return {"format": FORMAT, **turn._asdict()}


def _turn_in(record: Record) -> AcceptedTurn:
    """The turn that a record tells of.

    Raises:
        SessionCorruptError: It tells of none.
    """
    content = {name: record.content.get(name) for name in ("format", *AcceptedTurn._fields)}
    match content:
        case {
            "format": 1,
            "turn_id": str(),
            "agent_id": str(),
            "body": str() | None,
            "accepted_at": int() | float(),
            "refusal": dict() | None,
            "is_cancelled": bool(),
            "taken_as": str() | None,
        }:
            del content["format"]
            return AcceptedTurn(**content)  # type: ignore[arg-type] # checked above
        case _:
            raise corrupt(record.key, "not an accepted turn")
