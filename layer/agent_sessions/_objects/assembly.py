"""From what a restore has read to a conversation: pure functions of values.

There are two ways, and :func:`way_to_restore` chooses:

* what the agent's record states is believed: the messages are in its tail and in the base that it names. Where the base
  is gone, or another writer's, the messages that it held are read one by one: the record says which they are;
* otherwise the messages say it themselves: they are listed, or, in a long session, read by their names from the
  window's beginning on. Copies whose ETag is the listed one are used.

Pinned messages stand below the window, and only the kit's records say which they are. Of a session that Strands wrote,
the messages below the window have to be searched for pins. The restore that takes it over searches the oldest ones, for
Strands pins from the beginning (``pin_first``). What is still to be searched stands in the agent's record, and turns go
on with it: see ``pin_search``. Strands' own manager restores no pinned message from below the window.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._conversation.window import is_pinned
from agent_sessions._objects.tail_and_base import Entry
from agent_sessions._records.message_records import message_in
from agent_sessions.types import decode_bytes_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from strands.types.content import Message

    from agent_sessions._objects.tail_and_base import Base, Copy, FoundBase, Log
    from agent_sessions._records.record_format import Record

PINS_SEARCHED_AT_ONCE = 128
"""Messages below the window that are searched for pins by the restore that takes a session over, and by a turn."""

NAMED_AT_ONCE = 1_000
"""Messages of a lost base that are read by their names. To list a longer conversation costs less."""


class Span(NamedTuple):
    """The ids from ``first`` up to ``end``, which is not among them."""

    first: int
    end: int

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self.first < self.end

    def __contains__(self, message_id: object) -> bool:
        """Whether this id is among them."""
        return isinstance(message_id, int) and self.first <= message_id < self.end


NOTHING = Span(0, 0)


class Stated(NamedTuple):
    """What is known of a conversation before a message is read.

    Attributes:
        removed: How many unpinned messages the conversation manager has removed: no message below this id is in the
            window.
        pinned: The messages that carry a pin, as far as the agent's record says.
        unsearched: The messages that nobody has searched for pins.
        takes_over: Whether somebody else wrote the record last: Strands' manager.
        log: What the agent's record says of the conversation.
        consolidates: Whether copies are kept for the next restore.
        with_marks: Whether bytes or floats may be encoded in the copies.
    """

    removed: int
    pinned: frozenset[int] = frozenset()
    unsearched: Span = NOTHING
    takes_over: bool = False
    log: Log | None = None
    consolidates: bool = True
    with_marks: bool = True

    @property
    def searched_now(self) -> Span:
        """The messages below the window that this restore searches for pins."""
        first, end = self.unsearched.first, min(self.unsearched.end, self.removed)
        return (self.takes_over and Span(first, min(end, first + PINS_SEARCHED_AT_ONCE))) or NOTHING

    @property
    def unsearched_then(self) -> Span:
        """What is left of them for the turns."""
        first = self.searched_now.end if self.searched_now else self.unsearched.first
        return Span(first, min(self.unsearched.end, self.removed)) or NOTHING

    @property
    def below(self) -> set[int]:
        """The messages below the window that may be part of the conversation all the same.

        A pinned tool call keeps its result, and the other way round: so their neighbours are among them.
        """
        searched = self.searched_now
        around = set(range(max(0, searched.first - 1), searched.end + 1)) if searched else set()
        return {message_id for message_id in around | neighbours(self.pinned) if message_id < self.removed}

    def wanted(self, ids: Iterable[int]) -> list[int]:
        """Those messages that may be part of the conversation."""
        below = self.below
        return [message_id for message_id in ids if message_id >= self.removed or message_id in below]


class Way(Enum):
    """How a conversation is restored."""

    FROM_COPIES = "From the tail and the base: whoever wrote them last was of the kit, and they go together."
    WITHOUT_BASE = "From the tail, and the messages before it by their names: the base is gone, or another's."
    FROM_MESSAGES = "From the messages as they are stored: slower, and right whoever wrote last."


class Assembled(NamedTuple):
    """A restored conversation.

    Attributes:
        messages: The messages with their ids, in order: those of the window and those below it that may be pinned.
        next_id: The id the next message gets.
        first_id: Every stored message from here on is in the base or the tail, and pinned ones below.
        base: The base that goes with the tail.
        tail: The copies of the messages after it, and of pinned ones that it lacks.
        unconfirmed: The nonce of the last message, when its writer may have died before it was stored.
        from_copies: Whether the record has been believed, which may not know of the last messages.
        unsearched: The messages that turns have still to search for pins.
    """

    messages: list[tuple[int, Message]]
    next_id: int
    first_id: int
    base: Base | None
    tail: dict[int, Entry]
    unconfirmed: str | None
    from_copies: bool
    unsearched: Span = NOTHING


def neighbours(pinned: Iterable[int]) -> set[int]:
    """Pinned messages, and those beside them: the other half of a pinned tool call is one of the two."""
    return {message_id + step for message_id in pinned for step in (-1, 0, 1) if message_id + step >= 0}


def span_in(kit: Mapping[str, Any], name: str) -> Span:
    """A span that stands in a record; an empty one where none stands there."""
    found = kit.get(name)
    if isinstance(found, list) and len(found) == len(Span._fields) and all(type(end) is int for end in found):
        return Span(max(0, found[0]), found[1])
    return NOTHING


def way_to_restore(stated: Stated, found: FoundBase | None) -> Way:
    """Choose how to restore.

    Args:
        stated: What the agent's record says.
        found: The base that is stored.
    """
    log = stated.log
    if log is None or stated.removed < log.first_id:
        return Way.FROM_MESSAGES
    if log.goes_with(found.base if found else None):
        return Way.FROM_COPIES
    if log.base is not None and len(_lost(stated, log)) <= NAMED_AT_ONCE:
        return Way.WITHOUT_BASE
    return Way.FROM_MESSAGES


def _lost(stated: Stated, log: Log) -> range:
    """The ids of the window's messages that were in a base which is gone."""
    return range(stated.removed, next((copy.message_id for copy in log.tail), log.next_id))


def read_beside_copies(stated: Stated, log: Log, found: FoundBase | None) -> list[int]:
    """Which messages have to be read where the record is believed: what the copies only refer to, or lack.

    Args:
        stated: What the agent's record says.
        log: The part of it that is believed.
        found: The base that goes with it; ``None`` when it has none, or its base is gone.
    """
    copies = _copies_of(log, found)
    wanted = {message_id for message_id, message in copies.items() if message is None}
    if found is None and log.base is not None:
        wanted |= {*_lost(stated, log), *stated.below} - copies.keys()
    else:
        found_since = stated.pinned - copies.keys()  # by the search of a turn, which copies nothing
        wanted |= {number for number in neighbours(found_since) if number < stated.removed} - copies.keys()
    return sorted(wanted)


def assemble_from_copies(stated: Stated, log: Log, found: FoundBase | None, fetched: Mapping[int, Record]) -> Assembled:
    """The conversation as the agent's record has it.

    Args:
        stated: What the agent's record says.
        log: The part of it that is believed.
        found: The base that goes with it.
        fetched: The messages of :func:`read_beside_copies`, as far as there are such.
    """
    copies = _copies_of(log, found)
    in_base = set(found.ids) if found else set()
    messages = _shown(copies, fetched, sorted(copies.keys() | fetched.keys()), with_marks=stated.with_marks)
    tail = {copy.message_id: Entry.again(copy) for copy in log.tail if copy.message_id not in in_base}
    kept = neighbours(message_id for message_id, message in messages if is_pinned(message))
    for message_id, record in fetched.items():
        is_new = message_id not in copies and (message_id >= stated.removed or message_id in kept)
        if is_new:
            tail[message_id] = Entry.of(record.content, record.stored.etag)
    return Assembled(
        messages=messages,
        next_id=log.next_id,
        # What a lost base held below the window has not been read.
        first_id=stated.removed if found is None and log.base is not None else log.first_id,
        base=found.base if found else None,
        tail=dict(sorted(tail.items())),
        unconfirmed=log.unconfirmed,
        from_copies=True,
        unsearched=stated.unsearched_then,
    )


def usable_copies(log: Log | None, found: FoundBase | None) -> dict[tuple[int, str], Copy]:
    """The copies there are, by the id and ETag of what they are copies of: one that is still stored can be used."""
    copies = [*(found.copies() if found else []), *(log.tail if log else [])]
    return {(copy.message_id, copy.etag): copy for copy in copies if copy.message is not None}


def assemble_from_messages(
    stated: Stated,
    listing: Sequence[tuple[int, str]],
    usable: Mapping[tuple[int, str], Copy],
    fetched: Mapping[int, Record],
    *,
    last_below: int = -1,
) -> Assembled:
    """The conversation as the messages have it.

    Args:
        stated: What the agent's record says.
        listing: The ids and ETags of the messages that are stored, in order; ids that are not wanted may be left out.
        usable: Copies, by id and ETag.
        fetched: The messages that were read, of this life of the session. What is listed, and neither here nor a
            usable copy, an earlier life has left there.
        last_below: The last message that is stored, or -1: the window may be empty.
    """
    wanted = set(stated.wanted(message_id for message_id, _ in listing))
    own = [item for item in listing if item[0] in wanted and (item in usable or item[0] in fetched)]
    copies = {item[0]: usable[item].message for item in own if item in usable}
    entries = {item[0]: Entry.again(usable[item]) for item in own if item in usable}
    entries |= {number: Entry.of(record.content, record.stored.etag) for number, record in fetched.items()}
    next_id = max([last_below, *(message_id for message_id, _ in own)]) + 1
    unconfirmed = None
    log = stated.log
    if log is not None and log.unconfirmed is not None and log.tail and log.tail[-1].message_id == next_id:
        # Its writer died before it was stored: it stands in the tail alone.
        last = log.tail[-1]
        entries[next_id], unconfirmed = Entry.again(last), log.unconfirmed
        copies[next_id] = last.message
        next_id += 1
    ids = sorted(copies.keys() | fetched.keys())
    messages = _shown(copies, fetched, ids, with_marks=stated.with_marks)
    kept = neighbours(message_id for message_id, message in messages if is_pinned(message))
    wants_copy = {message_id for message_id in entries if message_id >= stated.removed or message_id in kept}
    return Assembled(
        messages=messages,
        next_id=next_id,
        first_id=stated.removed,
        base=None,
        tail={number: entries[number] for number in sorted(wants_copy)} if stated.consolidates else {},
        unconfirmed=unconfirmed,
        from_copies=False,
        unsearched=stated.unsearched_then,
    )


def _copies_of(log: Log, found: FoundBase | None) -> dict[int, dict[str, Any] | None]:
    """The messages that base and tail have, by id; ``None`` for one that they only refer to."""
    in_tail = {copy.message_id: copy.message for copy in log.tail}
    return in_tail | dict(zip(found.ids, found.messages, strict=True)) if found else in_tail


def _shown(
    copies: Mapping[int, dict[str, Any] | None],
    fetched: Mapping[int, Record],
    ids: Sequence[int],
    *,
    with_marks: bool,
) -> list[tuple[int, Message]]:
    """The messages of these ids: as they were read, else from their copies; what is missing from both is left out."""
    shown: list[tuple[int, Message]] = []
    for message_id in ids:
        if message_id in fetched:
            shown.append((message_id, message_in(fetched[message_id]).to_message()))
        elif (message := copies.get(message_id)) is not None:
            found: Any = decode_bytes_values(message) if with_marks else message
            shown.append((message_id, found))
    return shown
