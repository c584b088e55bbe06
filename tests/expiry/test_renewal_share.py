"""How many objects a turn renews, as arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._life.object_ages import END, ObjectAges, Range
from agent_sessions._life.renewal_share import FEWEST_OBJECTS, MOST_OBJECTS, MOST_SECONDS, Share, share_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TTL = 30.0


def of_one_age(objects: int | None, days: float) -> ObjectAges:
    return ObjectAges((Range(END, NOW - timedelta(days=days), objects),))


def test_nothing_is_renewed_that_is_younger_than_half_of_the_days_it_takes() -> None:
    assert share_of(of_one_age(100_000, 3.99), NOW, DAY, TTL) == Share(0, 0)


@pytest.mark.parametrize(
    ("objects", "usual", "least"),
    [(10, FEWEST_OBJECTS, 1), (250, FEWEST_OBJECTS, 9), (1_000, FEWEST_OBJECTS, 34), (4_000, 800, 134)],
)
def test_a_short_session_is_done_in_one_piece_and_a_longer_one_is_spread(objects: int, usual: int, least: int) -> None:
    assert share_of(of_one_age(objects, 4), NOW, DAY, TTL) == Share(usual, least)


def test_of_a_very_long_one_a_turn_renews_what_a_use_a_day_takes() -> None:
    assert share_of(of_one_age(100_000, 4), NOW, DAY, TTL) == Share(MOST_OBJECTS, 3_334)


def test_turns_that_come_more_often_renew_less_each_time() -> None:
    hourly = share_of(of_one_age(100_000, 4), NOW, timedelta(hours=1), TTL)

    assert hourly.least == pytest.approx(100_000 / (29.25 * 24), rel=0.01)
    assert hourly.usual == MOST_OBJECTS


def test_a_silence_is_not_expected_to_be_followed_by_another() -> None:
    assert share_of(of_one_age(100_000, 4), NOW, 29 * DAY, TTL) == share_of(of_one_age(100_000, 4), NOW, DAY, TTL)


def test_a_turn_renews_now_if_a_later_turn_could_not_make_up_for_it() -> None:
    ages = ObjectAges((Range("m", NOW - 37.5 * DAY, 700), Range(END, NOW - 5 * DAY, 9_000)))

    assert share_of(ages, NOW, DAY, TTL).least == 700


def test_a_strands_session_is_caught_up_with_in_usual_shares() -> None:
    assert share_of(of_one_age(20_000, 400), NOW, DAY, TTL, adopted=False) == Share(MOST_OBJECTS, 0)


def test_an_unknown_range_calls_for_at_least_the_fewest_objects() -> None:
    assert share_of(of_one_age(None, 5), NOW, DAY, TTL).usual >= FEWEST_OBJECTS


def test_a_turn_goes_on_to_its_usual_share_only_while_that_is_quick() -> None:
    share = Share(usual=1_000, least=300)

    assert share.left(0, 0.0) == 1_000
    assert share.left(400, MOST_SECONDS - 0.1) == 600
    assert share.left(400, MOST_SECONDS) == 0
    assert share.left(100, 60.0) == 200


@given(
    st.lists(st.tuples(st.floats(0, 37), st.integers(0, 5_000)), min_size=1, max_size=20),
    st.floats(0, 30),
    st.sampled_from([1.0, 7.0, 30.0, 365.0, 1e9]),
)
def test_the_share_is_never_less_than_nothing_and_never_more_than_there_is(
    found: list[tuple[float, int]], unused: float, ttl: float
) -> None:
    ranges = [
        Range(f"{number:03d}", NOW - timedelta(days=days), objects) for number, (days, objects) in enumerate(found)
    ]
    ages = ObjectAges((*ranges[:-1], ranges[-1]._replace(last=END)))

    share = share_of(ages, NOW, timedelta(days=unused), ttl)

    assert 0 <= share.least <= sum(objects for _, objects in found)
    assert 0 <= share.usual <= MOST_OBJECTS
