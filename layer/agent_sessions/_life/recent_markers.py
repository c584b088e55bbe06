"""Markers that tell which sessions were used last: one for each agent of a session, for the day of its last turn.

    recent/79213/session_ada/agent_default.json        days are counted down: a listing begins with the latest

The first turn of a UTC day writes the day's marker and removes that of the day before, which the agent's record notes.
The day is the storage's, as it has dated the turn's first message: clocks of writers do not matter. A marker holds ids
and nothing else: what a session is called stands in its record.

A session's record says under ``kit``, as ``recent``, since which day there can be markers, and which agents have had
any. So an erasure finds them without looking at other sessions: no day before, none after today. A session's first turn
notes its own day at its end; until then, the record's age tells it.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from agent_sessions._life.session_age import oldest_in
from agent_sessions._records.layout import marker_of, session_id_of
from agent_sessions._records.record_format import is_erased, parse
from agent_sessions.exceptions import InvalidIdentifierError, SessionCorruptError
from agent_sessions.identifiers import check_identifier
from agent_sessions.object_store import Absent, PreconditionFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import ObjectStore, StoredObject
    from agent_sessions.sweeps import LeftBehind, ListedVersion

RECENT = "recent"
"""Under ``kit``: of a session's record see the module; of an agent's record the day of its marker."""

AGENTS_NAMED = 100
"""So many agents are named in a session's record."""

_SECONDS_A_DAY = 86_400
FIRST_DAY = 20_454
"""The first day of 2026. No release before wrote markers: a record that says more is not believed."""

DAYS_AT_ONCE = 100
"""An erasure looks for markers of so many days before it asks whether its time is up."""

_FORMAT = 1

_FOLDERS_LISTED = 1_000
"""Sessions that are left are listed up to this number: one listing. Of more, each one's record is asked for."""


def day_of(at: datetime) -> int:
    """A moment's day, in days since 1970, UTC."""
    return int(at.astimezone(UTC).timestamp() // _SECONDS_A_DAY)


def begin_of(day: int) -> datetime:
    """When a day begins."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)


def day_in(kit: dict[str, Any]) -> int | None:
    """The day of an agent's marker, as its record notes it."""
    found = kit.get(RECENT)
    return found if type(found) is int and found >= 0 else None


def has_markers(kit: dict[str, Any]) -> bool:
    """Whether there can be markers of a session, by its record."""
    return isinstance(kit.get(RECENT), dict)


def since_in(kit: dict[str, Any]) -> int | None:
    """The first day for which a session can have markers, as its record notes it; ``None`` when it does not."""
    since = kit[RECENT].get("since") if has_markers(kit) else None
    return since if type(since) is int and since >= 0 else None


def dated(record: Record) -> dict[str, Any]:
    """The ``kit`` of a session's record; if there can be markers, it says since when."""
    kit = record.kit
    if not has_markers(kit) or since_in(kit) is not None:
        return kit
    return with_recent(kit, day=day_of(oldest_in(record) or record.stored.last_modified))


def agents_in(kit: dict[str, Any]) -> list[str]:
    """The agents that have had markers, by the session's record."""
    found = kit.get(RECENT)
    named = found.get("agents") if isinstance(found, dict) else None
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def with_recent(kit: dict[str, Any], agent_id: str | None = None, *, day: int | None = None) -> dict[str, Any]:
    """The ``kit`` of the record of a session that can have markers.

    Args:
        kit: What stands there.
        agent_id: An agent that has one.
        day: From which day on, at the latest; ``None`` leaves what is noted.
    """
    since, agents = since_in(kit), agents_in(kit)
    if day is not None:
        since = day if since is None else min(since, day)
    if agent_id is not None and agent_id not in agents:
        agents = [*agents, agent_id][:AGENTS_NAMED]
    return {**kit, RECENT: {"agents": agents, **({} if since is None else {"since": since})}}


def put_marker(records: Records, layout: Layout, day: int, session_id: str, agent_id: str) -> str | None:
    """Write a marker; if it is there already, nothing changes.

    Returns:
        Its ETag, if it was written.

    Raises:
        SessionStorageError: The storage failed.
    """
    named = {"format": _FORMAT, "session_id": session_id, "agent_id": agent_id}
    # With a nonce, whoever removes what an earlier life has left does not remove this one.
    body = json.dumps({**named, "nonce": uuid.uuid4().hex}).encode()
    with contextlib.suppress(PreconditionFailedError):  # there is one
        return records.put(layout.recent_marker(day, session_id, agent_id), body, Absent()).etag
    return None


def remove_markers(objects: ObjectStore, layout: Layout, keys: Iterable[str], folders: Iterable[str]) -> None:
    """Remove markers, with one request for a thousand of them.

    Args:
        objects: Where they are.
        layout: How they are named.
        keys: Their keys.
        folders: Folders that may be empty then, the innermost first: on a disk they go, too.

    Raises:
        SessionStorageError: Names the keys that could not be deleted.
    """
    objects.delete(keys)
    for folder in (*folders, layout.recent()):
        objects.drop_empty_folder(folder)


def erase_markers(
    objects: ObjectStore,
    layout: Layout,
    session_id: str,
    kit: dict[str, Any],
    now: datetime,
    *,
    time_is_up: Callable[[], bool],
) -> dict[str, Any] | None:
    """Erase every marker of a session, with its older versions: a listing for each day that there can be one for.

    Args:
        objects: Where they are.
        layout: How they are named.
        session_id: The session.
        kit: What stands under ``kit`` of its record, or of the mark in its place.
        now: The storage's time.
        time_is_up: Asked after each step of :data:`DAYS_AT_ONCE`.

    Returns:
        If the time was up, what is to stand under ``kit`` of the mark, so that another call goes on with the days that
        are left; ``None`` when nothing is left.

    Raises:
        SessionStorageError: Something could not be deleted; the error names it.
    """
    since = since_in(kit)
    if since is None:
        return None
    # A turn may be about to write one for tomorrow.
    today = day_of(now)
    days = range(max(since, min(FIRST_DAY, today)), today + 2)
    for begin in range(0, len(days), DAYS_AT_ONCE):
        step = days[begin : begin + DAYS_AT_ONCE]
        folders = [layout.recent_session(day, session_id) for day in step]
        executor = objects.executor if len(folders) > 1 else None
        listed = (
            map(objects.list_versions, folders) if executor is None else executor.map(objects.list_versions, folders)
        )
        for day, folder, page in zip(step, folders, listed, strict=True):
            if page.entries:
                objects.erase(folder)
                objects.drop_empty_folder(layout.recent_day(day))
        if step[-1] != days[-1] and time_is_up():
            return {**kit, RECENT: {**kit[RECENT], "since": step[-1] + 1}}
    objects.drop_empty_folder(layout.recent())
    return None


def erase_all_markers(
    objects: ObjectStore, layout: Layout, left: LeftBehind, time_is_up: Callable[[], bool] = lambda: False
) -> bool:
    """Erase the markers of all sessions here that do not live, with their older versions.

    Args:
        objects: Where they are.
        layout: How they are named.
        left: Gets what could not be deleted.
        time_is_up: Asked after each step of about a thousand.

    Returns:
        Whether all have been tried.
    """
    recent = layout.recent()

    def choose(listed: Sequence[ListedVersion]) -> list[ListedVersion]:
        markers = {entry.key: marker_of(entry.key[len(recent) :]) for entry in listed}
        named = {marker.session_id for marker in markers.values() if marker is not None}
        living = _living(objects, layout, named)
        doomed = {key for key, marker in markers.items() if marker is None or marker.session_id not in living}
        return [entry for entry in listed if entry.key in doomed]

    from agent_sessions.sweeps import Sweeping

    sweeping = Sweeping(lambda behind: objects.sweep(recent, choose, behind=behind))
    while sweeping.take_step() and not sweeping.vain_steps:
        if time_is_up():
            return False
    left.add(sweeping.left.named)
    return True


def _living(objects: ObjectStore, layout: Layout, session_ids: Collection[str]) -> set[str]:
    """Those of some sessions that have a record which is no mark. A session's record stands before its markers do."""
    names = list(islice(objects.list_folders(layout.root, named="session_"), _FOLDERS_LISTED))
    there = {session_id_of(name) for name in names}
    is_all = len(names) < _FOLDERS_LISTED
    asked = [each for each in session_ids if (each in there or not is_all) and _is_identifier(each)]
    keys = [layout.session(each) for each in asked]
    return {each for each, key, found in zip(asked, keys, objects.get_many(keys), strict=True) if _lives(key, found)}


def _is_identifier(session_id: str) -> bool:
    with contextlib.suppress(InvalidIdentifierError):
        return bool(check_identifier("session", session_id))
    return False


def _lives(key: str, found: StoredObject | None) -> bool:
    try:
        record = parse(key, found)
    except SessionCorruptError:
        return True  # somebody has to look at it
    return record is not None and not is_erased(record)
