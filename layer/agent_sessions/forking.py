"""A fork: a new session that begins as another one was before a turn. The other one is not changed.

    nothing ──mark──▶ closed ──copies of messages──▶ closed ──the agents' records──▶ closed ──session.json──▶ lives
                         └──────────── abandoned, or the process died ────────────▶ nothing, or closed

Messages are copied as they are stored, by the storage itself where it can. What an agent's record held before the turn
stands with the turn's first message: see ``before_turn``. The fork has the life's name of its source, by which its
copies are read, and an expiry of its own.

The source may be written to meanwhile: messages before the turn change only when they are redacted. If one has, or if
the source has ended, by the time that everything is copied, the copies are taken back.
"""
# Over 300 lines: what a fork gets of its source, and the order in which it comes.

from __future__ import annotations

import math
import uuid
from bisect import bisect_left
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._life.recent_markers import RECENT, day_of, has_markers, with_recent
from agent_sessions._objects.agent_content import UNSEARCHED
from agent_sessions._objects.assembly import Span, span_in
from agent_sessions._objects.before_turn import BEFORE, FIELDS, Carrier
from agent_sessions._records.layout import message_id_of
from agent_sessions._records.message_records import checked_message, list_agent_ids, message_in
from agent_sessions._records.own_names import checked_agent
from agent_sessions._records.record_format import encode, fork_life, is_erased, life_of
from agent_sessions._records.titles import derived_title, with_title
from agent_sessions.exceptions import NotForkableError, SessionConflictError, SessionNotFoundError
from agent_sessions.incoming_session import IncomingSession, carry_out
from agent_sessions.session_pages import FORK, Fork
from agent_sessions.session_title import SessionTitle, title_in
from agent_sessions.turn_request import begins_turn
from agent_sessions.types import Session, SessionType, ids_in, is_message_id, utc_now

if TYPE_CHECKING:
    from agent_sessions._objects.object_repository import ObjectSessionRepository
    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import ListedObject

ATTEMPTS = 3
"""How often a fork is begun anew because its source was redacted meanwhile."""

MOST_MESSAGES = 10_000
"""Messages of a fork: one call copies them all."""


class _Part(NamedTuple):
    """What the fork gets of one agent.

    Attributes:
        agent_id: The agent.
        messages: Its first messages, as they were listed.
        record: Its record, without what is this package's own of every record.
        is_as_then: Whether the record holds what it held then.
    """

    agent_id: str
    messages: list[ListedObject]
    record: dict[str, Any]
    is_as_then: bool


def fork_session(
    repository: ObjectSessionRepository,
    session_id: str,
    agent_id: str | None = None,
    *,
    before_message: int,
    fork_id: str | None = None,
    request: str | None = None,
) -> Fork:
    """Begin a new session as another one was before a turn.

    Args:
        repository: Where the sessions are.
        session_id: The source.
        agent_id: Whose turn; ``None`` when the session has one agent. Others have what they had at that time.
        before_message: The id of the turn's first message. The fork has what is before it.
        fork_id: The new session's id; a random one when not given.
        request: Any text that names the caller's request. The fork says it, so that whoever sends the request again
            knows the fork as its own.

    Raises:
        SessionNotFoundError: There is no such session, agent or message.
        NotForkableError: The message begins no turn, or the session is an orchestrator's.
        SessionExistsError: There is a session of the new id.
        SessionBusyError: Somebody else begins, or erases, a session of the new id at the same time.
        SessionConflictError: The source was redacted all the time.
        ValueError: The session has several agents and none was named.
    """
    fork_id = fork_id or uuid.uuid4().hex
    for _ in range(ATTEMPTS):
        source = _Source(repository, session_id)
        parts = source.parts_before(agent_id, before_message)
        fork = Fork(
            session_id=fork_id,
            forked_from=session_id,
            agent_id=parts[0].agent_id,
            before_message=before_message,
            message_count=len(parts[0].messages),
            state="as then" if all(part.is_as_then for part in parts) else "unknown",
            request=request,
        )
        if _bring(source, parts, IncomingSession(repository, fork_id, ttl_days=repository.life.ttl_days), fork):
            return fork
    raise SessionConflictError(
        f"session_id={session_id} | its messages are being redacted all the time; nothing is left of the fork",
        session_id=session_id,
        key=repository.layout.session(session_id),
    )


def _bring(source: _Source, parts: list[_Part], incoming: IncomingSession, fork: Fork) -> bool:
    """Bring in the fork. Returns whether it lives: not if its source was redacted meanwhile."""
    incoming.begin()
    try:
        copied = all(source.copy(part, incoming) for part in parts)
        if copied and source.is_unchanged(parts):
            for part in parts:
                incoming.write(*source.agent_record(part))
            incoming.finish(source.session_record(fork, parts))
            return True
    except BaseException:
        incoming.abandon()
        raise
    incoming.abandon()
    return False


class _Source:
    """The session that is forked, as it was found."""

    def __init__(self, repository: ObjectSessionRepository, session_id: str) -> None:
        self.session_id = session_id
        self._objects, self._layout, self._records = repository.objects, repository.layout, repository.records
        if repository.read_session(session_id) is None:
            raise self._not_found()
        self._life = self._records.incarnation(session_id) or ""
        self._life_of_fork = fork_life(self._life)
        found = repository.life.record(session_id)
        self._kit = {} if found is None else found.kit
        self._today = day_of(datetime.now(UTC) if found is None else found.stored.read_at)

    def parts_before(self, agent_id: str | None, message_id: int) -> list[_Part]:
        """What each agent had before a turn. That of the agent whose turn it is comes first."""
        if any(True for _ in self._objects.list(f"{self._layout.session_folder(self.session_id)}multi_agents/")):
            raise NotForkableError(
                f"session_id={self.session_id} | an orchestrator's session cannot be forked: nobody keeps what the "
                "states of its nodes were",
                session_id=self.session_id,
            )
        agents = list(list_agent_ids(self._objects, self._layout, self.session_id))
        if not agents:
            raise self._not_found(message_id=message_id)
        if agent_id is None and len(agents) != 1:
            raise ValueError(f"agent_id=None | the session has {len(agents)} agents, name one")
        agent_id = agents[0] if agent_id is None else agent_id
        first = self._message(agent_id, message_id)
        if first is None:
            raise self._not_found(agent_id=agent_id, message_id=message_id)
        if not _begins_turn(first):
            raise NotForkableError(
                f"session_id={self.session_id}, agent_id={agent_id}, message_id={message_id} | begins no turn: name "
                "the first message of one",
                session_id=self.session_id,
                key=first.key,
            )
        others = [self._part_at(other, self._written_at(agent_id, message_id)) for other in agents if other != agent_id]
        parts = [self._part_before(agent_id, message_id), *(part for part in others if part is not None)]
        if sum(len(part.messages) for part in parts) > MOST_MESSAGES:
            raise NotForkableError(f"session_id={self.session_id} | a fork has {MOST_MESSAGES:,} messages at most")
        return parts

    def _part_at(self, agent_id: str, at: str) -> _Part | None:
        """What another agent had at a time, without a turn that was under way; ``None`` if it came later."""
        ids = list(self._listed(agent_id))
        position = bisect_left(ids, at, key=lambda number: self._written_at(agent_id, number))
        if position == len(ids):
            return self._part_before(agent_id, None)
        while position > 0 and not _begins_turn(self._message(agent_id, ids[position])):
            position -= 1
        return self._part_before(agent_id, ids[position]) if position > 0 else None

    def _part_before(self, agent_id: str, message_id: int | None) -> _Part:
        """What an agent had before a turn that a message began; before none of them, what it has now."""
        record = self._records.own(self.session_id, self._layout.agent(self.session_id, agent_id))
        now = {} if record is None else {**checked_agent(record, agent_id).content, **record.kit}
        then = now if message_id is None else self._held_before(agent_id, message_id)
        end = math.inf if message_id is None else message_id
        carrier = Carrier.noted_in(now)
        kit: dict[str, Any] = {"joined": [i for i in ids_in(then or now, "joined") if i < end]}
        unsearched = span_in(record.kit, UNSEARCHED) if record is not None and record.kit else Span(0, _removed_in(now))
        kit |= _pins_before(now, then or now, unsearched, end)
        if carrier is not None and carrier.message_id < end:
            kit[BEFORE] = carrier.to_dict()
        if has_markers(self._kit):
            kit[RECENT] = self._today
        held = {name: then.get(name, {}) for name in FIELDS} if then is not None else _nothing_of(now)
        return _Part(
            agent_id,
            [entry for number, entry in self._listed(agent_id).items() if number < end],
            {
                "agent_id": agent_id,
                **held,
                "created_at": now.get("created_at") or utc_now(),
                "updated_at": utc_now(),
                "kit": {name: value for name, value in kit.items() if value},
            },
            is_as_then=then is not None,
        )

    def _held_before(self, agent_id: str, message_id: int) -> dict[str, Any] | None:
        """What an agent's record held before the message's turn; ``None`` if nobody kept it."""
        first = self._message(agent_id, message_id)
        before = first.kit.get(BEFORE) if first is not None else None
        if isinstance(before, dict) and is_message_id(before.get("as")):
            carrier = self._message(agent_id, before["as"])
            before = carrier.kit.get(BEFORE) if carrier is not None else None
        return before if isinstance(before, dict) and FIELDS[0] in before else None

    def _listed(self, agent_id: str) -> dict[int, ListedObject]:
        """An agent's messages by their ids, in order."""
        listed = self._objects.list(self._layout.messages_folder(self.session_id, agent_id))
        found = {message_id_of(entry.key): entry for entry in listed}
        return {number: found[number] for number in sorted(number for number in found if number is not None)}

    def _message(self, agent_id: str, message_id: int) -> Record | None:
        record = self._records.own(self.session_id, self._layout.message(self.session_id, agent_id, message_id))
        return None if record is None else checked_message(record)

    def _written_at(self, agent_id: str, message_id: int) -> str:
        record = self._message(agent_id, message_id)
        return "" if record is None else str(record.content.get("created_at"))

    def _not_found(self, **named: object) -> SessionNotFoundError:
        told = ", ".join(f"{name}={value}" for name, value in {"session_id": self.session_id, **named}.items())
        return SessionNotFoundError(f"{told} | does not exist", session_id=self.session_id)

    def copy(self, part: _Part, incoming: IncomingSession) -> bool:
        """Copy an agent's messages, by the storage itself where it can. Returns whether each was still there."""

        def copy(entry: ListedObject) -> bool:
            name = self._name_of(entry.key)
            if incoming.copy(name, self._objects, entry) is not None:
                return True
            found = self._objects.get(entry.key)
            if found is not None:
                incoming.write(name, found.body)
            return found is not None

        return all(carry_out(self._objects.executor, copy, part.messages))

    def is_unchanged(self, parts: list[_Part]) -> bool:
        """Whether the messages that were copied are what they were.

        Raises:
            SessionNotFoundError: The session has ended.
        """
        key = self._layout.session(self.session_id)
        found = self._records.get(key)
        if found is None or is_erased(found) or life_of(found.content) != self._life:
            raise self._not_found()
        return all([*self._listed(part.agent_id).values()][: len(part.messages)] == part.messages for part in parts)

    def agent_record(self, part: _Part) -> tuple[str, bytes]:
        """The name and the bytes of an agent's record."""
        key = self._layout.agent(self.session_id, part.agent_id)
        body, _ = encode(key, part.record, self._life_of_fork)
        return self._name_of(key), body

    def session_record(self, fork: Fork, parts: list[_Part]) -> bytes:
        """The bytes of the fork's own record."""
        kit: dict[str, Any] = {FORK: fork.to_kit()}
        title = title_in(self._kit)
        kept = {part.agent_id: {message_id_of(entry.key) for entry in part.messages} for part in parts}
        if title.message_id not in kept.get(title.agent_id or "", ()):
            title = SessionTitle(given=title.given)  # the prompt that it was made of is none of the fork's
        elif title.derived is not None:
            # It may have been redacted since the title was read, and before it was copied.
            title = title._replace(derived=self._title_copied(fork.session_id, title))
        kit = with_title(kit, title)
        if has_markers(self._kit):
            for part in parts:
                kit = with_recent(kit, part.agent_id, day=self._today)
        session = Session(fork.session_id, SessionType.AGENT, kit=kit)
        body, _ = encode(self._layout.session(fork.session_id), session.to_dict(), self._life_of_fork)
        return body

    def _title_copied(self, fork_id: str, title: SessionTitle) -> str | None:
        """The title that the fork's own copy of a message gives."""
        if title.agent_id is None or title.message_id is None:
            return None
        copied = self._records.get(self._layout.message(fork_id, title.agent_id, title.message_id))
        return None if copied is None else derived_title(message_in(checked_message(copied)))

    def _name_of(self, key: str) -> str:
        return key.removeprefix(self._layout.session_folder(self.session_id))


def _begins_turn(record: Record | None) -> bool:
    return record is not None and (BEFORE in record.kit or begins_turn(message_in(record)))


def _removed_in(held: dict[str, Any]) -> int:
    """How many messages a conversation manager has removed."""
    removed = (held.get("conversation_manager_state") or {}).get("removed_message_count")
    return removed if isinstance(removed, int) else 0


def _pins_before(now: dict[str, Any], then: dict[str, Any], unsearched: Span, end: float) -> dict[str, Any]:
    """What is known of pins, of the messages before a turn.

    Args:
        now: What the agent's record holds.
        then: What it held before the turn.
        unsearched: The messages that nobody has searched for pins by now.
        end: The turn's first message.
    """
    removed = _removed_in(then)
    # A pin that is known by now, of a message that was below the window, was there then, and found since.
    pinned = {i for i in ids_in(then, "pinned") if i < end} | {i for i in ids_in(now, "pinned") if i < removed}
    left = Span(unsearched.first, min(unsearched.end, removed))
    return {"pinned": sorted(pinned), UNSEARCHED: list(left or ())}


def _nothing_of(now: dict[str, Any]) -> dict[str, Any]:
    """An agent's fields when nobody knows what they were: no state, and nothing removed or summarized."""
    manager = now.get("conversation_manager_state") or {}
    fresh: dict[str, Any] = {"removed_message_count": 0, "summary_message": None}
    return {
        "state": {},
        "conversation_manager_state": {name: fresh.get(name, value) for name, value in manager.items()},
        "_internal_state": {},
    }
