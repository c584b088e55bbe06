"""Reads the messages of one agent: by their names, by a listing, or from an id on to the end."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._records.layout import message_id_of
from agent_sessions._records.message_records import LISTED_AT_ONCE, checked_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from agent_sessions._records.layout import Layout
    from agent_sessions._records.record_format import Record
    from agent_sessions._records.records import Records
    from agent_sessions.object_store import ListedObject

FIRST_READ = 64
"""Messages that are asked for at first by who reads to the end; twice as many each time."""

MOST_READ = 256

FOLLOWED = 1_000
"""Messages that are read on to the end by their names. To list a longer conversation costs less than to go on."""

GAPS_FOLLOWED = 3
"""Gaps that are searched. Where there are more, a listing shows them at once."""

GAP_READ_AGAIN = 64
"""A gap of no more ids is read again from its beginning: somebody may have been writing."""


class Onward(NamedTuple):
    """The messages from an id on.

    Attributes:
        records: The messages that were found, by id.
        reached_end: Whether there is no message behind them.
    """

    records: dict[int, Record]
    reached_end: bool


class Pieces(NamedTuple):
    """What was read of many messages.

    Attributes:
        records: The messages that were found, by id.
        left: How many there was no time for.
    """

    records: dict[int, Record]
    left: int


class MessageListing:
    """The ids and ETags of an agent's messages, listed a thousand at a time, in the order of their keys."""

    def __init__(self, entries: Iterator[ListedObject], folder: str) -> None:
        self._entries = entries
        self._folder = folder
        self._found: list[tuple[int, str]] = []
        self.is_whole = False
        """Whether all of them have been listed."""

    def go_on(self, most: int | None = LISTED_AT_ONCE) -> list[tuple[int, str]]:
        """List some more, or all that are left, and return what has been listed, in the order of the ids."""
        count = 0
        for entry in islice(self._entries, most):
            count += 1
            message_id = message_id_of(entry.key)
            if message_id is not None and "/" not in entry.key[len(self._folder) :]:  # else a foreign object
                self._found.append((message_id, entry.etag))
        self.is_whole = most is None or count < most
        return sorted(self._found)


class StoredMessages:
    """The messages of one agent as they are stored.

    Args:
        records: Where the records are.
        layout: How they are named.
        session_id: The session.
        agent_id: The agent.
    """

    def __init__(self, records: Records, layout: Layout, session_id: str, agent_id: str) -> None:
        self._records = records
        self._layout = layout
        self._session_id = session_id
        self._agent_id = agent_id

    def key(self, message_id: int) -> str:
        """The key of a message."""
        return self._layout.message(self._session_id, self._agent_id, message_id)

    def fetch(self, message_ids: Iterable[int], *, sweeps: bool = False) -> dict[int, Record]:
        """Read messages by their ids, at once; what is missing, or of an earlier life, is left out.

        Args:
            message_ids: Their ids.
            sweeps: Whether to delete what an earlier life has left there.

        Raises:
            SessionCorruptError: One cannot be read; the error names its key.
        """
        keys = [self.key(message_id) for message_id in message_ids]
        found = (checked_message(record) for record in self._records.own_many(self._session_id, keys, sweeps=sweeps))
        return {int(record.content["message_id"]): record for record in found}

    def list(self) -> MessageListing:
        """Begin a listing of the messages there are."""
        folder = self._layout.messages_folder(self._session_id, self._agent_id)
        return MessageListing(iter(self._records.objects.list(folder)), folder)

    def read_on(self, first_id: int) -> Onward:
        """Read the messages from an id on to the end, by their names, if they are not too many.

        Messages are written one after the other. So a name that is missing before one that is there was missing for
        good only if it is missing still when the other has been seen.

        Args:
            first_id: The smallest id wanted.
        """
        from agent_sessions._records.message_search import look_for_messages, next_message_id

        present = look_for_messages(self._records.objects, self._layout, self._session_id, self._agent_id)
        records: dict[int, Record] = {}
        start, count, gaps = first_id, FIRST_READ, 0
        while True:
            ids = range(start, start + count)
            found = self.fetch(ids, sweeps=True)
            last = max(found, default=start - 1)
            found |= self.fetch([message_id for message_id in range(start, last) if message_id not in found])
            records |= found
            start, count = last + 1, min(2 * count, MOST_READ)
            if last < ids[-1]:
                following = next_message_id(present, start)
                if following is None:
                    return Onward(records, reached_end=True)
                gaps += 1
                if following - start > GAP_READ_AGAIN:
                    start = following
            if gaps > GAPS_FOLLOWED or len(records) >= FOLLOWED:
                return Onward(records, reached_end=False)

    def read_behind(self, first_id: int) -> dict[int, Record]:
        """Read all messages from an id on, however many they are."""
        listing = self.list()
        listed = listing.go_on()
        if not listing.is_whole:
            onward = self.read_on(first_id)
            if onward.reached_end:
                return onward.records
            listed = listing.go_on(None)
        return self.fetch([message_id for message_id, _ in listed if message_id >= first_id])

    def last_below(self, message_ids: Sequence[int]) -> int:
        """The last of some messages that is of this life of the session; -1 when none is."""
        return next((message_id for message_id in reversed(message_ids) if self.fetch([message_id])), -1)

    def fetch_in_pieces(self, message_ids: Sequence[int], goes_on: Callable[[], bool], *, piece: int | None) -> Pieces:
        """Read many messages, the last ones first.

        Args:
            message_ids: Their ids, in order.
            goes_on: Asked between two pieces; when it says no, no more is read.
            piece: How many are read at once; ``None`` for all of them.
        """
        found: dict[int, Record] = {}
        left = len(message_ids)
        while left:
            begin = max(0, left - piece) if piece else 0
            found |= self.fetch(message_ids[begin:left], sweeps=True)
            left = begin
            if left and not goes_on():
                break
        return Pieces(dict(sorted(found.items())), left)
