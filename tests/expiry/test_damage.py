"""Sessions that somebody else's lifecycle rule has damaged: what is left is kept, in order, and never overwritten."""

import logging

import pytest

from agent_sessions.exceptions import SessionNotFoundError
from tests.expiry.world import BUCKET, DAY, HOUR, PREFIX, WINDOW, Bucket, exchange, texts

FOLDER = f"{PREFIX}/session_chat"
AGENT = f"{FOLDER}/agents/agent_default"


def remove(bucket: Bucket, *names: str) -> None:
    for name in names:
        bucket.client.delete_object(Bucket=BUCKET, Key=name)


def message(number: int, agent_id: str = "default") -> str:
    return f"{FOLDER}/agents/agent_{agent_id}/messages/message_{number}.json"


@pytest.fixture
def used(bucket: Bucket) -> Bucket:
    """A session of three turns."""
    for number in range(3):
        bucket.turn(f"Turn {number}")
    return bucket


ALL = exchange("Turn 0", "Turn 1", "Turn 2")


def test_without_its_record_the_session_goes_on(used: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    remove(used, f"{FOLDER}/session.json")
    with caplog.at_level(logging.WARNING):
        assert texts(used.agent()) == ALL
    used.turn("More")

    assert used.said() == [*ALL, *exchange("More")]
    assert "session.json is missing" in caplog.text
    assert "session_id=<chat>" in caplog.text


def test_a_record_that_was_made_anew_does_not_call_old_objects_young(used: Bucket) -> None:
    used.wait(1.5 * DAY)
    remove(used, f"{FOLDER}/session.json")

    used.turn("More")

    assert max(used.ages().values()) == 0


def test_without_its_record_and_unused_for_the_ttl_it_is_gone(used: Bucket) -> None:
    remove(used, f"{FOLDER}/session.json")
    used.wait(7 * DAY + 1, rule_runs=False)

    assert texts(used.agent()) == []
    assert not [key for key in used.ages() if "message_" in key]


def test_what_an_own_rule_was_removing_does_not_come_back_when_the_ttl_is_raised(used: Bucket) -> None:
    used.wait(1.1 * DAY)
    used.turn("More")  # renews: nothing is of an earlier day
    used.wait(0.9 * DAY)
    used.turn("Last")
    used.wait(8 * DAY)
    used.run_rule(8)  # as the rule of another day would leave it: the record is gone, the last turn is not
    assert f"{AGENT}/agent.json" in used.s3.objects(BUCKET)
    assert f"{FOLDER}/session.json" not in used.s3.objects(BUCKET)

    used.deploy(30)

    with pytest.raises(SessionNotFoundError):
        used.said()
    assert texts(used.agent()) == []


def test_without_the_agents_record_its_messages_are_kept_and_numbering_goes_on(
    used: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    remove(used, f"{AGENT}/agent.json")
    with caplog.at_level(logging.WARNING):
        used.turn("More")

    assert used.said() == [*ALL, *exchange("More")]
    assert "agent.json is missing" in caplog.text
    assert "agent_id=<default>" in caplog.text


@pytest.mark.parametrize("gone", [(0,), (0, 1, 2, 3), (2, 3), (1, 4), (0, 1, 2, 3, 4, 5)])
@pytest.mark.parametrize("also", ["agent.json", "history.json", "", "session.json"])
def test_gaps_keep_the_rest_in_order_and_its_numbers(used: Bucket, gone: tuple[int, ...], also: str) -> None:
    before = used.s3.objects(BUCKET)
    remove(used, *(message(number) for number in gone))
    if also:
        remove(used, f"{FOLDER}/{also}" if also == "session.json" else f"{AGENT}/{also}")
    left = {key: body for key, body in before.items() if key in used.s3.objects(BUCKET)}

    used.turn("More")

    after = used.s3.objects(BUCKET)
    ids = sorted(int(key.rpartition("_")[2].removesuffix(".json")) for key in after if "/messages/" in key)
    kept = [number for number in range(6) if number not in gone]
    if ids[0] == 5 and 5 in gone:
        kept = [5]  # the last message was still in the agent's record, which made up for it
    next_id = ids[-2]
    assert ids == [*kept, next_id, next_id + 1]
    assert next_id >= max(kept, default=-1) + 1
    assert all(after[key] == body for key, body in left.items() if "/messages/" in key)
    assert used.said() == [*(ALL[number] for number in kept), *exchange("More")]


def test_offsets_do_not_shift_over_gaps(bucket: Bucket) -> None:
    prompts = [f"Turn {number}" for number in range(6)]
    for prompt in prompts:
        bucket.turn(prompt, agent_id="windowed")
    said = exchange(*prompts, agent_id="windowed")
    # A rule has removed what was no longer shown, and the derived copies; the window is whole.
    remove(bucket, *(message(number, "windowed") for number in range(len(said) - WINDOW)))
    bucket.client.put_object(
        Bucket=BUCKET,
        Key=f"{FOLDER}/agents/agent_windowed/agent.json",
        Body=_without_kit(bucket.s3.objects(BUCKET)[f"{FOLDER}/agents/agent_windowed/agent.json"]),
    )

    assert texts(bucket.agent(agent_id="windowed")) == said[-WINDOW:]


def _without_kit(body: bytes) -> bytes:
    import json

    record = json.loads(body)
    record.pop("kit")
    return json.dumps(record).encode()


def test_a_session_of_strands_alone_is_renewed_by_the_first_turn_of_ours(used: Bucket) -> None:
    import json

    # Given: records as Strands writes them, of different ages
    for key, body in used.s3.objects(BUCKET, FOLDER).items():
        record = json.loads(body)
        record.pop("kit", None)
        used.client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(record).encode())
    remove(used, f"{AGENT}/history.json")
    used.wait(0.5 * DAY)

    used.turn("Ours")

    assert max(used.ages().values()) == 0
    used.wait(6 * DAY + HOUR)
    assert used.said() == [*ALL, *exchange("Ours")]
    assert texts(used.agent()) == [*ALL, *exchange("Ours")]
    mark = json.loads(used.s3.objects(BUCKET)[f"{FOLDER}/session.json"])
    assert mark["kit"]["incarnation"] == f"created:{mark['created_at']}"


def test_the_rule_of_seven_days_that_wiped_strands_sessions_in_daily_use_does_not_touch_ours(bucket: Bucket) -> None:
    bucket.deploy(3)  # whose rule is one of seven days
    assert bucket.rule_days == 7
    for day in range(12):
        bucket.turn(f"Day {day}")
        bucket.wait(DAY)

    assert bucket.said() == exchange(*(f"Day {day}" for day in range(12)))
