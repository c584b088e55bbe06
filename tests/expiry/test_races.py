"""Several callers at the end of a session's life: whoever begins the next one loses nothing of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.doubles.s3_server import Fault
from tests.expiry.world import DAY, PREFIX, Bucket, exchange, texts

FOLDER = f"{PREFIX}/session_chat/"
WAIT_SECONDS = 30


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Another process."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize(
    ("verb", "key"),
    [
        ("PUT", f"{FOLDER}session.json"),  # the mark
        ("LIST_VERSIONS", FOLDER),  # what is to be erased
        ("DELETE_OBJECTS", "*"),  # the erasure
    ],
)
@pytest.mark.parametrize("applied", [False, True])
def test_of_two_that_begin_an_expired_session_anew_both_are_kept(
    bucket: Bucket, other: ThreadPoolExecutor, verb: str, key: str, applied: bool
) -> None:
    bucket.turn("Long ago")
    bucket.wait(8 * DAY, rule_runs=False)
    held = bucket.s3.faults.add(Fault("hold", verb=verb, key=key, applied=applied))
    slow = other.submit(bucket.turn, "Slow")
    assert held.arrived.wait(WAIT_SECONDS)

    bucket.turn("Quick")
    held.release()
    slow.result(WAIT_SECONDS)

    assert bucket.said() == texts(bucket.agent()) == exchange("Quick", "Slow")


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("applied", [False, True])
def test_an_erasure_that_is_slow_does_not_touch_the_life_that_follows(
    bucket: Bucket, other: ThreadPoolExecutor, nth: int, applied: bool
) -> None:
    bucket.turn("Old")
    held = bucket.s3.faults.add(Fault("hold", verb="LIST_VERSIONS", key=FOLDER, nth=nth, applied=applied))
    erasure = other.submit(bucket.store.delete_session, "chat")
    assert held.arrived.wait(WAIT_SECONDS)

    bucket.turn("New")
    held.release()
    erasure.result(WAIT_SECONDS)

    assert bucket.said() == texts(bucket.agent()) == exchange("New")


def test_a_turn_in_the_last_moment_is_not_lost_to_one_that_comes_too_late(
    bucket: Bucket, other: ThreadPoolExecutor
) -> None:
    # Given: a turn whose first message is stored in the session's last moment, and that takes its time
    bucket.turn("Before")
    bucket.wait(7 * DAY, rule_runs=False)
    held = bucket.s3.faults.add(Fault("hold", verb="PUT", key="*message_3.json"))
    slow = other.submit(bucket.turn, "In time")
    assert held.arrived.wait(WAIT_SECONDS)

    # When: another opens the session a moment later
    bucket.wait(1, rule_runs=False)
    late = bucket.agent()

    # Then the session is still there for both
    held.release()
    slow.result(WAIT_SECONDS)
    assert texts(late)[:2] == exchange("Before")
    assert bucket.said() == exchange("Before", "In time")


def test_a_turn_that_opened_the_session_in_time_and_writes_too_late_is_refused(bucket: Bucket) -> None:
    from agent_sessions.exceptions import SessionNotFoundError

    bucket.turn("Before")
    bucket.wait(7 * DAY, rule_runs=False)
    agent = bucket.agent()
    assert texts(agent) == exchange("Before")
    bucket.wait(1, rule_runs=False)

    with pytest.raises(SessionNotFoundError, match="expired"):
        agent("Too late")

    with pytest.raises(SessionNotFoundError):
        bucket.said()
