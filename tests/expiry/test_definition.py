"""The definition of expiry, as arithmetic."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent_sessions.expiry import (
    checked_ttl,
    expires_at,
    is_expired,
    lifecycle_days,
    removable_at,
    renewal_days,
    renewal_due,
    renewal_required,
    slack_days,
)

TTLS = st.floats(0.01, 3650) | st.integers(1, 3650).map(float)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(  # noqa: DTZ001 - made aware in the same line
    lambda moment: moment.replace(tzinfo=UTC)
)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("ttl", "renewal", "slack", "rule"),
    [(0.5, 1, 2, 3), (1, 1, 2, 3), (3, 1, 4, 7), (4, 1, 5, 9), (7, 2, 9, 16), (30, 8, 38, 68), (90, 23, 113, 203)],
)
def test_slack_and_rule_of_usual_lifetimes(ttl: float, renewal: int, slack: int, rule: int) -> None:
    assert (renewal_days(ttl), slack_days(ttl), lifecycle_days(ttl)) == (renewal, slack, rule)


@given(TTLS)
def test_a_turn_after_the_longest_silence_need_not_renew_what_turns_had_kept_young(ttl: float) -> None:
    assert renewal_days(ttl) + ttl <= slack_days(ttl)


def test_no_lifetime_means_no_rule_no_expiry_and_no_renewal() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert checked_ttl(None) == 0
    assert lifecycle_days(0) is None
    assert not is_expired(now - 10_000 * DAY, now, 0)
    assert expires_at(now, 0) is None
    assert not renewal_due(None, now, 0)
    assert not renewal_required(now - 10_000 * DAY, now, 0)


@pytest.mark.parametrize("ttl", [-1, math.nan, math.inf, -0.001])
def test_a_value_that_is_no_lifetime_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl_days"):
        lifecycle_days(ttl)
    with pytest.raises(ValueError, match="ttl_days"):
        lifecycle_days(7, lowered_from=ttl)
    with pytest.raises(ValueError, match="ttl_days"):
        checked_ttl(ttl)


@given(MOMENTS, TTLS)
def test_a_session_lives_up_to_and_including_its_last_moment(last_used: datetime, ttl: float) -> None:
    end = expires_at(last_used, ttl)

    assert end is not None
    assert not is_expired(last_used, end - timedelta(milliseconds=1), ttl)
    assert is_expired(last_used, end + timedelta(milliseconds=1), ttl)


def test_an_end_that_no_calendar_names_is_none() -> None:
    assert expires_at(datetime(2026, 1, 1, tzinfo=UTC), 1e9) is None


@given(MOMENTS, st.integers(1, 4000))
def test_a_rule_acts_at_a_midnight_and_never_before_its_days_are_over(written: datetime, days: int) -> None:
    at = removable_at(written, days)

    assert (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0)
    assert days * DAY <= at - written < (days + 1) * DAY


@given(MOMENTS, TTLS, st.floats(0, 1), st.floats(0, 1))
def test_no_rule_reaches_an_object_of_a_session_that_lives(
    written: datetime, ttl: float, of_slack: float, of_ttl: float
) -> None:
    # Given: the oldest object a successful turn may leave, and any moment of the session's life after that turn
    last_turn = written + of_slack * slack_days(ttl) * DAY * 0.999999
    now = last_turn + of_ttl * ttl * DAY
    assert not renewal_required(written, last_turn, ttl)

    # Then: the rule does not reach it
    days = lifecycle_days(ttl)
    assert days is not None
    assert is_expired(last_turn, now + timedelta(seconds=1), ttl) or now < removable_at(written, days)


@given(MOMENTS, TTLS)
def test_a_renewal_is_due_at_half_of_the_days_it_takes_and_required_at_the_slack(marked: datetime, ttl: float) -> None:
    due, slack = renewal_days(ttl) * DAY / 2, slack_days(ttl) * DAY
    second = timedelta(seconds=1)

    assert not renewal_due(marked, marked + due - second, ttl)
    assert renewal_due(marked, marked + due, ttl)
    assert not renewal_required(marked, marked + slack - second, ttl)
    assert renewal_required(marked, marked + slack, ttl)
    assert renewal_due(None, marked, ttl)


@given(MOMENTS, TTLS, TTLS, st.floats(0, 1), st.floats(0, 1))
def test_while_a_ttl_is_being_lowered_the_rule_spares_what_was_renewed_by_the_old_one(
    written: datetime, old: float, new: float, of_slack: float, of_ttl: float
) -> None:
    # Given: a last turn under the old ttl, and a moment at which the session lives under the new one
    now = written + (of_slack * slack_days(old) * 0.999999 + of_ttl * min(old, new)) * DAY

    # Then
    days = lifecycle_days(new, lowered_from=old)
    assert days is not None
    assert now < removable_at(written, days)
    assert lifecycle_days(new, lowered_from=0) is None


@given(MOMENTS, TTLS, TTLS, st.floats(0, 1), st.floats(0, 1))
def test_while_turns_keep_up_a_ttl_can_be_lowered_as_far_as_the_new_slack_allows(
    written: datetime, old: float, new: float, of_renewal: float, of_ttl: float
) -> None:
    assume(renewal_days(old) <= slack_days(new))
    now = written + (of_renewal * renewal_days(old) * 0.999999 + of_ttl * min(old, new)) * DAY

    assert now < removable_at(written, lifecycle_days(new) or 0)
