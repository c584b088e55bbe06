"""What a caller of the endpoint sees of expiry."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agent_sessions.expiry import lifecycle_days
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Context, Function

DAY = 86_400.0
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=["sessions"]) as server:
        server.clock.set(NOON)
        yield server


def function_on(s3: S3Server, ttl_days: str = "7") -> Function:
    store = {"SESSION_STORE": "s3://sessions/kit", "AWS_ENDPOINT_URL_S3": s3.url, "SESSION_TTL_DAYS": ttl_days}
    function = Function({**CREDENTIALS, **store, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(otherwise="Hello.")
    return function


def test_a_session_tells_when_it_was_used_and_when_it_will_expire(s3: S3Server) -> None:
    function = function_on(s3)
    function.reply("Hi")
    s3.clock.advance(2 * DAY)
    function.reply("Hi again")
    s3.clock.advance(DAY)

    described = function.http("GET", "/sessions/chat").json

    assert described["last_used_at"] == "2026-03-03T12:00:00+00:00"
    assert described["expires_at"] == "2026-03-10T12:00:00+00:00"


def test_without_a_lifetime_a_session_has_no_end(s3: S3Server) -> None:
    function = function_on(s3, "0")
    function.reply("Hi")
    s3.clock.advance(4_000 * DAY)

    assert function.http("GET", "/sessions/chat").json["expires_at"] is None
    assert function.reply("Hi again")["restored_messages"] == 2


def test_an_expired_session_is_not_found_and_its_id_begins_afresh(s3: S3Server) -> None:
    function = function_on(s3)
    function.reply("Hi")
    function.reply("Hi", "other")
    s3.clock.advance(7 * DAY)
    assert function.reply("Still there?", "other")["restored_messages"] == 2
    s3.clock.advance(1)

    for path in ("/sessions/chat", "/sessions/chat/messages"):
        answer = function.http("GET", path)
        assert (answer.status, answer.problem) == (404, "not-found")
    assert function.http("GET", "/sessions").json["session_ids"] == ["other"]
    assert function.reply("Hi")["restored_messages"] == 0
    assert function.http("GET", "/sessions/chat").json["agents"] == [{"agent_id": "default", "message_count": 2}]


def test_answers_to_an_expired_sessions_interrupt_are_not_found_and_make_no_session(s3: S3Server) -> None:
    function = function_on(s3)
    function.reply("Hi")
    s3.clock.advance(8 * DAY)
    answers = [{"interrupt_id": "i", "response": "yes"}]

    refused = function.http("POST", "/sessions/chat/messages", {"interrupt_responses": answers})

    assert (refused.status, refused.problem) == (404, "not-found")
    assert function.http("GET", "/sessions").json["session_ids"] == []


def test_a_session_of_daily_use_outlives_the_bucket_s_rule(s3: S3Server) -> None:
    function = function_on(s3)
    for day in range(15):
        assert function.reply(f"Day {day}")["restored_messages"] == 2 * day
        s3.clock.advance(DAY)
        s3.expire("sessions", days=lifecycle_days(7))

    read = function.http("GET", "/sessions/chat/messages", query={"limit": 1000}).json["messages"]
    assert [message["message_id"] for message in read] == list(range(30))


def test_a_turn_that_has_hardly_any_time_left_answers_and_leaves_renewing_to_the_next(s3: S3Server) -> None:
    function = function_on(s3)
    function.reply("Hi")
    s3.clock.advance(1.5 * DAY)

    late = function.say("Quick", context=Context(remaining_seconds=5.9))  # of which five seconds are the margin
    assert late.status == 200
    assert oldest_days(s3) == 1.5

    function.reply("Again")
    assert oldest_days(s3) == 0


def oldest_days(s3: S3Server) -> float:
    """The age of the oldest object of any session."""
    return max((s3.clock() - found.last_modified) / DAY for found in s3.store.current_objects("sessions").values())
