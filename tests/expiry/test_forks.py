"""A fork takes the place of what has expired, and of nothing else."""

import pytest

from agent_sessions.exceptions import SessionExistsError
from tests.expiry.world import BUCKET, DAY, PREFIX, Bucket


def test_a_fork_takes_the_id_of_a_session_that_has_expired_and_nothing_of_that_is_left(bucket: Bucket) -> None:
    bucket.turn("Gone", "other", session_manager=bucket.manager("other", recent=True))
    bucket.turn("Gone, too", "other", "b2")
    bucket.wait(8 * DAY, rule_runs=False)
    bucket.turn("First")
    bucket.turn("Second")

    fork = bucket.store.fork("chat", before_message=2, fork_id="other")

    assert (fork.message_count, bucket.said("other")) == (2, ["First", "Hello from default."])
    assert [agent.agent_id for agent in bucket.store.describe("other").agents] == ["default"]
    assert not bucket.s3.objects(BUCKET, f"{PREFIX}/recent/")


def test_a_fork_leaves_a_session_alone_that_is_still_used_however_old_its_record_is(bucket: Bucket) -> None:
    bucket.turn("Old", "other")
    bucket.turn("First")
    bucket.wait(4 * DAY, rule_runs=False)
    bucket.turn("Used", "other")
    bucket.turn("Second")
    bucket.wait(4 * DAY, rule_runs=False)

    with pytest.raises(SessionExistsError):
        bucket.store.fork("chat", before_message=2, fork_id="other")

    assert bucket.said("other")[::2] == ["Old", "Used"]
