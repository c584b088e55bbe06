"""Restores a conversation: reads what :mod:`assembly` asks for, in the order that costs least.

What a restore costs does not grow with the session, but only with what the agent gets back:

* where the agent's record is believed: one more object, and what is too large for a copy;
* else a listing of a thousand keys. A session that is longer is read from its window's beginning on, by names; where
  the window is as long, it is listed whole.

What the agent gets back may itself be more than a request can read: a long session of Strands' whose agent had no
window. It is then read in pieces, the newest first. When half of the caller's time is over, what has been read is kept
in the base, which no record names: the next restore uses the copies in it that are what is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_sessions._objects.assembly import (
    Assembled,
    Stated,
    Way,
    assemble_from_copies,
    assemble_from_messages,
    read_beside_copies,
    usable_copies,
    way_to_restore,
)
from agent_sessions._objects.tail_and_base import Entry
from agent_sessions.exceptions import SessionBusyError
from agent_sessions.values import may_hold_marks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent_sessions._objects.base_object import BaseObject
    from agent_sessions._objects.stored_messages import StoredMessages
    from agent_sessions._objects.tail_and_base import Copy, FoundBase
    from agent_sessions._records.record_format import Record

COPIES_WORTH_A_LISTING = 100
"""So many copies that can be used spare more than a listing of the whole conversation costs."""

PIECE = 500
"""Messages that are read at once of a conversation that takes long."""

RETRY_SECONDS = 1.0


def read_conversation(
    stated: Stated, base: BaseObject, messages: StoredMessages, *, time_left: Callable[[], float] | None = None
) -> Assembled:
    """Read what the agent's conversation manager still wants of its messages.

    Args:
        stated: What the agent's record says.
        base: The agent's base. What is believed of it is noted there.
        messages: The agent's messages.
        time_left: Seconds until whoever waits for the turn has to be answered; ``None`` when nobody says.

    Raises:
        SessionBusyError: The conversation is too long to be read in the time there is; the next restore goes on.
        SessionCorruptError: A message cannot be read; the error names its key.
    """
    log = stated.log
    found = base.read() if log is None or log.base is not None else None
    way = way_to_restore(stated, found)
    if log is None or way is Way.FROM_MESSAGES:
        return _Reading(_with_marks_of(stated, found := found or base.read()), found, base, messages, time_left).run()
    if way is Way.WITHOUT_BASE:
        found = None
    if found is not None:
        base.believe(found.base)
    fetched = messages.fetch(read_beside_copies(stated, log, found))
    return assemble_from_copies(_with_marks_of(stated, found), log, found, fetched)


def _with_marks_of(stated: Stated, found: FoundBase | None) -> Stated:
    holds_marks = found is not None and may_hold_marks(found.base.body)
    return stated._replace(with_marks=stated.with_marks or holds_marks)


class _Reading:
    """One restore from the messages themselves."""

    def __init__(
        self,
        stated: Stated,
        found: FoundBase | None,
        base: BaseObject,
        messages: StoredMessages,
        time_left: Callable[[], float] | None,
    ) -> None:
        self._stated = stated
        self._base = base
        self._messages = messages
        self._time_left = time_left if stated.consolidates else None  # else what was read could not be kept
        self._ends_at = time_left() / 2 if time_left is not None else 0.0
        self._usable = usable_copies(stated.log, found)

    def run(self) -> Assembled:
        """Read the conversation."""
        removed, listing = self._stated.removed, self._messages.list()
        listed = listing.go_on()
        fetched: dict[int, Record] = {}
        if not listing.is_whole:
            spared = sum(message_id >= removed for message_id, _ in self._usable)
            if spared < COPIES_WORTH_A_LISTING:
                onward = self._messages.read_on(removed)
                fetched = onward.records
                last = max(fetched, default=-1)
                if last < 0 and onward.reached_end and removed > 0:
                    last = self._messages.last_below([removed - 1])
                if last >= 0 and onward.reached_end:
                    return self._of_the_end(fetched, last)
            listed = listing.go_on(None)
        return self._of_a_listing(listed, fetched)

    def _of_the_end(self, fetched: dict[int, Record], last: int) -> Assembled:
        """The conversation whose window has been read to its end."""
        fetched = self._messages.fetch(sorted(self._stated.below), sweeps=True) | fetched
        seen = [(message_id, record.stored.etag) for message_id, record in fetched.items()]
        return assemble_from_messages(self._stated, seen, {}, fetched, last_below=last)

    def _of_a_listing(self, listed: list[tuple[int, str]], fetched: dict[int, Record]) -> Assembled:
        stated = self._stated
        wanted = set(stated.wanted(message_id for message_id, _ in listed))
        copied = {item: self._usable[item] for item in listed if item in self._usable and item[0] in wanted}
        have = {message_id for message_id, _ in copied} | fetched.keys()
        fetched |= self._fetch([item[0] for item in listed if item[0] in wanted - have], copied, fetched)
        last = max([-1, *(message_id for message_id, _ in copied), *fetched])
        if last < stated.removed:
            last = max(last, self._messages.last_below([item[0] for item in listed if last < item[0] < stated.removed]))
        return assemble_from_messages(stated, listed, copied, fetched, last_below=last)

    def _fetch(
        self, missing: list[int], copied: Mapping[tuple[int, str], Copy], before: Mapping[int, Record]
    ) -> dict[int, Record]:
        """Read messages, as many as there is time for.

        Raises:
            SessionBusyError: There was no time for all of them.
        """
        pieces = self._messages.fetch_in_pieces(missing, self._has_time, piece=PIECE if self._time_left else None)
        if not pieces.left:
            return pieces.records
        entries = {message_id: Entry.again(copy) for (message_id, _), copy in copied.items()}
        for message_id, record in {**before, **pieces.records}.items():
            entries[message_id] = Entry.of(record.content, record.stored.etag)
        self._base.begin([entries[message_id] for message_id in sorted(entries)], first_id=min(entries, default=0))
        self._base.take_over()
        raise SessionBusyError(
            f"the conversation is long: {len(entries)} messages have been read, {pieces.left} are left for next time",
            retry_after_seconds=RETRY_SECONDS,
            holder=f"the taking over of a long conversation, {pieces.left} messages of which are still to be read",
            key=self._base.key,
        )

    def _has_time(self) -> bool:
        return self._time_left is None or not self._time_left() < self._ends_at
