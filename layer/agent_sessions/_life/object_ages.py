"""How old the objects of a session can be, by ranges of their keys.

A long session is renewed in pieces, so that its objects are of different ages. To learn them from S3, the whole session
would have to be listed. So the session's record says what is known: for each range of keys, a time before which no
object of the range was written. New objects are younger, so they make none of this wrong.

Everything here is a value: nothing reads or writes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

END = "\U0010ffff"
"""Comes after every key: where the last range ends."""

UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
"""The age of a range when nobody has told it. An older kit takes it for very old, which is safe."""

MOST_RANGES = 32
"""How many ranges a record holds: about three kilobytes. Neighbours of similar age become one range."""


class Range(NamedTuple):
    """A range of keys: those behind the range before, up to and including ``last``.

    Attributes:
        last: A key below the session's folder; :data:`END` for the last range.
        since: No object of the range was written before this time.
        objects: How many the range held when somebody last looked; ``None`` when nobody has looked.
    """

    last: str
    since: datetime
    objects: int | None


class ObjectAges(NamedTuple):
    """What is known of the ages of a session's objects.

    Attributes:
        ranges: In the order of their keys. Together they hold every key.
    """

    ranges: tuple[Range, ...]

    @classmethod
    def all_since(cls, since: datetime) -> ObjectAges:
        """The ages, when no object was written before ``since``."""
        return cls((Range(END, since, None),))

    @property
    def oldest(self) -> datetime:
        """The time before which no object of the session was written."""
        return min(found.since for found in self.ranges)

    def next_range(self) -> tuple[str, Range]:
        """The oldest range (the first of equals), and the key after which it begins."""
        number = min(range(len(self.ranges)), key=lambda number: self.ranges[number].since)
        return self.ranges[number - 1].last if number else "", self.ranges[number]

    def first_unseen(self) -> tuple[str, Range] | None:
        """The first range that nobody has looked at, and the key after which it begins."""
        after = ""
        for one in self.ranges:
            if one.objects is None:
                return after, one
            after = one.last
        return None

    def learned(self, after: str, last: str, since: datetime, count: int) -> ObjectAges:
        """The ages after a look at the keys behind ``after``, up to and including ``last``.

        Args:
            after: Where an existing range begins.
            last: Within that range.
            since: No object there was written before.
            count: How many there are.
        """
        found: list[Range] = []
        begin = ""
        for one in self.ranges:
            if begin != after:
                found.append(one)
            else:
                found.append(Range(last, max(since, one.since), count))
                if last < one.last:
                    left = None if one.objects is None else max(0, one.objects - count)
                    found.append(Range(one.last, one.since, left))
            begin = one.last
        return ObjectAges(_same_ages_together(found))

    def joined(self, other: ObjectAges) -> ObjectAges:
        """What two who looked at the same session know together: for each key, the younger of both claims."""
        lasts = sorted({one.last for ages in (self, other) for one in ages.ranges})
        pairs = zip(_cut(self.ranges, lasts), _cut(other.ranges, lasts), strict=True)
        return ObjectAges(_same_ages_together([max(pair, key=lambda one: one.since) for pair in pairs]))

    def shortened(self, most: int = MOST_RANGES) -> ObjectAges:
        """The same in no more ranges than this. If there are too many, some are called older than they are."""
        ranges = list(self.ranges)
        while len(ranges) > most:
            number = min(range(len(ranges) - 1), key=lambda number: _loss(ranges[number], ranges[number + 1]))
            ranges[number : number + 2] = [_together(ranges[number], ranges[number + 1])]
        return ObjectAges(tuple(ranges))

    def not_younger_than(self, at: datetime) -> ObjectAges:
        """The same, with nothing called younger than ``at``."""
        return ObjectAges(tuple(one._replace(since=min(one.since, at)) for one in self.ranges))

    def not_older_than(self, at: datetime) -> ObjectAges:
        """The same, with nothing called older than ``at``: another writer has said that nothing is."""
        return ObjectAges(_same_ages_together([one._replace(since=max(one.since, at)) for one in self.ranges]))

    def to_json(self) -> list[list[Any]]:
        """The JSON value that stands in a record."""
        return [
            [None if one.last == END else one.last, one.since.astimezone(UTC).isoformat(), one.objects]
            for one in self.ranges
        ]

    @classmethod
    def from_json(cls, found: object) -> ObjectAges | None:
        """Read the JSON value from a record; ``None`` when it cannot be right."""
        if not isinstance(found, list) or not found:
            return None
        try:
            ranges = tuple(_read_range(*one) for one in found)
        except (TypeError, ValueError):
            return None
        lasts = [one.last for one in ranges]
        return cls(ranges) if lasts == sorted(set(lasts)) and lasts[-1] == END else None


def _read_range(last: object, since: object, count: object) -> Range:
    if not (last is None or isinstance(last, str)) or not isinstance(since, str):
        raise TypeError(f"not a range: {last!r} {since!r}")
    at = datetime.fromisoformat(since)
    known = count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
    return Range(END if last is None else last, at if at.tzinfo else at.replace(tzinfo=UTC), known)


def _same_ages_together(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Join neighbours of the same age, if both have been looked at or neither has."""
    found: list[Range] = []
    for one in ranges:
        if found and found[-1].since == one.since and (found[-1].objects is None) == (one.objects is None):
            found[-1] = _together(found[-1], one)
        else:
            found.append(one)
    return tuple(found)


def _together(one: Range, next_one: Range) -> Range:
    counts = (one.objects, next_one.objects)
    count = None if None in counts else sum(number or 0 for number in counts)
    return Range(next_one.last, min(one.since, next_one.since), count)


def _loss(one: Range, next_one: Range) -> tuple[bool, timedelta]:
    """What it costs to call the younger of two as old as the other: objects renewed too early, and how much."""
    younger = max(one, next_one, key=lambda found: found.since)
    return (one.objects is None) != (next_one.objects is None), abs(one.since - next_one.since) * (younger.objects or 1)


def _cut(ranges: Sequence[Range], lasts: Sequence[str]) -> list[Range]:
    """The same ranges, cut so that one ends at each of these keys, which include the ends of the ranges."""
    found: list[Range] = []
    number = 0
    for last in lasts:
        whole = ranges[number]
        # How a range's objects are spread over it is not known, so all are counted in its last part.
        is_end = last == whole.last
        found.append(Range(last, whole.since, whole.objects if is_end or whole.objects is None else 0))
        number += is_end
    return found
