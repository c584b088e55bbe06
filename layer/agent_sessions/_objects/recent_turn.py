"""What a turn does so that its session is found among those used last, and under a title.

    fence ──▶ the day's marker ──▶ the marker of the day before goes      beside the model, in a UTC day's first turn
    last round ──▶ the session's record with the title                    once in a session's life

A crash in between leaves two markers, or none for today. The agent's record notes a day only when its marker stands, so
the next turn does both again. An old marker that cannot be deleted, whoever lists passes, and removes. Neither makes a
turn fail.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent_sessions._life.recent_markers import (
    day_of,
    has_markers,
    put_marker,
    remove_markers,
    since_in,
    with_recent,
)
from agent_sessions._life.session_age import oldest_in
from agent_sessions._objects.redacted_titles import drop_title, redact_title
from agent_sessions._records.background import submit
from agent_sessions._records.titles import derived_title, with_derived
from agent_sessions.exceptions import SessionException, named
from agent_sessions.session_title import title_in

if TYPE_CHECKING:
    from concurrent.futures import Future
    from datetime import datetime
    from typing import Any

    from agent_sessions._life.session_life import SessionLife
    from agent_sessions._objects.agent_objects import AgentObjects
    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions._records.records import Records
    from agent_sessions.types import SessionMessage

logger = logging.getLogger(__name__)


class RecentTurn:
    """Keeps one agent's turns in the list of the sessions used last.

    Args:
        records: Where the records are.
        layout: How they are named.
        life: Knows the session's record.
        agent: The agent's objects.
    """

    def __init__(self, records: Records, layout: Layout, life: SessionLife, agent: AgentObjects) -> None:
        self._records = records
        self._layout = layout
        self._life = life
        self._agent = agent
        self._session_id = agent.session_id
        self._opening: SessionMessage | None = None  # the turn's first message, as it is stored
        self._first_day: int | None = None  # before which the session has no markers
        self._marking: Future[int | None] | None = None
        self._titling: Future[None] | None = None

    @property
    def _kit(self) -> dict[str, Any]:
        record = self._life.record(self._session_id)
        return {} if record is None else record.kit

    def begin(self, at: datetime, opening: SessionMessage | None = None) -> None:
        """The turn has its fence, which was written at this time; its first message is this one."""
        if not self._life.keeps_recent:
            return
        self._opening = opening
        record = self._life.record(self._session_id)
        if record is not None:
            # A renewal, which may be about to begin, makes the record younger.
            self._first_day = day_of(oldest_in(record) or at) if has_markers(record.kit) else day_of(at)
        day, noted = day_of(at), self._agent.recent_day
        if self._marking is None and (noted is None or noted < day):
            self._marking = submit(self._records.objects, lambda: self._mark(day, noted))

    def _mark(self, day: int, noted: int | None) -> int | None:
        """Write the day's marker and remove the one before; returns the day when its marker stands."""
        agent_id = self._agent.agent_id
        try:
            # Begun by a manager that keeps no list: the record says that there are markers before there is one.
            if not has_markers(self._kit) and self._change(self._agent.read_message(0)) is None:
                return None  # the session has ended
            put = put_marker(self._records, self._layout, day, self._session_id, agent_id)
            if put is not None and not self._life.lives_on(self._session_id):
                # Whoever has erased the session may have looked for markers before this one stood.
                self._remove(day, put)
                return None
        except SessionException as error:
            logger.warning("session_id=<%s> | not put among those used last: %s", self._session_id, named(error))
            return None
        if noted is not None:
            try:
                self._remove(noted)
            except SessionException as error:  # the turn need not be allowed to delete
                logger.warning("session_id=<%s> | an old marker was not removed: %s", self._session_id, named(error))
        return day

    def _remove(self, day: int, etag: str | None = None) -> None:
        """Remove the agent's marker for a day; with an ETag, only if it is that one, with its older versions."""
        folders = [self._layout.recent_session(day, self._session_id), self._layout.recent_day(day)]
        key = self._layout.recent_marker(day, self._session_id, self._agent.agent_id)
        if etag is not None:
            self._records.objects.delete_version(key, etag)
        remove_markers(self._records.objects, self._layout, [key] if etag is None else [], folders)

    def end(self) -> None:
        """The turn is about to write its agent's record, which notes the marker's day."""
        if self._marking is not None:
            marking, self._marking = self._marking, None
            day = marking.result()
            if day is not None:
                self._agent.recent_day = day
        kit = self._kit
        if not self._life.keeps_recent or not has_markers(kit) or self._titling is not None:
            return
        if self._lacks_first(kit) or self._changed(kit, self._opening) != kit:
            self._titling = submit(self._records.objects, self._title)

    def _lacks_first(self, kit: dict[str, Any]) -> bool:
        """Whether the prompt that the title is to be made of is none of this turn's."""
        return not title_in(kit).is_derived and (self._opening is None or self._opening.message_id != 0)

    def _title(self) -> None:
        try:
            first = self._agent.read_message(0) if self._lacks_first(self._kit) else None
            self._change(first or self._opening)
        except SessionException as error:
            logger.warning("session_id=<%s> | not titled: %s", self._session_id, named(error))

    def _change(self, opening: SessionMessage | None) -> Record | None:
        return self._life.change_record(self._session_id, lambda kit: self._changed(kit, opening), is_use=True)

    def _changed(self, kit: dict[str, Any], opening: SessionMessage | None) -> dict[str, Any]:
        """What is to stand under ``kit`` of the session's record after a turn that began with this message."""
        kit = with_recent(kit, self._agent.agent_id, day=self._first_day if since_in(kit) is None else None)
        title = title_in(kit)
        if opening is None or title.derived is not None or (title.is_derived and derived_title(opening) is None):
            return kit
        if title.is_of(self._agent.agent_id, opening.message_id):
            return kit  # its words are being redacted, by a process that may have died over it
        return with_derived(kit, self._agent.agent_id, opening)

    def settle(self) -> None:
        """Return when nothing is being written any more."""
        for job in (self._marking, self._titling):
            if job is not None:
                job.result()
        self._marking = self._titling = None

    def before_rewriting(self, message: SessionMessage, *, redacts: bool) -> None:
        """A message is about to be this. If a title was made of it, and it is being redacted, the title goes first.

        Raises:
            SessionException: The session's record could not be written.
        """
        if not redacts:
            return
        for job in (self._marking, self._titling):
            if job is not None:
                job.result()  # it may be writing the title that is to go
        drop_title(self._records, self._layout, self._life, self._session_id, self._agent.agent_id, message)

    def note_rewritten(self, message: SessionMessage, *, redacts: bool) -> None:
        """A message has been stored anew. If a title was made of it, and it was redacted, the title is made anew.

        Raises:
            SessionException: The session's record could not be written.
        """
        if self._opening is not None and self._opening.message_id == message.message_id:
            self._opening = message
        if redacts:
            redact_title(self._records, self._layout, self._life, self._session_id, self._agent.agent_id, message)
