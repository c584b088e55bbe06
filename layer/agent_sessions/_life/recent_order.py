"""How the sessions used last are ordered, and where a page of them begins."""

from __future__ import annotations

import contextlib
import json
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._records.cursors import CursorKind, read_cursor, write_cursor
from agent_sessions.exceptions import InvalidIdentifierError
from agent_sessions.identifiers import check_identifier

if TYPE_CHECKING:
    from datetime import datetime

    from agent_sessions._records.layout import Marker
    from agent_sessions.object_store import ListedObject

ORDERED_BY_USE = 128
"""Sessions of a day that are ordered by their last use: of each, something has to be read."""

_DAYS = 100_000
"""Days that a marker's key can name: five digits."""


class Position(NamedTuple):
    """Where a page begins.

    A page that begins among sessions that are ordered together says which they are and how they are ordered: markers
    that come or go meanwhile change neither.

    Attributes:
        day: The day, in days since 1970.
        behind: The session whose markers are the last before those that are ordered together; empty for none.
        through: The last session of those, in the order of keys; empty where they end with the day.
        by_use: Whether they are ordered by their last use.
        at: When the last session of the page before was used, in milliseconds since 1970; ``None`` when the page began
            with these markers.
        session_id: That session.
    """

    day: int
    behind: str
    through: str
    by_use: bool
    at: int | None
    session_id: str


class Marked(NamedTuple):
    """A session that has markers for a day.

    Attributes:
        day: The day, in days since 1970.
        session_id: The session.
        markers: The markers, by agent.
        at: When the latest was written.
    """

    day: int
    session_id: str
    markers: dict[str, ListedObject]
    at: datetime


class Block(NamedTuple):
    """Sessions of one day that are ordered together.

    Attributes:
        day: The day.
        behind: The session before them in the order of keys; empty where the day begins.
        through: The last of them in that order; empty where they end with the day.
        sessions: The sessions, in the order of keys.
        is_by_use: Whether they are ordered by their last use.
    """

    day: int
    behind: str
    through: str
    sessions: list[Marked]
    is_by_use: bool

    def by_marker(self) -> list[Marked]:
        """The sessions in the order of their first turns of the day, the latest first."""
        return sorted(self.sessions, key=lambda each: (-milliseconds(each.at), each.session_id))


def blocks_of(marked: list[Marked], position: Position | None, *, is_cut: bool) -> list[Block]:
    """Put sessions together that are ordered together: those of a day, or of a part of it that was cut off.

    Args:
        marked: The sessions as they were listed, in the order of keys.
        position: Where the page begins.
        is_cut: Whether the listing went on. A day of which it has shown a part only is put off to the next page, unless
            it is the first here: then its part is ordered by itself.
    """
    parts: list[tuple[int, str, str, list[Marked]]] = []
    for day, each_of_day in groupby(marked, lambda each: each.day):
        sessions = list(each_of_day)
        behind, through = "", ""
        if position is not None and position.day == day:
            behind, through = position.behind, position.through
        if through:
            parts.append((day, behind, through, [each for each in sessions if not _is_beyond(each, through)]))
            sessions, behind = [each for each in sessions if _is_beyond(each, through)], through
        parts.append((day, behind, "", sessions))
    parts = [part for part in parts if part[3]]
    if is_cut and len(parts) > 1:
        parts.pop()
    elif is_cut and parts and not parts[0][2]:
        day, behind, _, sessions = parts[0]
        parts = [(day, behind, sessions[-1].session_id, sessions)]
    return [_block(*part, position) for part in parts]


def _block(day: int, behind: str, through: str, sessions: list[Marked], position: Position | None) -> Block:
    is_by_use = len(sessions) <= ORDERED_BY_USE
    if position is not None and position.at is not None and (day, behind) == (position.day, position.behind):
        is_by_use = position.by_use
        if is_by_use and len(sessions) > ORDERED_BY_USE:
            # So many were not there at the page before. Those that have come since belong in front of it.
            latest = sorted(each.at for each in sessions)[ORDERED_BY_USE - 1]
            sessions = [each for each in sessions if each.at <= latest]
    return Block(day, behind, through, sessions, is_by_use)


def _is_beyond(marked: Marked, through: str) -> bool:
    """Whether a session comes behind another in the order of keys."""
    return f"{marked.session_id}/" > f"{through}/"


def can_be(marker: Marker) -> bool:
    """Whether ids can be these: anything may lie there."""
    try:
        check_identifier("session", marker.session_id)
        check_identifier("agent", marker.agent_id)
    except InvalidIdentifierError:
        return False
    return True


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def write_position(position: Position) -> str:
    return write_cursor(CursorKind.RECENT, json.dumps(position, ensure_ascii=False))


def read_position(cursor: str) -> Position:
    """The position that a cursor stands for.

    Raises:
        ValueError: It is none of ours.
    """
    name = read_cursor(CursorKind.RECENT, cursor)
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(name)
        if isinstance(found, list) and len(found) == len(Position._fields):
            position = Position(*found)
            is_day = type(position.day) is int and 0 <= position.day < _DAYS
            is_time = position.at is None or type(position.at) is int
            ids = (position.behind, position.through, position.session_id)
            if (
                is_day
                and is_time
                and isinstance(found[3], bool)
                and all(isinstance(each, str) for each in ids)
                and json.dumps(found, ensure_ascii=False) == name
            ):
                return position
    raise ValueError(f"cursor={cursor[:40]!r} | must be the next_cursor of an earlier page")
