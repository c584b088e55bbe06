"""The sessions used last, a page of them at a time: one listing, and then what each of the page says, all at once.

    LIST recent/           markers, the latest day first, up to a thousand
      └─ at once, for each session of the page:  GET session.json, HEAD agent.json, and of late ones GET lease.json
           └─ at once, where another agent may have a later marker:  HEAD agent.json, then HEAD of such markers
           └─ at once, where somebody holds the lease:  what finds the turn that runs

Days follow each other. Within a day, up to 128 sessions are in the order of their last use; of more, those come first
whose first turn of the day was later. Of a day with more than a thousand markers, each thousand is ordered by itself.

A marker whose session has ended or expired is passed, and removed.
"""
# Over 300 lines: what a page reads, and how what was read becomes a page.

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._life.last_use import counted_use
from agent_sessions._life.recent_markers import agents_in, day_of
from agent_sessions._life.recent_order import (
    Block,
    Marked,
    Position,
    blocks_of,
    can_be,
    milliseconds,
    read_position,
    write_position,
)
from agent_sessions._life.session_age import record_used
from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import marker_of
from agent_sessions._records.record_format import is_erased, parse
from agent_sessions._storage.record_claim import RecordClaim
from agent_sessions.claims import LeaseTerms
from agent_sessions.exceptions import SessionCorruptError, SessionException, named
from agent_sessions.expiry import is_expired
from agent_sessions.incoming_session import carry_out, is_coming
from agent_sessions.session_pages import RecentPage, RunningTurn, SessionGlance, glance_at
from agent_sessions.turn_reader import TurnReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import ListedObject

logger = logging.getLogger(__name__)

LISTED = 1_000
"""Markers of a page: one request lists so many."""

MOST_ROWS = 100
"""Sessions of a page."""

MOST_RUNNING = 16
"""Running turns of a page: to name one takes a few reads more."""

LATE_DAYS = 2
"""A turn that runs has begun within so many days: it lasts no longer, and clocks may differ."""

AGENTS_LOOKED_AT = 8
"""Agents of a session whose last use is looked up."""

MOST_DAYS = 1_000
"""Markers that a page asks for where somebody who keeps no list has gone on with an agent: one for each day between."""


class _Row(NamedTuple):
    """A session of which everything has been read.

    Attributes:
        block: Where it is ordered.
        marked: Its markers.
        record: Its record; ``None`` when that cannot be read.
        used: When it was used last.
        written: When the records of its agents were written that have one of the markers.
        is_in_use: Whether somebody holds its lease.
    """

    block: Block
    marked: Marked
    record: Record | None
    used: datetime
    written: dict[str, datetime]
    is_in_use: bool

    @property
    def ordered_at(self) -> datetime:
        """By which time it is ordered within its day."""
        return self.used if self.block.is_by_use else self.marked.at


def list_recent(
    repository: ObjectSessionRepository,
    *,
    ttl_days: float,
    limit: int,
    cursor: str | None = None,
    time_is_up: Callable[[], bool] = lambda: False,
) -> RecentPage:
    """List the sessions used last: see the module, and :meth:`SessionVerbs.list_recent`.

    Args:
        repository: Where the sessions are.
        ttl_days: Days after its last use at which a session expires; ``0`` for never.
        limit: At most so many, 1 or more.
        cursor: Of the page before.
        time_is_up: Asked before each session but the first. When it says yes, the page ends before it.

    Raises:
        ValueError: The cursor is not one of ours.
    """
    position = None if cursor is None else read_position(cursor)
    return _Page(repository, ttl_days, min(limit, MOST_ROWS), position, time_is_up).read()


class _Page:
    """One page, from what was listed to what is told."""

    def __init__(
        self,
        repository: ObjectSessionRepository,
        ttl_days: float,
        limit: int,
        position: Position | None,
        time_is_up: Callable[[], bool],
    ) -> None:
        self._objects, self._layout = repository.objects, repository.layout
        self._ttl_days = ttl_days
        self._limit = limit
        self._position = position
        self._time_is_up = time_is_up
        self._stale: list[ListedObject] = []

    def read(self) -> RecentPage:
        """Read it."""
        blocks, has_more = self._listed()
        candidates, rest = self._candidates(blocks)
        next_position = rest or (_behind(blocks[-1]) if has_more and blocks else None)
        shown: dict[str, _Row] = {}
        last: _Row | None = None
        running = 0
        for row, is_later_elsewhere in self._with_later_markers(self._in_order(blocks, self._read_all(candidates))):
            running += row.is_in_use
            is_late = bool(shown) and self._time_is_up()
            if last is not None and (len(shown) == self._limit or running > MOST_RUNNING or is_late):
                next_position = _at(last)
                break
            last = row
            if not is_later_elsewhere:
                shown.setdefault(row.marked.session_id, row)
        told = self._told([*shown.values()])
        self._remove_stale()
        return RecentPage(tuple(told), None if next_position is None else write_position(next_position))

    # --- listing ----------------------------------------------------------------------------------------

    def _listed(self) -> tuple[list[Block], bool]:
        """A thousand markers in blocks, and whether there are more."""
        recent, position = self._layout.recent(), self._position
        start_after = ""
        if position is not None:
            behind = position.behind and f"session_{position.behind}/~"
            start_after = f"{self._layout.recent_day(position.day)}{behind}"
        entries = list(islice(self._objects.list(recent, start_after=start_after), LISTED))
        marked = list(self._marked(recent, entries))
        is_cut = len(entries) == LISTED
        if is_cut and len(marked) > 1:
            marked.pop()  # more of its markers may follow
        return blocks_of(marked, position, is_cut=is_cut), is_cut

    def _marked(self, recent: str, entries: Iterable[ListedObject]) -> Iterator[Marked]:
        found = ((marker_of(entry.key[len(recent) :]), entry) for entry in entries)
        named = [(marker, entry) for marker, entry in found if marker is not None and can_be(marker)]
        for (day, session_id), group in groupby(named, lambda each: (each[0].day, each[0].session_id)):
            markers = {marker.agent_id: entry for marker, entry in group}
            yield Marked(day, session_id, markers, max(entry.last_modified for entry in markers.values()))

    # --- reading ----------------------------------------------------------------------------------------

    def _candidates(self, blocks: list[Block]) -> tuple[list[tuple[Block, Marked]], Position | None]:
        """What may be on the page, and where the next one begins if all of it is."""
        chosen: list[tuple[Block, Marked]] = []
        certain = 0
        for number, block in enumerate(blocks):
            if certain > self._limit:
                return chosen, _behind(blocks[number - 1])
            if block.is_by_use:
                chosen += [(block, each) for each in block.sessions]
                # How many of them were on the page before, only their last use tells.
                certain += 0 if self._continues(block) else len(block.sessions)
                continue
            later = [each for each in block.by_marker() if self._is_behind(block, each.at, each.session_id)]
            most = max(self._limit + 1 - certain, 1)
            chosen += [(block, each) for each in later[:most]]
            if len(later) > most:
                end = later[most - 1]
                return chosen, _behind_one(block, end.at, end.session_id)
            certain += len(later)
        return chosen, None

    def _read_all(self, candidates: Sequence[tuple[Block, Marked]]) -> list[_Row]:
        """Read what is to be told of sessions, at once; those that are not to be shown are left out."""
        reads: list[Callable[[], Any]] = []
        for _, marked in candidates:
            reads.append(partial(self._read_record, marked.session_id))
            reads.append(partial(self._is_in_use, marked))
            reads += [partial(self._objects.stat, key) for key in self._agent_keys(marked)]
        # Each is one request: on the store's own threads, none waits for another.
        answers = iter(carry_out(self._objects.executor, lambda read: read(), reads))
        rows = []
        for block, marked in candidates:
            found, is_in_use = next(answers), next(answers)
            stats = [next(answers) for _ in self._agent_keys(marked)]
            agent_ids = islice(marked.markers, AGENTS_LOOKED_AT)
            written = {each: entry.last_modified for each, entry in zip(agent_ids, stats, strict=True) if entry}
            used = max(written.values(), default=marked.at)
            record = self._living(marked.session_id, found, used)
            if record is None and not isinstance(found, SessionCorruptError):
                # Markers of a session that is being brought in stand before it lives.
                self._stale += () if found is not None and is_coming(found) else marked.markers.values()
            else:
                rows.append(_Row(block, marked, record, used, written, is_in_use))
        return rows

    def _agent_keys(self, marked: Marked) -> list[str]:
        return [self._layout.agent(marked.session_id, each) for each in islice(marked.markers, AGENTS_LOOKED_AT)]

    def _read_record(self, session_id: str) -> Record | SessionCorruptError | None:
        key = self._layout.session(session_id)
        try:
            return parse(key, self._objects.get(key))
        except SessionCorruptError as error:
            return error  # it is shown: whoever opens it is told what is wrong

    def _is_in_use(self, marked: Marked) -> bool:
        """Whether somebody holds the session's lease. Nobody holds one that was used long ago."""
        if marked.day < time.time() // 86_400 - LATE_DAYS:
            return False
        key, terms = self._layout.lease(marked.session_id), LeaseTerms("a list", 1.0, uuid.uuid4().hex)
        claim = self._objects.claim(key, terms) or RecordClaim(self._objects, key, terms)
        return claim.look() is not None

    def _living(self, session_id: str, found: Record | SessionCorruptError | None, used: datetime) -> Record | None:
        """The record of a session that has neither ended nor expired."""
        if found is None or isinstance(found, SessionCorruptError) or is_erased(found):
            return None
        used = max(used, record_used(found))
        counted = counted_use(self._objects, self._layout, session_id, found, used, self._ttl_days)
        return None if is_expired(counted, found.stored.read_at, self._ttl_days) else found

    def _with_later_markers(self, rows: Iterator[_Row]) -> Iterator[tuple[_Row, bool]]:
        """Each row, and whether the session has a marker of a later day: then it is shown there."""
        while some := list(islice(rows, self._limit + 1)):
            yield from zip(some, self._are_later_elsewhere(some), strict=True)

    def _are_later_elsewhere(self, rows: Sequence[_Row]) -> list[bool]:
        """Whether these sessions have markers of later days.

        What a turn has left that died between its marker and the removal of the one before, or that may not delete, is
        noted for removal.
        """
        elsewhere = [(number, each) for number, row in enumerate(rows) for each in self._agents_elsewhere(row)]
        keys = [self._layout.agent(rows[number].marked.session_id, agent_id) for number, agent_id in elsewhere]
        stats = zip(elsewhere, self._objects.stat_many(keys), strict=True)
        written = {place: entry.last_modified for place, entry in stats if entry is not None}
        written |= {(number, each): at for number, row in enumerate(rows) for each, at in row.written.items()}
        # A turn writes its marker when it begins, and may end on the next day.
        asked = [
            (*place, day)
            for place, at in written.items()
            for day in (day_of(at), day_of(at) - 1)
            if day > rows[place[0]].marked.day or day_of(at) < rows[place[0]].marked.day
        ]
        found = self._markers_at(rows, asked)
        for number, agent_id, day in found:
            marked = rows[number].marked
            if agent_id in marked.markers:
                is_older = day > marked.day
                self._stale.append(marked.markers[agent_id] if is_older else found[number, agent_id, day])
        # A manager that keeps no list may have gone on with an agent for days: its marker is of any day before.
        sure = {(number, agent_id) for number, agent_id, _ in found}
        between = (
            (*place, day)
            for place in elsewhere
            if place in written and place not in sure
            for day in range(day_of(written[place]) - 2, rows[place[0]].marked.day, -1)
        )
        found |= self._markers_at(rows, [*islice(between, MOST_DAYS)])
        later = {number for number, _, day in found if day > rows[number].marked.day}
        return [number in later for number in range(len(rows))]

    def _markers_at(
        self, rows: Sequence[_Row], asked: Sequence[tuple[int, str, int]]
    ) -> dict[tuple[int, str, int], ListedObject]:
        """Of the markers of some rows' agents on some days, those that are there."""
        keys = [self._layout.recent_marker(day, rows[number].marked.session_id, each) for number, each, day in asked]
        stats = zip(asked, self._objects.stat_many(keys), strict=True)
        return {place: entry for place, entry in stats if entry is not None}

    def _agents_elsewhere(self, row: _Row) -> list[str]:
        """Agents that have had markers, and none of those that were listed here."""
        named = [] if row.record is None else agents_in(row.record.kit)
        return [each for each in named if each not in row.marked.markers][:AGENTS_LOOKED_AT]

    # --- telling ----------------------------------------------------------------------------------------

    def _told(self, rows: Sequence[_Row]) -> list[SessionGlance]:
        """What is told of sessions, with the turns that run in them."""
        used = [row for row in rows if row.is_in_use]
        if self._objects.executor is None or len(used) < 2:  # noqa: PLR2004 - one alone needs no thread
            turns = [self._running_turn(row.marked) for row in used]
        else:
            # Each asks for several objects at once, on the store's threads: a thread of those must not wait for others.
            with ThreadPoolExecutor(len(used), "running-turns") as threads:
                turns = [*threads.map(self._running_turn, [row.marked for row in used])]
        running = {row.marked.session_id: turn for row, turn in zip(used, turns, strict=True)}
        return [self._glance(row, running.get(row.marked.session_id)) for row in rows]

    def _glance(self, row: _Row, running: RunningTurn | None) -> SessionGlance:
        session_id = row.marked.session_id
        glance = SessionGlance(session_id) if row.record is None else glance_at(session_id, row.record.content)
        return replace(glance, last_used_at=row.used.astimezone(UTC).isoformat(), running_turn=running)

    def _running_turn(self, marked: Marked) -> RunningTurn | None:
        try:
            # What a repository knows of sessions, it keeps for one thread.
            repository = ObjectSessionRepository(self._objects, self._layout, ttl_days=self._ttl_days)
            turns = TurnReader(repository, marked.session_id)
            for agent_id in islice(marked.markers, AGENTS_LOOKED_AT):
                turn = turns.find_under_way(agent_id)
                if turn is not None:
                    return RunningTurn(turn.turn_id, agent_id)
        except SessionException as error:
            logger.warning("session_id=<%s> | no running turn was found: %s", marked.session_id, named(error))
        return None

    def _remove_stale(self) -> None:
        """Remove markers that stand for nothing any more, unless somebody has written them anew."""
        with contextlib.suppress(SessionException):  # whoever lists need not be allowed to delete
            carry_out(
                self._objects.executor,
                lambda entry: self._objects.delete_current(entry.key, entry.etag),
                self._stale[:MOST_ROWS],
            )

    # --- order ------------------------------------------------------------------------------------------

    def _in_order(self, blocks: Sequence[Block], rows: list[_Row]) -> Iterator[_Row]:
        for block in blocks:
            inside = [row for row in rows if row.block is block]
            inside.sort(key=lambda row: (-milliseconds(row.ordered_at), row.marked.session_id))
            yield from (row for row in inside if self._is_behind(block, row.ordered_at, row.marked.session_id))

    def _continues(self, block: Block) -> bool:
        """Whether the page before has ended in this block."""
        position = self._position
        return position is not None and position.at is not None and (block.day, block.behind) == position[:2]

    def _is_behind(self, block: Block, at: datetime, session_id: str) -> bool:
        """Whether a session comes behind the last of the page before."""
        position = self._position
        if position is None or position.at is None or not self._continues(block):
            return True
        return (-milliseconds(at), session_id) > (-position.at, position.session_id)


def _behind(block: Block) -> Position:
    """Where the next page begins, when all of a block is on this one."""
    return Position(block.day, block.through or block.sessions[-1].session_id, "", False, None, "")


def _at(row: _Row) -> Position:
    """Where the next page begins, when a session is the last on this one."""
    return _behind_one(row.block, row.ordered_at, row.marked.session_id)


def _behind_one(block: Block, at: datetime, session_id: str) -> Position:
    return Position(block.day, block.behind, block.through, block.is_by_use, milliseconds(at), session_id)
