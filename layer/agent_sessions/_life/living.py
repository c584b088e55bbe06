"""Which sessions live, a page of them at a time, however many expired ones lie between them.

The records of many sessions are read at once. A record that was written within the lifetime shows that its session
lives. If it is older, what turns have written decides. One listing of a thousand keys shows that for this session and
for those after it. So a run of expired sessions is passed in a few requests, without reading records.
"""

from __future__ import annotations

import contextlib
from itertools import groupby, islice
from typing import TYPE_CHECKING

from agent_sessions._life.last_use import counted_use, find_last_use
from agent_sessions._life.session_age import record_used, used_until
from agent_sessions._records.cursors import CursorKind, read_cursor, write_cursor
from agent_sessions._records.layout import is_written_by_turns, session_id_of
from agent_sessions._records.message_records import LISTED_AT_ONCE
from agent_sessions._records.record_format import is_erased, parse
from agent_sessions.exceptions import InvalidIdentifierError, SessionCorruptError
from agent_sessions.expiry import is_expired
from agent_sessions.identifiers import check_identifier
from agent_sessions.session_pages import SessionGlance, SessionPage, glance_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import ListedObject, ObjectStore, StoredObject

FEWEST_READ, MOST_READ = 16, 128
"""Sessions whose records are asked for at once."""

FOLDERS_A_PAGE = 10_000
LISTINGS_A_PAGE = 100
"""A page passes at most so many, even if it finds few; then it ends with a cursor."""


def list_living(
    objects: ObjectStore,
    layout: Layout,
    *,
    ttl_days: float,
    limit: int,
    cursor: str | None = None,
    time_is_up: Callable[[], bool] = lambda: False,
) -> SessionPage:
    """List sessions that are neither expired nor being erased, in the order of their keys.

    Args:
        objects: Where the objects live.
        layout: How they are named.
        ttl_days: Days after its last use at which a session expires; ``0`` for never.
        limit: At most so many, 1 or more.
        cursor: Of the page before.
        time_is_up: Asked between requests. When it says yes, the page ends with what it has, perhaps nothing.

    Raises:
        ValueError: The cursor is not one of ours.
    """
    position = None if cursor is None else read_cursor(CursorKind.SESSIONS, cursor)
    scan = _Scan(objects, layout, ttl_days, time_is_up)
    start_after = f"session_{position}" if position is not None else ""
    folders = objects.list_folders(layout.root, named="session_", start_after=start_after)
    names = (name for folder in folders if (name := session_id_of(folder)) is not None)
    found: list[SessionGlance] = []
    passed, count = 0, min(max(limit + 1, FEWEST_READ), MOST_READ)
    while chunk := list(islice(names, count)):
        for name, lives in scan.judge(chunk):
            if lives is None or (lives and len(found) == limit):
                return _page(found, position)
            found += [scan.glance(name)] * lives
            position = name
        passed += len(chunk)
        if len(found) == limit or time_is_up() or passed >= FOLDERS_A_PAGE:
            return _page(found, position if next(names, None) is not None else None)
        count = min(2 * count, MOST_READ)
    return _page(found, None)


def has_ended(objects: ObjectStore, layout: Layout, session_id: str, ttl_days: float) -> bool:
    """Whether a session that has a record is over: it is being erased, or has expired. A damaged one is not.

    Args:
        objects: Where the objects live.
        layout: How they are named.
        session_id: The session.
        ttl_days: Days after its last use at which a session expires; ``0`` for never.
    """
    scan = _Scan(objects, layout, ttl_days, lambda: False)
    return all(lives is False for _, lives in scan.judge([session_id]))


def _page(found: list[SessionGlance], position: str | None) -> SessionPage:
    """A page, and the name after which the next one begins; ``None`` when nothing follows."""
    next_cursor = None if position is None else write_cursor(CursorKind.SESSIONS, position)
    return SessionPage(tuple(glance.session_id for glance in found), next_cursor, tuple(found))


class _Damaged:
    """Something lies where a session's record should be, and cannot be read."""


class _Scan:
    """Judges sessions in their order, and remembers what listings have shown of later ones."""

    def __init__(self, objects: ObjectStore, layout: Layout, ttl_days: float, time_is_up: Callable[[], bool]) -> None:
        self._objects = objects
        self._layout = layout
        self._ttl_days = ttl_days
        self._time_is_up = time_is_up
        self._used: dict[str, bool] = {}  # whether a turn has written within the lifetime, as far as listings show
        self._undecided: set[str] = set()  # sessions whose record alone is young: it says itself whether that counts
        self._records: dict[str, Record] = {}  # of what was read last
        self._now: datetime | None = None  # by the storage's clock
        self._in_expired_run = False
        self._listings = 0

    def judge(self, names: list[str]) -> Iterable[tuple[str, bool | None]]:
        """Tell of each session, in order, whether it lives; ``None`` for those that this scan does not come to."""
        ids = [name for name in names if _is_identifier(name)]
        if self._in_expired_run:
            self._pass_expired(ids)
        records = self._read([session_id for session_id in ids if self._used.get(session_id, True)])
        for name in names:
            stored = records.get(name)
            lives = stored is not None and self._lives(name, stored)
            self._in_expired_run = not lives
            yield name, lives

    def glance(self, session_id: str) -> SessionGlance:
        """What the record of a session that was judged says of it; of a damaged one, its id."""
        record = self._records.pop(session_id, None)
        return SessionGlance(session_id) if record is None else glance_at(session_id, record.content)

    def _read(self, session_ids: list[str]) -> dict[str, StoredObject | _Damaged | None]:
        keys = [self._layout.session(session_id) for session_id in session_ids]
        try:
            return dict(zip(session_ids, self._objects.get_many(keys), strict=True))
        except SessionCorruptError:  # one of them is no object at all; read the others one by one
            return {session_id: self._read_one(key) for session_id, key in zip(session_ids, keys, strict=True)}

    def _read_one(self, key: str) -> StoredObject | _Damaged | None:
        try:
            return self._objects.get(key)
        except SessionCorruptError:
            return _Damaged()

    def _lives(self, session_id: str, stored: StoredObject | _Damaged) -> bool | None:
        """Whether a session lives. A damaged one counts as living: a caller that opens it is told what is wrong."""
        if isinstance(stored, _Damaged):
            return True
        self._now, used = stored.read_at, stored.last_modified
        with contextlib.suppress(SessionCorruptError):
            record = parse(self._layout.session(session_id), stored)
            if record is not None and is_erased(record):
                return False
            if record is not None:
                self._records[session_id] = record
                used = record_used(record)
            if record is not None and used_until(record) is not None:
                return self._is_young(
                    counted_use(self._objects, self._layout, session_id, record, used, self._ttl_days)
                )
        if self._is_young(used):
            return True
        # The record of one that is undecided was written anew by somebody who did not use it.
        is_known = session_id in self._used or session_id in self._undecided
        return self._used.get(session_id, False) if is_known or self._look(session_id) else None

    def _pass_expired(self, session_ids: list[str]) -> None:
        """List on while all that is listed has expired: those records need not be read."""
        for session_id in session_ids:
            if session_id not in self._used and session_id not in self._undecided and not self._look(session_id):
                return
            if self._used.get(session_id, True):
                return

    def _look(self, session_id: str) -> bool:
        """List what is stored of a session and of those after it, unless that has been done often enough."""
        if self._now is None or self._listings >= LISTINGS_A_PAGE or (self._listings and self._time_is_up()):
            return False
        self._listings += 1
        folder = self._layout.session_folder(session_id)
        keys = self._objects.list(f"{self._layout.root}session_", start_after=folder)
        page = list(islice(keys, LISTED_AT_ONCE))
        is_cut = len(page) == LISTED_AT_ONCE
        groups = {name: list(entries) for name, entries in groupby(page, self._name_of) if name}
        for name, entries in groups.items():
            young = {self._name_below(entry) for entry in entries if self._is_young(entry.last_modified)}
            is_used = any(is_written_by_turns(key) for key in young)
            if not is_used and "session.json" in young:
                self._undecided.add(name)
            elif is_used or not is_cut or name != self._name_of(page[-1]):
                self._used[name] = is_used
        if session_id not in self._used and session_id not in self._undecided:
            self._used[session_id] = session_id in groups and self._is_used(session_id)
        return True

    def _is_used(self, session_id: str) -> bool:
        found = find_last_use(self._objects, self._layout, session_id, is_enough=self._is_young)
        return found is not None and self._is_young(found)

    def _name_below(self, entry: ListedObject) -> str:
        """An object's key below its session's folder."""
        return entry.key[len(self._layout.root) :].partition("/")[2]

    def _is_young(self, at: datetime) -> bool:
        return self._now is None or not is_expired(at, self._now, self._ttl_days)

    def _name_of(self, entry: ListedObject) -> str:
        """The session an object lies in; nothing for an object beside the sessions' folders."""
        folder, slash, _ = entry.key[len(self._layout.root) :].partition("/")
        return (session_id_of(folder) or "") if slash else ""


def _is_identifier(name: str) -> bool:
    try:
        check_identifier("session", name)
    except InvalidIdentifierError:
        return False
    return True
