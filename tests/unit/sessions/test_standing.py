"""How it stands with a session: what lies there decides, and nothing is read or written for it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent_sessions._life.standing import HasEnded, HasLostItsRecord, IsNew, Lives, by_record, by_remains, goes_on
from agent_sessions._records.record_format import Record
from agent_sessions.object_store import ListedObject, StoredObject

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def record(**kit: Any) -> Record:
    content: dict[str, Any] = {"agent_id": "a1", **({"kit": kit} if kit else {})}
    body = json.dumps(content).encode()
    return Record("session_s/agents/agent_a1/agent.json", content, StoredObject(body, "e", NOW - 9 * DAY, NOW))


def listed(key: str, age: timedelta) -> ListedObject:
    return ListedObject(key, "e", NOW - age, 10)


@pytest.mark.parametrize(
    ("kit", "used_before", "ttl_days", "lives"),
    [
        pytest.param({}, DAY, 30, True, id="used within the ttl"),
        pytest.param({}, 31 * DAY, 30, False, id="used before the ttl"),
        pytest.param({}, 400 * DAY, 0, True, id="sessions never expire"),
        pytest.param({"erased": True}, DAY, 30, False, id="being erased"),
        pytest.param({"erased": True}, DAY, 0, False, id="being erased, and sessions never expire"),
    ],
)
def test_a_session_with_a_record_lives_while_it_is_used_and_nobody_erases_it(
    kit: dict[str, Any], used_before: timedelta, ttl_days: float, lives: bool
) -> None:
    found, used = record(incarnation="one", **kit), NOW - used_before

    standing = by_record(found, last_used=used, ttl_days=ttl_days)

    assert standing == (Lives(found, used) if lives else HasEnded(found.stored))


def test_where_nothing_is_left_the_session_is_new() -> None:
    assert by_remains([], None) == IsNew()


def test_remains_without_a_survivor_are_of_a_life_that_has_ended() -> None:
    assert by_remains([listed("message_0.json", DAY)], None) == HasEnded(None)


def test_a_life_that_goes_on_is_as_old_as_its_oldest_object() -> None:
    remains = [listed("agent.json", DAY), listed("message_0.json", 3 * DAY), listed("message_1.json", 2 * DAY)]

    assert by_remains(remains, record(incarnation="one")) == HasLostItsRecord("one", NOW - 3 * DAY)


def test_what_strands_has_written_goes_on_as_a_life_of_its_own() -> None:
    first, second = (by_remains([listed("agent.json", DAY)], record()) for _ in range(2))

    assert isinstance(first, HasLostItsRecord)
    assert isinstance(second, HasLostItsRecord)
    assert first.incarnation
    assert first.incarnation != second.incarnation


@pytest.mark.parametrize(
    ("kit", "is_head", "used_before", "ttl_days", "expected"),
    [
        pytest.param({"incarnation": "one"}, True, DAY, 0, True, id="an agent's record"),
        pytest.param({"incarnation": "one"}, False, DAY, 0, False, id="a message that an erased life has left"),
        pytest.param({}, False, DAY, 0, True, id="a message of Strands'"),
        pytest.param({"incarnation": "one"}, True, 31 * DAY, 30, False, id="used before the ttl"),
        pytest.param({"incarnation": "one"}, True, 29 * DAY, 30, True, id="used within the ttl"),
        pytest.param(
            {"incarnation": "one", "ttl_days": 7}, True, 8 * DAY, 0, False, id="used before the ttl it states"
        ),
        pytest.param({"incarnation": "one", "ttl_days": 7}, True, 8 * DAY, 30, False, id="the shorter of two ttls"),
        pytest.param({"incarnation": "one", "ttl_days": 60}, True, 40 * DAY, 30, False, id="the other one shorter"),
    ],
)
def test_the_remains_say_whether_the_life_goes_on(
    kit: dict[str, Any], is_head: bool, used_before: timedelta, ttl_days: float, expected: bool
) -> None:
    assert goes_on(record(**kit), is_head=is_head, used=NOW - used_before, ttl_days=ttl_days) is expected
