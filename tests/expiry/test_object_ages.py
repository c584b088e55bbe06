"""What is known of the ages of a session's objects is never younger than the truth."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._life.object_ages import END, UNKNOWN, ObjectAges, Range

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = [f"k{number:02d}" for number in range(30)]
HOUR = timedelta(hours=1)

OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(KEYS)),
    st.tuples(st.just("renew"), st.integers(1, 12), st.booleans()),
    st.tuples(st.just("look"), st.integers(1, 12), st.booleans()),
    st.tuples(st.just("join")),
    st.tuples(st.just("shorten"), st.integers(1, 6)),
    st.tuples(st.just("store")),
)


def since_of(ages: ObjectAges, key: str) -> datetime:
    """What is known of one key."""
    return ages.ranges[bisect_left([one.last for one in ages.ranges], key)].since


class Session:
    """Objects, when each was written, and two processes that keep what they know of them."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.written = dict.fromkeys(KEYS[::2], BEGIN)
        self.ages = [ObjectAges.all_since(BEGIN)] * 2

    def take(self, operation: tuple[object, ...]) -> None:
        self.now += HOUR
        match operation:
            case ("write", str(key)):
                self.written[key] = self.now
            case ("renew", int(count), bool(second)):
                after, last, keys = self._next(count, second)
                self.written |= dict.fromkeys(keys, self.now)
                self.ages[second] = self.ages[second].learned(after, last, self.now, len(keys))
            case ("look", int(count), bool(second)):
                after, last, keys = self._next(count, second)
                oldest = min((self.written[key] for key in keys), default=self.now)
                self.ages[second] = self.ages[second].learned(after, last, oldest, len(keys))
            case ("join",):
                self.ages = [self.ages[0].joined(self.ages[1])] * 2
            case ("shorten", int(most)):
                self.ages[0] = self.ages[0].shortened(most)
                assert len(self.ages[0].ranges) <= most
            case ("store",):
                found = ObjectAges.from_json(self.ages[0].to_json())
                assert found == self.ages[0]

    def _next(self, count: int, second: bool) -> tuple[str, str, list[str]]:
        after, within = self.ages[second].next_range()
        inside = sorted(key for key in self.written if after < key <= within.last)
        keys = inside[:count]
        return after, within.last if len(keys) == len(inside) else keys[-1], keys


@given(st.lists(OPERATIONS, max_size=60))
def test_no_object_is_ever_older_than_what_is_said_of_it(operations: list[tuple[object, ...]]) -> None:
    session = Session()
    for operation in operations:
        session.take(operation)
        for ages in session.ages:
            assert all(since_of(ages, key) <= at for key, at in session.written.items())
            assert ages.oldest <= min(session.written.values())
            assert ages.ranges[-1].last == END


def test_the_oldest_range_is_renewed_first_and_the_rest_of_it_next() -> None:
    ages = ObjectAges.all_since(BEGIN).learned("", "b", BEGIN + HOUR, 2).learned("b", "d", BEGIN, 2)
    ages = ages.learned("d", END, BEGIN + HOUR, 5)

    after, oldest = ages.next_range()
    assert (after, oldest) == ("b", Range("d", BEGIN, 2))

    after, oldest = ages.learned("b", "c", BEGIN + 2 * HOUR, 1).next_range()
    assert (after, oldest) == ("c", Range("d", BEGIN, 1))


def test_neighbours_of_one_age_are_one_range() -> None:
    ages = ObjectAges.all_since(BEGIN)
    for after, last in (("", "a"), ("a", "b"), ("b", END)):
        ages = ages.learned(after, last, BEGIN + HOUR, 3)

    assert ages == ObjectAges((Range(END, BEGIN + HOUR, 9),))


def test_shortened_joins_those_neighbours_whose_ages_differ_least() -> None:
    ages = ObjectAges(
        (
            Range("a", BEGIN, 10),
            Range("b", BEGIN + 30 * HOUR, 10),
            Range("c", BEGIN + 31 * HOUR, 10),
            Range(END, BEGIN + 99 * HOUR, 10),
        )
    )

    assert ages.shortened(3).ranges == (
        Range("a", BEGIN, 10),
        Range("c", BEGIN + 30 * HOUR, 20),
        Range(END, BEGIN + 99 * HOUR, 10),
    )


def test_two_who_renewed_different_ranges_know_together_that_both_are_young() -> None:
    whole = ObjectAges((Range("m", BEGIN, 4), Range(END, BEGIN, None)))
    one = whole.learned("", "m", BEGIN + HOUR, 4)
    other = whole.learned("m", END, BEGIN + 2 * HOUR, 4)

    assert one.joined(other).oldest == BEGIN + HOUR
    assert one.joined(other) == other.joined(one)


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        {},
        "x",
        [[None, "2026-03-01T00:00:00+00:00"]],
        [["a", "2026-03-01T00:00:00+00:00", 1]],
        [["b", "2026-03-01T00:00:00+00:00", 1], ["a", "2026-03-01T00:00:00+00:00", 1], [None, "2026-03-01", 1]],
        [["a", "yesterday", 1], [None, "2026-03-01", 1]],
        [["a", 7, 1], [None, "2026-03-01", 1]],
        [[["a"], "2026-03-01", 1], [None, "2026-03-01", 1]],
        [None],
    ],
)
def test_a_value_that_is_no_list_of_ages_is_not_believed(found: object) -> None:
    assert ObjectAges.from_json(found) is None


def test_a_count_that_is_none_is_not_known_and_a_time_without_a_zone_is_utc() -> None:
    read = ObjectAges.from_json([["a", "2026-03-01T00:00:00", "many"], [None, "2026-03-01T00:00:00+00:00", -1]])

    assert read == ObjectAges((Range("a", BEGIN, None), Range(END, BEGIN, None)))


def test_an_unknown_age_counts_as_very_old() -> None:
    assert ObjectAges.all_since(UNKNOWN).oldest < BEGIN - timedelta(days=365 * 50)
