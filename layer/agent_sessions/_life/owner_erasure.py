"""Erases all of an owner's sessions, page by page over their keys, and counts what goes.

    page:  close its sessions ──▶ note what is to go ──▶ delete it
    pass:  the pages in the order of their keys; a session's mark goes when nothing else of it is left
    end:   a pass that finds nothing to delete

A page has about a thousand keys, of one session or of many. Closing is the mark of a single session's erasure, see
``erasure``: from then on nobody reads the session, and a turn that runs in it is refused. While somebody holds the
session's lease, the lease and the mark stay, so that what a refused turn lands late is found in a later pass.

Only what lies in folders of sessions goes, and the markers of those used last, which are not counted: neither spaces of
other owners below this one, nor what lies beside.
"""
# Over 300 lines: one pass over an owner's keys, which a crash may cut anywhere, and its receipt.

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._life.erasure import expecting, put_mark
from agent_sessions._life.erasure_progress import (
    MOST_LATE,
    Doomed,
    Kind,
    Progress,
    ProgressRecord,
    digest_of,
    pending_of,
)
from agent_sessions._life.recent_markers import erase_all_markers
from agent_sessions._records.layout import session_id_of
from agent_sessions._records.record_format import Record, decode, is_erased
from agent_sessions._records.records import Records
from agent_sessions._storage.record_claim import RecordClaim
from agent_sessions.claims import LeaseTerms
from agent_sessions.exceptions import InvalidIdentifierError, SessionCorruptError, SessionStorageError
from agent_sessions.identifiers import check_identifier
from agent_sessions.object_store import PreconditionFailedError
from agent_sessions.session_pages import ErasureReceipt
from agent_sessions.sweeps import LeftBehind, Undeleted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from agent_sessions._records.layout import Layout
    from agent_sessions.object_store import ObjectStore, StoredObject
    from agent_sessions.sweeps import ListedVersion, Swept

MOST_PASSES = 50
"""After so many passes somebody begins new sessions all the time."""

CLOSING_TRIES = 20
"""Tries to close a session that is written meanwhile."""

IN_USE = "InUse"
"""Why a lease is left: its holder's turn runs."""


class _Closed(NamedTuple):
    """A session that nobody reads any more.

    Attributes:
        has_mark: Whether there is a mark. Where nothing can be found, none is needed.
        is_new: Whether the mark was written after the page had been listed.
        replaced: Version (empty where none are kept) and bytes of the record that the mark has replaced; ``None`` when
            there was none.
        is_ours: Whether the mark says what it has replaced.
    """

    has_mark: bool
    is_new: bool = False
    replaced: tuple[str, int] | None = None
    is_ours: bool = False


class OwnerErasure:
    """One request's part in the erasure of an owner's sessions. It is run once; another thread can abandon it.

    Args:
        objects: Where the objects are.
        layout: How they are named.
        clock: Seconds.
    """

    def __init__(self, objects: ObjectStore, layout: Layout, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._layout = layout
        self._records = Records(objects, layout)
        self._clock = clock
        self._abandoned = threading.Event()
        self._record = ProgressRecord(objects, layout.erasure())
        self._progress = Progress()
        self._doomed: dict[str, Doomed] = {}  # what the present step is about to delete, by digest
        self._late_there: set[str] = set()  # what the present pass has listed of the late, by digest
        self._left = LeftBehind()
        self._in_use: set[str] = set()
        self._behind = ""

    def abandon(self) -> None:
        """Send nothing more, not even the repetition of a request that hangs."""
        self._abandoned.set()

    def run(self, *, within_seconds: float | None = None, keep_receipt: bool = True) -> ErasureReceipt:
        """Erase.

        Args:
            within_seconds: When to stop, at the end of a step; one step is always taken. ``None``: when nothing more
                can be deleted.
            keep_receipt: Whether the record of the numbers stays when everything is erased.

        Returns:
            The totals since the erasure began, over all requests.

        Raises:
            SessionBusyError: Another erasure of this owner's sessions is at work.
            SessionStorageError: The storage failed. Sent again, it goes on.
        """
        ends = None if within_seconds is None else self._clock() + within_seconds
        with self._objects.only_while(lambda: not self._abandoned.is_set()):
            self._take_up()
            goes_on = self._pass_all(ends)
            if not goes_on:
                is_late = lambda: ends is not None and self._clock() >= ends  # noqa: E731 - a question
                goes_on = not erase_all_markers(self._objects, self._layout, self._left, is_late)
            if not goes_on and not self._left.count:
                self._end(keep_receipt=keep_receipt)
            return self.receipt(goes_on=goes_on)

    def receipt(self, *, goes_on: bool = True) -> ErasureReceipt:
        """What is known at this moment, from any thread.

        Args:
            goes_on: Whether there is more to do that was not tried.
        """
        progress, left = self._progress, self._left
        return ErasureReceipt(
            **vars(progress.totals),
            began_at=progress.began_at,
            ended_at=progress.ended_at,
            left=tuple(left.named),
            left_count=left.count,
            goes_on=goes_on or left.can_pass,
        )

    def forget_receipt(self) -> None:
        """Remove the record of the numbers, when they have arrived where they are wanted.

        If another request has written it since, it stays.
        """
        self._record.remove()

    # --- the record -------------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Read how far the erasure had come, and count what a request that died has deleted."""
        stored = self._record.read()
        if stored is None:
            return
        self._progress = stored
        if stored.pending is not None:
            there = self._still_there(stored.pending.behind, stored.pending.through)
            noted = replace(stored, pending=None, late=stored.late | stored.pending.going)
            self._progress = _counting(noted, stored.pending.going.keys() - there)
            newest = list(self._progress.late.items())[-MOST_LATE:]
            self._progress = replace(self._progress, late=dict(newest))
            self._record.write(self._progress)

    def _still_there(self, behind: str | None, through: str) -> set[str]:
        there: set[str] = set()
        while behind is not None and behind < through:
            listed, behind = self._objects.list_versions(self._prefix, behind=behind)
            there.update(digest_of(entry) for entry in listed)
        return there

    def _note(self, doomed: Sequence[Doomed]) -> None:
        """Store what is about to go. The first note begins the erasure."""
        if self._progress.ended_at is not None:
            self._progress = Progress()
        began = self._progress.began_at
        late = {digest: what for digest, what in self._progress.late.items() if digest not in self._doomed}
        note = pending_of(self._behind, doomed)
        written_at = self._record.write(replace(self._progress, pending=note, late=late))
        if began is None:
            self._progress = replace(self._progress, began_at=written_at.isoformat())

    def _end(self, *, keep_receipt: bool) -> None:
        if self._progress.began_at is not None and self._progress.ended_at is None:
            self._progress = replace(self._progress, ended_at=self._record.now())
            self._record.write(self._progress)
        if not keep_receipt:
            self._record.remove()
        elif self._progress.began_at is not None:
            self._record.drop_older_versions()

    # --- passes -----------------------------------------------------------------------------------------

    @property
    def _prefix(self) -> str:
        return f"{self._layout.root}session_"

    def _pass_all(self, ends: float | None) -> bool:
        """Pass over all pages until a pass finds nothing to delete.

        Returns:
            Whether there is more to do.
        """
        for _ in range(MOST_PASSES):
            self._left, self._behind, self._in_use, self._late_there = LeftBehind(), "", set(), set()
            found = False
            while True:
                step = self._step()
                found = found or bool(step.gone or step.missing) or step.changed
                is_last = step.behind is None
                if is_last:
                    # What a deletion of an earlier request has taken since that was looked for.
                    self._progress = _counting(self._progress, self._progress.late.keys() - self._late_there)
                if is_last and not found:
                    return False
                if ends is not None and self._clock() >= ends:
                    return True
                if is_last:
                    break
                self._behind = step.behind or ""
        return True

    def _step(self) -> Swept:
        step = self._objects.sweep(self._prefix, self._choose, behind=self._behind)
        totals, late = self._progress.totals, dict(self._progress.late)
        # Had another erasure deleted what is missing, it would have written the record, and our next write would fail.
        for entry in (*step.gone, *step.missing):
            _, kind, size = self._doomed[digest_of(entry)]
            totals = totals.and_also(kind, size)
            late.pop(digest_of(entry), None)
        self._progress = replace(self._progress, totals=totals, late=late)
        self._left.add(step.left)
        return step

    def _choose(self, listed: Sequence[ListedVersion]) -> Sequence[ListedVersion]:
        """Close the sessions of a page, and choose what is to go."""
        if late := self._progress.late:
            self._late_there.update(late.keys() & {digest_of(entry) for entry in listed})
        folders = [(name, list(entries)) for name, entries in groupby(listed, self._folder_of) if name]
        closed = dict(zip((name for name, _ in folders), self._close_all(folders), strict=True))
        doomed: list[Doomed] = []
        for number, (name, entries) in enumerate(folders):
            is_at_an_edge = number in {0, len(folders) - 1}
            doomed += self._doomed_in(name, entries, closed[name], is_at_an_edge=is_at_an_edge)
        self._doomed = {digest_of(each.entry): each for each in doomed}
        if doomed:
            self._note(doomed)
        return [each.entry for each in doomed]

    def _folder_of(self, entry: ListedVersion) -> str:
        """The folder of a session that an object lies in; nothing for what lies beside them."""
        name, slash, _ = entry.key[len(self._layout.root) :].partition("/")
        return name if slash and session_id_of(name) is not None else ""

    def _doomed_in(
        self, name: str, entries: Sequence[ListedVersion], closed: _Closed, *, is_at_an_edge: bool
    ) -> Iterator[Doomed]:
        folder = f"{self._layout.root}{name}/"
        mark = f"{folder}session.json"
        # More of a session at an edge may lie on the page before or behind.
        is_alone = len(entries) == 1 and not (is_at_an_edge and self._has_more_than_one(folder))
        for entry in entries:
            if entry.key == mark and closed.has_mark:
                yield from _doomed_mark(entry, closed, is_alone=is_alone)
            elif entry.key == f"{folder}lease.json" and self._is_held(name, entry):
                if entry.key not in self._in_use:  # a page may list it again
                    self._in_use.add(entry.key)
                    self._left.add([Undeleted(entry.key, IN_USE)])
            else:
                yield Doomed(entry, _kind_of(entry), entry.size)

    def _has_more_than_one(self, folder: str) -> bool:
        """Whether more is left of a session than its mark, older versions included."""
        page = self._objects.list_versions(folder)
        return len(page.entries) > 1 or page.behind is not None

    def _is_held(self, name: str, lease: ListedVersion) -> bool:
        """Whether somebody holds a session's lease."""
        session_id = _id_in(name)
        if session_id is None or not lease.is_current or lease.is_marker:
            return False
        key, terms = self._layout.lease(session_id), LeaseTerms("erasure", 1.0, uuid.uuid4().hex)
        claim = self._objects.claim(key, terms) or RecordClaim(self._objects, key, terms)
        return claim.look() is not None

    # --- closing ----------------------------------------------------------------------------------------

    def _close_all(self, folders: Sequence[tuple[str, Sequence[ListedVersion]]]) -> Sequence[_Closed]:
        executor = self._objects.executor if len(folders) > 1 else None
        # Threads of the store's do not know who has abandoned the requests of this one.
        return [*(map(self._close, folders) if executor is None else executor.map(self._close_in_thread, folders))]

    def _close_in_thread(self, folder: tuple[str, Sequence[ListedVersion]]) -> _Closed:
        with self._objects.only_while(lambda: not self._abandoned.is_set()):
            return self._close(folder)

    def _close(self, folder: tuple[str, Sequence[ListedVersion]]) -> _Closed:
        """Put the mark in the place of a session's record, unless it is there."""
        name, entries = folder
        session_id = _id_in(name)
        if session_id is None:
            return _Closed(has_mark=False)  # no session can have this name
        key = self._layout.session(session_id)
        others = {f"{self._layout.root}{name}/lease.json"}
        is_needed = any(entry.is_current and not entry.is_marker and entry.key not in others for entry in entries)
        try:
            found = self._objects.get(key)
            for _ in range(CLOSING_TRIES):
                if found is None and not is_needed:
                    return _Closed(has_mark=False)
                if found is not None and (closed := _read_mark(key, found)) is not None:
                    return closed
                try:
                    replaced = None if found is None else (self._version_of(key, entries), len(found.body))
                    put_mark(self._records, self._layout, session_id, expecting(found), replaced=replaced)
                except PreconditionFailedError as error:
                    found, is_needed = error.found, True
                    continue
                return _Closed(has_mark=True, is_new=True, replaced=replaced, is_ours=True)
        except SessionCorruptError:
            return _Closed(has_mark=False)  # no file at all lies there, and nobody can open the session
        raise SessionStorageError(
            f"session_id={session_id} | it is written anew all the time", code="StillWritten", key=key
        )

    def _version_of(self, key: str, entries: Sequence[ListedVersion]) -> str:
        """The version of a session's record that is about to be replaced; empty where no versions are kept."""
        if all(entry.version_id is None for entry in entries):
            return ""
        listed = [entry for entry in entries if entry.key == key] or self._objects.list_versions(key).entries
        return next((entry.version_id or "" for entry in listed if entry.key == key and entry.is_current), "")


def _counting(progress: Progress, gone: Collection[str]) -> Progress:
    """The progress when some of what was noted has gone."""
    totals, late = progress.totals, dict(progress.late)
    for digest in gone:
        totals = totals.and_also(*late.pop(digest))
    return replace(progress, totals=totals, late=late)


def _id_in(name: str) -> str | None:
    session_id = session_id_of(name)
    with contextlib.suppress(InvalidIdentifierError):
        return check_identifier("session", session_id) if session_id is not None else None
    return None


def _read_mark(key: str, found: StoredObject) -> _Closed | None:
    """What a mark says; ``None`` when it is none."""
    try:
        record = Record(key, decode(key, found), found)
    except SessionCorruptError:
        return None
    if not is_erased(record):
        return None
    noted = record.kit.get("replaced")
    replaced = None
    if isinstance(noted, list) and len(noted) == 2 and isinstance(noted[1], int):  # noqa: PLR2004 - version and bytes
        replaced = (str(noted[0]), noted[1])
    return _Closed(has_mark=True, replaced=replaced, is_ours="replaced" in record.kit)


def _kind_of(entry: ListedVersion) -> Kind:
    if entry.is_marker:
        return Kind.MARKER
    return Kind.OBJECT if entry.is_current else Kind.VERSION


def _doomed_mark(entry: ListedVersion, closed: _Closed, *, is_alone: bool) -> Iterator[Doomed]:
    """What of a session's record goes: all that is older than the mark, and the mark when nothing else is left.

    A version below the mark would else become the newest, and the session would live again. A mark is no object that
    was there before. Where it has overwritten the session's record, it is counted as that.
    """
    overwrites = entry.version_id in {None, "null"}
    if closed.is_new and entry.is_current:
        # Listed before the mark was written: the record that it has replaced.
        if not overwrites:
            yield Doomed(entry, _kind_of(entry), entry.size)
    elif not entry.is_current or entry.is_marker:
        was_record = closed.replaced is not None and entry.version_id == closed.replaced[0]
        yield Doomed(entry, Kind.OBJECT if was_record else _kind_of(entry), entry.size)
    elif not is_alone:
        return
    elif not closed.is_ours:
        yield Doomed(entry, Kind.SESSION, entry.size)
    elif overwrites and closed.replaced is not None:
        yield Doomed(entry, Kind.SESSION, closed.replaced[1])
    else:
        yield Doomed(entry, Kind.END, 0)
