"""What a session's record says of the age of its objects, and of what counts as a use."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent_sessions._life.object_ages import ObjectAges
from agent_sessions._life.session_age import (
    MARK,
    USED_UNTIL,
    SessionAge,
    ages_in,
    is_adopted,
    oldest_in,
    stated_ttl,
    used_until,
    with_ages,
    with_used_until,
)
from agent_sessions._records.record_format import Record
from agent_sessions.object_store import StoredObject

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WRITTEN = NOW - timedelta(days=2)
EARLIER = NOW - timedelta(days=9)
DAY = timedelta(days=1)


def record(**kit: Any) -> Record:
    content: dict[str, Any] = {"session_id": "s", **({"kit": kit} if kit else {})}
    return Record("session_s/session.json", content, StoredObject(json.dumps(content).encode(), "e", WRITTEN, NOW))


def test_a_record_of_strands_says_nothing_of_ages() -> None:
    assert oldest_in(record()) is None
    assert not is_adopted(record())


def test_a_session_that_was_never_renewed_is_as_old_as_its_record() -> None:
    assert oldest_in(record(incarnation="one")) == WRITTEN


def test_an_age_mark_says_how_old_the_oldest_object_is() -> None:
    assert oldest_in(record(incarnation="one", **{MARK: EARLIER.isoformat()})) == EARLIER


def test_a_mark_younger_than_its_record_is_not_believed() -> None:
    assert oldest_in(record(incarnation="one", **{MARK: NOW.isoformat()})) == WRITTEN


@pytest.mark.parametrize("odd", ["soon", 7, [], {}])
def test_a_mark_that_is_no_time_is_no_age(odd: Any) -> None:
    assert oldest_in(record(incarnation="one", **{MARK: odd})) is None


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert oldest_in(record(incarnation="one", **{MARK: EARLIER.replace(tzinfo=None).isoformat()})) == EARLIER


def test_after_a_moment_nothing_counts_while_there_are_objects_from_before_it() -> None:
    kit = with_used_until({"incarnation": "one"}, NOW - 5 * DAY, EARLIER)

    assert used_until(record(**kit)) == NOW - 5 * DAY
    assert oldest_in(record(**kit)) == EARLIER


def test_the_moment_is_over_when_everything_has_been_renewed_since() -> None:
    kit = {"incarnation": "one", MARK: (NOW - 4 * DAY).isoformat(), USED_UNTIL: (NOW - 5 * DAY).isoformat()}

    assert used_until(record(**kit)) is None


def test_a_use_after_the_moment_counts_for_nothing_and_one_before_it_counts() -> None:
    found = record(**with_used_until({"incarnation": "one"}, NOW - 5 * DAY, EARLIER))
    age = SessionAge.of(found, NOW - 6 * DAY)

    assert age.counted(NOW) == NOW - 5 * DAY
    assert age.counted(NOW - 7 * DAY) == NOW - 7 * DAY


def test_a_later_use_that_was_found_to_count_ends_the_moment() -> None:
    found = record(**with_used_until({"incarnation": "one"}, NOW - 5 * DAY, EARLIER))

    assert SessionAge.of(found, NOW - DAY).counted(NOW) == NOW


def test_ages_are_read_as_they_were_written_and_the_rest_of_the_record_stays() -> None:
    ages = ObjectAges.all_since(EARLIER)
    kit = with_ages({"incarnation": "one", "other": 1}, ages)

    assert kit["other"] == 1
    assert ages_in(record(**kit)) == ages
    assert is_adopted(record(**kit))
    assert not is_adopted(record(**with_ages({"incarnation": "one"}, ages, adopted=False)))


@pytest.mark.parametrize(("too_old", "stays"), [(True, True), (False, False)])
def test_the_moment_stays_while_objects_are_too_old(too_old: bool, stays: bool) -> None:
    kit = with_ages({USED_UNTIL: NOW.isoformat()}, ObjectAges.all_since(EARLIER), too_old=too_old)

    assert (USED_UNTIL in kit) is stays


@pytest.mark.parametrize(
    ("kit", "days"), [({}, 0.0), ({"ttl_days": 7}, 7.0), ({"ttl_days": 0.5}, 0.5), ({"ttl_days": "7"}, 0.0)]
)
def test_the_ttl_that_was_stated(kit: dict[str, Any], days: float) -> None:
    assert stated_ttl(record(incarnation="one", **kit)) == days
