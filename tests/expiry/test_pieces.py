"""A long session is renewed in pieces: a bounded number of objects a turn, the oldest first, and nothing of it is lost.

The numbers are made small here, so that a session of some dozens of messages is a long one.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions._life import key_listing, renewal, renewal_share
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.expiry import renewal_days, slack_days
from tests.contract.orchestra import build_graph
from tests.doubles.s3_server import Fault
from tests.expiry.world import BUCKET, DAY, HOUR, PREFIX, Bucket, exchange, texts

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = f"{PREFIX}/session_chat/"
TURNS = 10
MOST = 6


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a thousand objects elsewhere is six here."""
    monkeypatch.setattr(renewal_share, "FEWEST_OBJECTS", 3)
    monkeypatch.setattr(renewal_share, "MOST_OBJECTS", MOST)
    monkeypatch.setattr(renewal, "STEP_OBJECTS", 2)
    monkeypatch.setattr(key_listing, "PAGE", 5)


@pytest.fixture
def long(bucket: Bucket) -> Bucket:
    """A session of twenty messages that has just been used."""
    for number in range(TURNS):
        bucket.turn(f"Turn {number}")
    return bucket


ALL = exchange(*(f"Turn {number}" for number in range(TURNS)))


def record(bucket: Bucket) -> dict[str, Any]:
    """What stands under ``kit`` in the session's record."""
    found: dict[str, Any] = json.loads(bucket.s3.objects(BUCKET)[f"{FOLDER}session.json"])["kit"]
    return found


def renewed(bucket: Bucket, use: Callable[[], object]) -> list[str]:
    """The messages from before that a turn has written, in order; one that was sent again stands there once."""
    before = {key for key in bucket.ages() if "message_" in key}
    bucket.s3.log.take()
    use()
    written = [entry.key.removeprefix(FOLDER) for entry in bucket.s3.log.take() if entry.verb == "PUT"]
    return [key for key in dict.fromkeys(written) if key in before]


def number_of(key: str) -> int:
    return int(key.rpartition("_")[2].removesuffix(".json"))


def test_a_turn_renews_a_piece_and_the_next_one_goes_on_behind_it(long: Bucket) -> None:
    long.wait(DAY)

    first = renewed(long, lambda: long.turn("First"))
    long.wait(6 * HOUR)
    second = renewed(long, lambda: long.turn("Second"))

    assert 0 < len(first) <= MOST
    assert 0 < len(second) <= MOST
    assert not set(first) & set(second)
    assert sorted(first) < sorted(second)  # keys in the order of a listing
    assert len(record(long)["ages"]) >= 2


def test_daily_turns_renew_all_of_it_in_time_and_none_renews_much_more_than_another(long: Bucket) -> None:
    pieces = []
    for number in range(12):
        long.wait(DAY)
        pieces.append(len(renewed(long, lambda: long.turn(f"Day {number}"))))  # noqa: B023 - called at once
        assert max(long.ages().values()) <= 4 * renewal_days(7)

    assert max(pieces) <= MOST
    assert long.said()[:20] == ALL


def test_the_oldest_come_first(long: Bucket) -> None:
    # Given: everything has been renewed but a few, which somebody else's copy has made older
    long.wait(DAY)
    for number in range(30):
        if number >= 6 and "ages" not in record(long):
            break  # a turn that ends early renews less, and all are of one age some turns later
        long.turn(f"More {number}")
    assert max(long.ages().values()) < 1
    long.wait(DAY / 2)
    assert "ages" not in record(long)

    # When
    long.wait(DAY / 2)
    first = renewed(long, lambda: long.turn("First"))
    long.wait(DAY)
    second = renewed(long, lambda: long.turn("Second"))

    # Then
    assert first
    assert second
    assert not set(first) & set(second)


@pytest.mark.parametrize("nth", [3, 6, 9])
@pytest.mark.parametrize("applied", [False, True])
def test_what_a_turn_that_dies_has_renewed_is_not_renewed_again(long: Bucket, nth: int, applied: bool) -> None:
    # Given: a process that loses its storage in the middle of its piece, for good
    long.wait(DAY)
    long.s3.faults.add(Fault("drop", verb="PUT", nth=nth, times=None, applied=applied))
    died = renewed(long, lambda: _tried(long))
    long.s3.faults.clear()

    # When
    after = renewed(long, lambda: long.turn("After"))

    # Then: at most the step that was under way is repeated
    assert len(set(died) & set(after)) <= renewal.STEP_OBJECTS
    assert long.said()[:20] == ALL


def _tried(bucket: Bucket) -> None:
    try:
        bucket.turn("Dies")
    except Exception:  # noqa: BLE001 - whatever the loss shows itself as
        return


def test_a_turn_whose_time_is_over_renews_nothing_and_succeeds_while_the_objects_are_young(long: Bucket) -> None:
    long.wait(DAY)

    piece = renewed(long, lambda: long.turn("Late", session_manager=long.manager(time_left=lambda: 0.5)))

    assert piece == []
    assert long.said()[-2:] == exchange("Late")


def test_turns_that_run_out_of_time_one_after_the_other_renew_all_that_is_due(long: Bucket) -> None:
    # Given: a session whose turns could not renew it, so that everything is too old
    long.wait(5 * DAY)
    long.turn("Nothing renewed", session_manager=long.manager(time_left=lambda: 0.0))
    long.wait(5 * DAY)

    def steps_left(count: int) -> Callable[[], float]:
        """Time for so many steps."""
        left = iter([10.0] * count)
        return lambda: next(left, 0.0)

    # When: each turn has time for three steps
    refusals = []
    for _ in range(20):
        try:
            long.turn("Again", session_manager=long.manager(time_left=steps_left(4)))
            break
        except SessionStorageError as error:
            refusals.append((error.code, error.is_transient))

    # Then: in the end one succeeds, all of the session is there, and it lives on
    assert 1 < len(refusals) < 12
    assert set(refusals) == {("RenewalUnfinished", True)}
    assert max(long.ages().values()) < slack_days(7)
    assert "used_until" not in record(long)
    long.wait(6.9 * DAY)
    assert long.said()[:20] == ALL


def test_a_session_whose_turns_fail_ends_before_the_rule_and_whole(long: Bucket) -> None:
    # Given: turns that cannot renew what is too old
    long.wait(5 * DAY)
    long.turn("Nothing renewed", session_manager=long.manager(time_left=lambda: 0.0))
    long.wait(5 * DAY)
    for _ in range(3):
        with pytest.raises(SessionStorageError):
            long.turn("Again", session_manager=long.manager(time_left=lambda: 0.0))
    used = datetime.fromisoformat(long.store.describe("chat").last_used_at or "")

    # Then: what they wrote does not make it live longer than its oldest objects can last
    assert used < long.now
    while long.store.sessions().session_ids:
        assert long.run_rule() == ()
        assert long.said()[:20] == ALL
        long.wait(HOUR * 5, rule_runs=False)
    assert long.now > used + timedelta(days=7)
    assert texts(long.agent()) == []


def test_strands_goes_on_with_a_session_whose_turns_of_ours_failed_and_it_lives(long: Bucket) -> None:
    long.wait(5 * DAY)
    long.turn("Nothing renewed", session_manager=long.manager(time_left=lambda: 0.0))
    long.wait(5 * DAY)
    with pytest.raises(SessionStorageError):
        long.turn("Again", session_manager=long.manager(time_left=lambda: 0.0))
    long.wait(6 * DAY, rule_runs=False)
    key = f"{FOLDER}agents/agent_default/agent.json"
    content = json.loads(long.s3.objects(BUCKET)[key])
    content.pop("kit")  # as Strands' manager writes it
    long.client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(content).encode())
    long.wait(3 * DAY, rule_runs=False)

    assert long.said()[:20] == ALL
    assert texts(long.agent())[:20] == ALL


def test_two_processes_that_renew_at_once_know_together_what_each_has_done(long: Bucket) -> None:
    long.turn("Begun", agent_id="other")
    long.wait(DAY)
    held = long.s3.faults.add(Fault("hold", verb="PUT", key="*session.json"))
    other = long.agent(agent_id="other")

    def meanwhile(_: Any) -> str:
        assert held.arrived.wait(30)
        other("Meanwhile")
        held.release()
        return "Hello from default."

    from tests.doubles.scripted_model import ScriptedModel

    long.turn("Slow", model=ScriptedModel(meanwhile))

    kit, ages = record(long), long.ages()
    oldest = long.now - timedelta(days=max(age for key, age in ages.items() if key != "session.json"))
    assert datetime.fromisoformat(kit["renewed_at"]) <= oldest
    assert long.said()[:20] == ALL


def test_after_the_longest_silence_the_turns_of_some_days_share_what_is_to_be_renewed(long: Bucket) -> None:
    # Given: turns that keep up
    for number in range(10):
        long.wait(DAY / 4)
        long.turn(f"Usual {number}")
    assert max(long.ages().values()) <= renewal_days(7)
    long.wait(6.99 * DAY)

    # When it is used again
    pieces = []
    for number in range(4):
        pieces.append(len(renewed(long, lambda: long.turn(f"Back {number}"))))  # noqa: B023 - called at once
        long.wait(DAY)

    # Then
    assert max(pieces) <= 40 / renewal_days(7)
    assert long.said()[:20] == ALL
    assert len(long.said()) == 20 + 20 + 8


def test_an_older_kit_that_renews_everything_and_moves_the_mark_is_believed(long: Bucket) -> None:
    long.wait(DAY)
    long.turn("In pieces")
    key = f"{FOLDER}session.json"
    assert "ages" in record(long)
    for name, body in long.s3.objects(BUCKET, FOLDER).items():
        long.client.put_object(Bucket=BUCKET, Key=name, Body=body)
    content = json.loads(long.s3.objects(BUCKET)[key])
    content["kit"]["renewed_at"] = long.now.isoformat()
    long.client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(content).encode())
    long.wait(DAY - HOUR)

    assert renewed(long, lambda: long.turn("Nothing is due")) == []


@pytest.mark.parametrize("damage", [7, "soon", None, [], {"a": 1}, [["x", "y", "z"]], [[None, "2999-01-01", 3]]])
def test_a_value_that_is_no_list_of_ages_does_no_harm(long: Bucket, damage: object) -> None:
    key = f"{FOLDER}session.json"
    content = json.loads(long.s3.objects(BUCKET)[key])
    content["kit"] |= {"ages": damage, "renewed_at": long.now.isoformat(), "used_until": damage}
    long.client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(content).encode())

    for number in range(8):
        long.wait(DAY / 2)
        long.turn(f"On {number}")

    assert max(long.ages().values()) <= 2 * renewal_days(7)
    assert long.said()[:20] == ALL


def test_a_graph_that_stores_after_each_node_renews_one_piece_and_not_one_a_node(bucket: Bucket) -> None:
    for _ in range(8):
        bucket.turn("Hello", session_id="graph", agent_id="talker")
    build_graph(bucket.manager("graph"), [])("First")
    bucket.wait(DAY)
    bucket.s3.log.take()

    build_graph(bucket.manager("graph"), [])("Second")

    written = [entry.key for entry in bucket.s3.log.take() if entry.verb == "PUT" and "message_" in entry.key]
    assert 0 < len(written) <= MOST


def test_a_long_session_of_strands_is_taken_over_in_pieces_and_no_turn_fails_for_it(bucket: Bucket) -> None:
    # Given: records as Strands writes them, older than the slack; no rule has been at work
    for number in range(TURNS):
        bucket.turn(f"Turn {number}")
    for key, body in bucket.s3.objects(BUCKET, FOLDER).items():
        content = json.loads(body)
        content.pop("kit", None)
        bucket.client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(content).encode())
    bucket.wait((slack_days(7) + 3) * DAY, rule_runs=False)
    key = f"{FOLDER}agents/agent_default/agent.json"
    bucket.client.put_object(Bucket=BUCKET, Key=key, Body=bucket.s3.objects(BUCKET)[key])  # a turn of Strands'

    # When
    pieces = []
    for number in range(8):
        pieces.append(len(renewed(bucket, lambda: bucket.turn(f"Ours {number}"))))  # noqa: B023 - called at once
        bucket.wait(HOUR)

    # Then
    assert max(pieces) <= MOST
    assert sum(pieces) >= 20
    assert max(bucket.ages().values()) < 1
    assert "adopting" not in record(bucket)
    assert bucket.said()[:20] == ALL
