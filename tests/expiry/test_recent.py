"""The sessions used last, and titles, as the library keeps them: what a turn costs, days, crashes, expiry, erasure."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from strands.session.s3_session_manager import S3SessionManager as StrandsS3SessionManager

from agent_sessions._life.recent_markers import erase_all_markers
from agent_sessions.exceptions import SessionException
from agent_sessions.session_store import SessionStore
from tests.doubles.s3.faults import Fault
from tests.doubles.s3_server import S3Server
from tests.expiry.world import BUCKET, DAY, HOUR, PREFIX, Bucket, exchange

TODAY, TOMORROW = "79486", "79485"
"""1 March 2026, when each test begins, and the day after, counted down."""


@pytest.fixture(scope="module")
def one_s3() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as server:
        yield server


@pytest.fixture
def bucket(one_s3: S3Server) -> Bucket:
    return Bucket(one_s3)


def talk(bucket: Bucket, session_id: str = "chat", prompt: str = "Hello", agent_id: str = "default") -> None:
    manager = bucket.manager(session_id, recent=True, agent_id=agent_id)
    bucket.agent(session_id, agent_id, session_manager=manager)(prompt)


def markers(bucket: Bucket) -> list[str]:
    """The markers, by day, session and agent."""
    keys = bucket.s3.objects(BUCKET, f"{PREFIX}/recent/")
    return sorted(key.removeprefix(f"{PREFIX}/recent/") for key in keys)


class ReadySession(boto3.Session):
    """Hands out one client, to managers that insist on making theirs."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def client(self, *_args: Any, **_options: Any) -> Any:
        return self._client


def marker(day: str, session_id: str = "chat", agent_id: str = "default") -> str:
    return f"{day}/session_{session_id}/agent_{agent_id}.json"


def listed(store: SessionStore, **given: int | str) -> list[str]:
    return [row.session_id for row in store.list_recent(**given).sessions]  # type: ignore[arg-type] # by their names


def spent(bucket: Bucket, turn: Callable[[], object]) -> Counter[str]:
    """The requests of a turn, but for the reads of a conversation's end: they go beside it, and may come behind it."""
    before = len(bucket.s3.log.entries)
    turn()
    entries = bucket.s3.log.entries[before:]
    return Counter(entry.verb for entry in entries if entry.verb != "GET" or "/messages/" not in entry.key)


def test_a_turn_costs_nothing_more_but_in_the_first_of_a_day(bucket: Bucket) -> None:
    bucket.ttl_days = 0  # renewals go beside a turn, at times of their own
    plain, kept = Counter[str](), Counter[str]()
    costs = []
    for day in range(2):
        for _ in range(2):
            plain = spent(bucket, lambda: bucket.turn("Hello", "plain", session_manager=bucket.manager("plain")))
            kept = spent(bucket, lambda: talk(bucket, "kept"))
            costs.append(kept - plain)
        bucket.wait(DAY) if not day else None

    # The session's first turn writes its marker and its title; the next day's writes one marker and removes another.
    # Each looks, behind its marker, whether the session has ended.
    assert costs == [{"PUT": 2, "GET": 1}, {}, {"PUT": 1, "GET": 1, "DELETE_OBJECTS": 1}, {}]
    assert markers(bucket) == [marker(TOMORROW, "kept")]


def test_days_follow_each_other_and_a_turn_belongs_to_the_day_on_which_it_began(bucket: Bucket) -> None:
    talk(bucket, "older")
    bucket.wait(8 * HOUR)  # 23:30
    agent = bucket.agent("late", session_manager=bucket.manager("late", recent=True))
    agent("Hello")
    bucket.wait(1 * HOUR)
    talk(bucket, "newer")
    talk(bucket, "older")

    assert markers(bucket) == [marker(TOMORROW, "newer"), marker(TOMORROW, "older"), marker(TODAY, "late")]
    assert listed(bucket.store) in (["newer", "older", "late"], ["older", "newer", "late"])
    agent("Again")
    assert markers(bucket) == sorted(marker(TOMORROW, name) for name in ("late", "newer", "older"))


def test_two_agents_of_a_session_are_one_row_at_the_later_day(bucket: Bucket) -> None:
    talk(bucket, agent_id="a")
    talk(bucket, agent_id="b")
    bucket.wait(DAY)
    talk(bucket, "other")
    bucket.wait(HOUR)
    talk(bucket, agent_id="b")

    assert markers(bucket) == [marker(TOMORROW, "chat", "b"), marker(TOMORROW, "other"), marker(TODAY, "chat", "a")]
    assert listed(bucket.store) == ["chat", "other"]
    first = bucket.store.list_recent(limit=1)
    assert first.next_cursor is not None
    assert listed(bucket.store, limit=1, cursor=first.next_cursor) == ["other"]
    second = bucket.store.list_recent(limit=1, cursor=first.next_cursor)
    assert second.next_cursor is None or listed(bucket.store, cursor=second.next_cursor) == []


@pytest.mark.parametrize("verb", ["PUT", "DELETE_OBJECTS"])
@pytest.mark.parametrize("applied", [True, False])
def test_a_marker_that_fails_harms_no_turn_and_the_next_turn_puts_it_right(
    bucket: Bucket, verb: str, applied: bool
) -> None:
    talk(bucket)
    bucket.wait(DAY)
    key = "*recent/*" if verb == "PUT" else "*"
    fault = bucket.s3.faults.add(Fault("drop", verb=verb, key=key, applied=applied))
    talk(bucket, prompt="Second")
    bucket.s3.faults.clear()

    assert fault.fired
    assert bucket.said() == exchange("Hello", "Second")
    assert listed(bucket.store) == ["chat"]
    talk(bucket, prompt="Third")
    assert markers(bucket) == [marker(TOMORROW)]
    assert listed(bucket.store) == ["chat"]


def test_whatever_write_a_first_turn_dies_at_the_next_one_lists_and_titles_the_session(bucket: Bucket) -> None:
    writes = spent(bucket, lambda: talk(bucket, "whole"))["PUT"]
    for nth in range(1, writes + 1):
        name = f"cut{nth}"
        bucket.s3.faults.add(Fault("drop", verb="PUT", key=f"*session_{name}/*", nth=nth, times=None))
        try:
            talk(bucket, name, "First words")
        except Exception as error:  # noqa: BLE001 - however the turn ends
            assert not isinstance(error, AssertionError)  # noqa: PT017
        bucket.s3.faults.clear()
        talk(bucket, name, "Next words")

        rows = {row.session_id: row.title for row in bucket.store.list_recent().sessions}
        assert rows[name] == bucket.said(name)[0]


def test_an_expired_session_is_not_listed_and_a_life_after_it_begins_without_its_markers(bucket: Bucket) -> None:
    talk(bucket)
    talk(bucket, "other")
    bucket.wait(7 * DAY + HOUR, rule_runs=False)
    talk(bucket, "new")

    assert listed(bucket.store) == ["new"]
    assert [key for key in markers(bucket) if "new" not in key] == []  # a page removes what it passes
    talk(bucket)
    assert sorted(listed(bucket.store)) == ["chat", "new"]


def test_the_rule_leaves_a_session_in_use_in_the_list(bucket: Bucket) -> None:
    for _ in range(6):
        talk(bucket)
        assert bucket.run_rule() == ()
        bucket.wait(6 * DAY)
        assert listed(bucket.store) == ["chat"]


def test_erasing_a_session_takes_the_markers_of_all_its_days_and_nobody_elses(bucket: Bucket) -> None:
    for _ in range(4):
        talk(bucket, "user1")
        talk(bucket, "user10")
        bucket.wait(DAY)
    # A crash has left one in between.
    bucket.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/recent/79484/session_user1/agent_default.json", Body=b"{}")
    bucket.s3.faults.add(Fault("drop", verb="DELETE_OBJECTS"))
    with pytest.raises(SessionException):
        bucket.store.delete_session("user1")
    bucket.store.delete_session("user1")

    assert [key for key in markers(bucket) if "user1/" in key] == []
    assert listed(bucket.store) == ["user10"]


def test_a_record_that_says_it_has_markers_since_1970_does_not_make_an_erasure_endless(bucket: Bucket) -> None:
    talk(bucket)
    key = f"{PREFIX}/session_chat/session.json"
    record = json.loads(bucket.s3.objects(BUCKET, key)[key])
    record["kit"]["recent"]["since"] = 0
    bucket.client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(record).encode())

    requests = spent(bucket, lambda: bucket.store.delete_session("chat"))

    assert requests.total() < 366 * 5  # not the 20,000 days since
    assert markers(bucket) == []


def test_renaming_is_no_use_and_expiry_comes_when_it_would_have(bucket: Bucket) -> None:
    talk(bucket)
    talk(bucket, "as it is")
    bucket.wait(6 * DAY)
    before = bucket.store.describe("chat")
    assert bucket.store.rename("chat", "Mine") == "Mine"

    assert bucket.store.describe("chat").expires_at == before.expires_at
    assert listed(bucket.store) == ["as it is", "chat"]
    bucket.wait(1 * DAY + HOUR)
    assert listed(bucket.store) == []
    assert bucket.store.sessions().session_ids == ()
    with pytest.raises(SessionException, match="does not exist"):
        bucket.store.rename("chat", "Again")


def test_a_renamed_session_is_renewed_as_it_would_have_been(bucket: Bucket) -> None:
    for number in range(8):
        talk(bucket, prompt=f"Prompt {number}")
        bucket.store.rename("chat", f"Title {number}")
        bucket.wait(5 * DAY)

    assert bucket.said() == exchange(*(f"Prompt {number}" for number in range(8)))
    assert bucket.store.describe("chat").title == "Title 7"


def test_a_session_of_strands_gets_a_title_with_its_next_turn(bucket: Bucket) -> None:
    bucket.turn("First words", session_manager=bucket.manager())
    assert bucket.store.describe("chat").title == "First words"
    assert (listed(bucket.store), bucket.store.sessions().sessions[0].title) == ([], None)

    talk(bucket, prompt="Later")

    assert bucket.store.list_recent().sessions[0].title == "First words"


def test_a_title_is_redacted_with_its_prompt_in_every_version_of_the_record(bucket: Bucket) -> None:
    bucket.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    manager = bucket.manager(recent=True)
    agent = bucket.agent(session_manager=manager)
    agent.messages.append({"role": "user", "content": [{"text": "My secret is 1234"}]})
    manager.append_message(agent.messages[-1], agent)
    talk(bucket, prompt="Later")
    assert bucket.store.describe("chat").title == "My secret is 1234"

    repository = bucket.manager(recent=True)
    first = repository.read_message("chat", "default", 0)
    assert first is not None
    first.message = first.redact_message = {"role": "user", "content": [{"text": "[redacted]"}]}
    repository.update_message("chat", "default", first)

    assert bucket.store.describe("chat").title == "[redacted]"
    key = f"{PREFIX}/session_chat/session.json"
    versions = bucket.client.list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]
    bodies = [
        bucket.client.get_object(Bucket=BUCKET, Key=key, VersionId=each["VersionId"])["Body"].read()
        for each in versions
    ]
    assert all(b"secret" not in body for body in bodies)


def test_in_a_bucket_that_keeps_versions_erasure_leaves_none_of_a_marker(bucket: Bucket) -> None:
    bucket.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for _ in range(3):
        talk(bucket)
        bucket.wait(DAY, rule_runs=False)

    bucket.store.delete_session("chat")

    listed_versions = bucket.client.list_object_versions(Bucket=BUCKET, Prefix=f"{PREFIX}/recent/")
    assert (listed_versions.get("Versions", []), listed_versions.get("DeleteMarkers", [])) == ([], [])


def test_a_turn_in_a_session_that_was_erased_leaves_no_marker(bucket: Bucket) -> None:
    talk(bucket)
    agent = bucket.agent(session_manager=bucket.manager(recent=True))
    bucket.wait(DAY)
    bucket.store.delete_session("chat")

    with pytest.raises(SessionException):
        agent("Too late")

    assert markers(bucket) == []


def test_a_turn_that_comes_late_leaves_the_next_lifes_marker(bucket: Bucket) -> None:
    talk(bucket)
    agent = bucket.agent(session_manager=bucket.manager(recent=True))
    bucket.wait(DAY)
    bucket.store.delete_session("chat")
    talk(bucket, prompt="Anew")

    with pytest.raises(SessionException):
        agent("Too late")

    assert markers(bucket) == [marker(TOMORROW)]


@pytest.mark.parametrize("again", ["erased", "begun"])
def test_a_marker_that_a_late_turn_died_behind_goes_with_what_else_it_has_left(bucket: Bucket, again: str) -> None:
    talk(bucket)
    agent = bucket.agent(session_manager=bucket.manager(recent=True))
    bucket.store.delete_session("chat")
    with pytest.raises(SessionException):
        agent("Too late")
    # As if its process had died before it looked whether the session has ended.
    bucket.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/recent/{marker(TODAY)}", Body=b"{}")

    bucket.wait(2 * DAY)
    bucket.store.delete_session("chat") if again == "erased" else talk(bucket)

    assert [key for key in markers(bucket) if key.startswith(TODAY)] == []


@pytest.mark.parametrize("stale_day", ["before", "of a turn of Strands'"])
def test_an_older_marker_of_the_same_agent_is_passed_and_removed(bucket: Bucket, stale_day: str) -> None:
    talk(bucket)
    talk(bucket, "other")
    old = f"{PREFIX}/recent/{marker(TODAY)}"
    bucket.wait(DAY)
    if stale_day == "before":
        talk(bucket)
        bucket.client.put_object(Bucket=BUCKET, Key=old, Body=b"{}")  # as if it had died before its removal
    else:
        # A turn that died when its marker stood: its agent's record is of the day before.
        bucket.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/recent/{marker(TOMORROW)}", Body=b"{}")

    first = bucket.store.list_recent(limit=1)
    assert [row.session_id for row in first.sessions] == ["chat"]
    assert first.next_cursor is not None
    assert listed(bucket.store, cursor=first.next_cursor) == ["other"]
    assert markers(bucket) == [marker(TOMORROW), marker(TODAY, "other")]


@pytest.mark.parametrize("days", [1, 20])
def test_a_session_that_strands_alone_goes_on_with_for_days_is_listed_once(bucket: Bucket, days: int) -> None:
    bucket.ttl_days = 0
    bucket.rule_days = None
    talk(bucket, agent_id="a")
    talk(bucket, agent_id="b")
    bucket.wait(DAY)
    talk(bucket, agent_id="b")
    bucket.wait(days * DAY)
    strands = StrandsS3SessionManager("chat", BUCKET, PREFIX, boto_session=ReadySession(bucket.client))
    bucket.agent(agent_id="b", session_manager=strands)("Again")

    assert bucket.said(agent_id="b")[-2:] == exchange("Again", agent_id="b")
    assert len(markers(bucket)) == 2
    assert listed(bucket.store) == ["chat"]
    first = bucket.store.list_recent(limit=1)
    assert first.next_cursor is None or listed(bucket.store, cursor=first.next_cursor) == []


def test_a_fork_that_cannot_be_listed_does_not_live_and_one_that_lives_is_listed(bucket: Bucket) -> None:
    talk(bucket)
    talk(bucket, prompt="Second")
    bucket.s3.faults.add(Fault("error", verb="PUT", key="*recent/*session_fork/*", code="InternalError"))
    with pytest.raises(SessionException):
        bucket.store.fork("chat", before_message=2, fork_id="fork")
    assert bucket.store.sessions().session_ids == ("chat",)
    assert markers(bucket) == [marker(TODAY)]

    # Whoever lists between the marker and the session's record leaves the marker alone.
    held = bucket.s3.faults.add(Fault("hold", verb="PUT", key="*session_fork/session.json", nth=3))
    with ThreadPoolExecutor(1) as other:
        forking = other.submit(bucket.store.fork, "chat", before_message=2, fork_id="fork")
        assert held.arrived.wait(60)
        assert marker(TODAY, "fork") in markers(bucket)
        assert listed(bucket.store) == ["chat"]
        held.release()
        forking.result()

    assert sorted(listed(bucket.store)) == ["chat", "fork"]
    bucket.store.delete_session("fork")
    assert markers(bucket) == [marker(TODAY)]


def test_markers_of_a_fork_that_died_are_removed_when_it_comes_no_more(bucket: Bucket) -> None:
    talk(bucket)
    talk(bucket, prompt="Second")
    bucket.s3.faults.add(Fault("error", verb="PUT", key="*session_fork/session.json", nth=3, code="InternalError"))
    bucket.s3.faults.add(Fault("error", verb="DELETE_OBJECTS", code="AccessDenied", times=None))
    bucket.s3.faults.add(Fault("error", verb="DELETE", code="AccessDenied", times=None))
    with pytest.raises(SessionException):
        bucket.store.fork("chat", before_message=2, fork_id="fork")
    bucket.s3.faults.clear()
    assert listed(bucket.store) == ["chat"]
    assert marker(TODAY, "fork") in markers(bucket)

    bucket.wait(DAY + HOUR)

    assert listed(bucket.store) == ["chat"]
    assert markers(bucket) == [marker(TODAY)]


def test_who_may_not_delete_pays_once_a_day_and_the_reader_removes(bucket: Bucket) -> None:
    bucket.ttl_days = 0
    talk(bucket)
    bucket.wait(DAY)
    bucket.s3.faults.add(Fault("error", verb="DELETE_OBJECTS", code="AccessDenied", times=None))
    talk(bucket)

    again = len(bucket.s3.log.entries)
    talk(bucket)
    bucket.s3.faults.clear()

    assert [entry for entry in bucket.s3.log.entries[again:] if "/recent/" in entry.key] == []
    assert markers(bucket) == [marker(TOMORROW), marker(TODAY)]
    assert listed(bucket.store) == ["chat"]
    assert markers(bucket) == [marker(TOMORROW)]


def test_erasing_all_leaves_the_markers_of_the_living_alone(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(bucket)
    talk(bucket, "left")
    key = f"{PREFIX}/session_left/agents/agent_default/agent.json"
    bucket.s3.faults.add(Fault("key_error", key=key, code="AccessDenied", times=None))

    def begin_first(*given: Any) -> bool:
        talk(bucket, "new")  # a session that begins behind the last pass
        return erase_all_markers(*given)

    monkeypatch.setattr("agent_sessions._life.owner_erasure.erase_all_markers", begin_first)
    receipt = bucket.store.erase_all()

    assert receipt.left_count == 1
    assert markers(bucket) == [marker(TODAY, "new")]
    assert listed(bucket.store) == ["new"]
