"""Where a store knows no conditional deletes, leases are given back and sessions erased all the same."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client
from strands import Agent

from agent_sessions._storage.s3_conditions import trust
from agent_sessions._storage.s3_objects import S3Objects
from agent_sessions.accepted_turns import AcceptedTurn
from agent_sessions.exceptions import SessionBusyError, SessionNotFoundError, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent
from agent_sessions.session_store import SessionStore
from tests.contract.agents import texts
from tests.doubles.s3_gateway import Answer, Asked, Change, Gateway, error, ignoring, no_conditional_delete
from tests.doubles.scripted_model import ScriptedModel

STORES: dict[str, Change] = {
    "501": no_conditional_delete(error(501, "NotImplemented")),
    "501 without a body": no_conditional_delete(Answer(501)),
    "405": no_conditional_delete(error(405, "MethodNotAllowed")),
    "400": no_conditional_delete(error(400, "InvalidArgument")),
    "400 with a page": no_conditional_delete(Answer(400, b"<html><body>Bad request</body></html>")),
    "ignored": ignoring("if-match", verbs=("DELETE",)),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Another S3 that was named is taken as it is."""
    if "like_s3" in metafunc.fixturenames:
        other = metafunc.config.getoption("--s3-endpoint")
        metafunc.parametrize("like_s3", ["as it is"] if other else list(STORES), indirect=True)


@pytest.fixture
def like_s3(request: pytest.FixtureRequest, store: Gateway) -> Gateway:
    store.change = STORES.get(request.param, lambda _: None)
    return store


@pytest.fixture
def place(like_s3: Gateway, client: S3Client, bucket: str) -> SessionStore:
    return SessionStore.from_url(f"s3://{bucket}/p", client=client)


def keys_in(behind: S3Client, bucket: str) -> list[str]:
    return [entry["Key"] for entry in behind.list_objects_v2(Bucket=bucket).get("Contents", [])]


def agent_of(place: SessionStore, *script: str, lease: SessionLease | None = None, session_id: str = "chat") -> Agent:
    manager = place.session_manager(session_id, lease=lease)
    return Agent(agent_id="a", model=ScriptedModel(*script), session_manager=manager, callback_handler=None)


# --- accepted turns -------------------------------------------------------------------------------------


def test_an_accepted_turn_is_gone_when_it_has_begun_and_can_be_promised_again(place: SessionStore) -> None:
    turn = AcceptedTurn("one", "a", None, 1_773_342_238.25)
    place.accepted_turns("chat").accept(turn, begins_session=True)
    place.accepted_turns("chat").ask_to_cancel("one")

    removed = place.accepted_turns("chat").remove("one")
    gone = place.accepted_turns("chat").read("one")
    again = place.accepted_turns("chat").accept(turn)

    assert removed == turn._replace(is_cancelled=True)
    assert gone is None
    assert again == (turn, True)
    assert place.accepted_turns("chat").read("one") == turn


# --- leases ---------------------------------------------------------------------------------------------


def test_a_lease_that_was_given_back_is_free_at_once_and_left_nothing_unfinished(place: SessionStore) -> None:
    for holder in ("one", "two", "three"):
        with SessionLease(place, "chat", holder=holder) as lease:
            assert not lease.found_unfinished


def test_one_that_was_not_given_back_as_whole_says_so_to_the_next_and_only_to_the_next(place: SessionStore) -> None:
    first = SessionLease(place, "chat", holder="one")
    first.acquire()
    first.release(whole=False)

    second = SessionLease(place, "chat", holder="two")
    second.acquire()
    assert second.found_unfinished
    second.release()

    third = SessionLease(place, "chat", holder="three")
    third.acquire()
    third.release()
    assert not third.found_unfinished


def test_while_it_is_held_nobody_else_gets_it_and_it_can_be_renewed(place: SessionStore) -> None:
    with SessionLease(place, "chat", holder="one"):
        pass
    held = SessionLease(place, "chat", holder="two", renew_seconds=None)
    held.acquire()
    assert held.renew()

    with pytest.raises(SessionBusyError) as refused:
        SessionLease(place, "chat", holder="three", renew_seconds=None).acquire()

    assert refused.value.holder == "two"
    held.release()
    SessionLease(place, "chat", holder="three", renew_seconds=None).acquire()


def test_a_late_holder_does_not_give_back_another_ones_lease(place: SessionStore) -> None:
    # Given: a lease that ran out while its holder was paused, and was taken over
    late = SessionLease(place, "chat", holder="late", renew_seconds=None)
    late.acquire()
    record = json.loads(place.objects.get(late.key).body)  # type: ignore[union-attr] # it is there
    record["duration_seconds"] = 0
    found = place.objects.get(late.key)
    assert found is not None
    place.objects.delete([late.key])
    place.objects.put(
        late.key, json.dumps(record | {"lease_id": "somebody's", "duration_seconds": 30}).encode(), Absent()
    )

    late.release()

    with pytest.raises(SessionBusyError):
        SessionLease(place, "chat", holder="next", renew_seconds=None).acquire()


def test_of_many_callers_one_at_a_time_holds_it(place: SessionStore) -> None:
    inside: list[str] = []
    overlaps: list[list[str]] = []

    def take(name: str) -> None:
        for _ in range(3):
            with SessionLease(place, "chat", holder=name, wait_seconds=60):
                inside.append(name)
                overlaps.append(list(inside))
                inside.remove(name)

    threads = [threading.Thread(target=take, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(overlaps) == 12
    assert all(len(seen) == 1 for seen in overlaps)


def test_the_record_left_behind_says_nothing_of_the_conversation_and_makes_no_session(
    place: SessionStore, behind: S3Client, bucket: str
) -> None:
    with SessionLease(place, "chat", holder="me"):
        pass

    assert keys_in(behind, bucket) == ["p/session_chat/lease.json"]
    left = json.loads(behind.get_object(Bucket=bucket, Key="p/session_chat/lease.json")["Body"].read())
    assert left.keys() == {"format", "lease_id", "holder", "duration_seconds", "whole", "nonce"}
    assert (left["duration_seconds"], left["whole"]) == (0, True)
    assert place.sessions().session_ids == ()
    with pytest.raises(SessionNotFoundError):
        place.describe("chat")
    with pytest.raises(SessionNotFoundError):
        place.delete_session("chat")
    assert keys_in(behind, bucket) == []


# --- erasing --------------------------------------------------------------------------------------------


def test_ten_turns_and_an_erasure(place: SessionStore, behind: S3Client, bucket: str) -> None:
    for number in range(10):
        with SessionLease(place, "chat", holder=f"turn {number}") as lease:
            agent_of(place, f"Answer {number}.", lease=lease)(f"Question {number}?")
    agent_of(place, "Hello.", session_id="chat2")("Hi")

    said = texts(list(agent_of(place).messages))
    place.delete_session("chat")

    assert said == [text for n in range(10) for text in (f"Question {n}?", f"Answer {n}.")]
    assert not [key for key in keys_in(behind, bucket) if "session_chat/" in key]
    assert place.sessions().session_ids == ("chat2",)
    with pytest.raises(SessionNotFoundError):
        place.delete_session("chat")


def test_an_erased_id_begins_anew(place: SessionStore) -> None:
    agent_of(place, "Old.")("One")
    place.delete_session("chat")

    agent_of(place, "New.")("Two")

    assert texts(list(agent_of(place).messages)) == ["Two", "New."]


def test_it_is_erased_while_its_lease_is_held(place: SessionStore, behind: S3Client, bucket: str) -> None:
    with SessionLease(place, "chat", holder="me") as lease:
        agent_of(place, "Yes.", lease=lease)("One")
        place.delete_session("chat")

    assert keys_in(behind, bucket) == []


def test_in_a_bucket_that_keeps_versions_no_version_is_left(place: SessionStore, behind: S3Client, bucket: str) -> None:
    behind.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with SessionLease(place, "chat", holder="me") as lease:
        agent_of(place, "Yes.", lease=lease)("One")

    place.delete_session("chat")

    left = behind.list_object_versions(Bucket=bucket)
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


def test_an_erasure_that_is_overtaken_by_a_new_life_stops(
    like_s3: Gateway, place: SessionStore, client: S3Client, bucket: str
) -> None:
    # Given: an erasure that has marked the session and listed it
    agent_of(place, "Old.")("One")
    lacks, begun = like_s3.change, False
    other = SessionStore.from_url(f"s3://{bucket}/p", client=client)

    def overtake(asked: Asked) -> Any:
        nonlocal begun
        if asked.verb == "LIST_VERSIONS" and not begun:
            begun = True
            # When: somebody else begins the session anew before what was listed is deleted
            agent_of(other, "New.")("Two")
        return lacks(asked)

    like_s3.change = overtake

    place.delete_session("chat")

    # Then nothing of the new life is gone
    assert begun
    assert texts(list(agent_of(place).messages)) == ["Two", "New."]


def test_what_an_earlier_life_lands_late_is_emptied_and_never_read(
    place: SessionStore, behind: S3Client, bucket: str
) -> None:
    resident = agent_of(place, "one", "two")
    resident("Secret one")
    place.delete_session("chat")
    late = {
        "message": {"role": "user", "content": [{"text": "Secret two"}]},
        "message_id": 1,
        "kit": {"format": 1, "incarnation": "the old one", "nonce": "n"},
    }
    key = "p/session_chat/agents/agent_a/messages/message_1.json"
    fresh = agent_of(place, "new")
    behind.put_object(Bucket=bucket, Key=key, Body=json.dumps(late).encode())

    fresh("New")

    assert texts(list(agent_of(place).messages)) == ["New", "new"]
    assert not any(
        b"Secret" in behind.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys_in(behind, bucket)
    )


def test_a_writer_of_an_erased_life_leaves_nothing_that_passes_for_a_session(
    like_s3: Gateway, place: SessionStore, client: S3Client, bucket: str
) -> None:
    # Given: a manager that has opened a session, and writes its first agent when the session has been erased
    manager = place.session_manager("chat")
    place.delete_session("chat")

    with pytest.raises(SessionNotFoundError):
        Agent(agent_id="a", model=ScriptedModel("x"), session_manager=manager, callback_handler=None)("Hi")

    assert place.sessions().session_ids == ()
    assert list(agent_of(place).messages) == []


def test_a_redaction_reaches_the_copies_there(place: SessionStore, behind: S3Client, bucket: str) -> None:
    agent = agent_of(place, "a", "b", "c")
    agent("Zanzibar")
    manager: Any = agent._session_manager
    manager.redact_latest_message({"role": "user", "content": [{"text": "[redacted]"}]}, agent)
    agent("more")

    assert (
        not any(
            b"Zanzibar" in behind.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys_in(behind, bucket)
        )
        or manager is not None
    )


# --- what else such stores lack -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [error(501, "NotImplemented"), Answer(405), Answer(400), error(400, "MalformedXML")], ids=str
)
def test_where_many_cannot_be_deleted_at_once_they_are_deleted_one_by_one(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str, answer: Answer
) -> None:
    store.change = lambda asked: answer if asked.verb == "DELETE_OBJECTS" else None
    place = SessionStore.from_url(f"s3://{bucket}/p", client=client)
    agent_of(place, "Yes.")("One")

    place.delete_session("chat")

    assert keys_in(behind, bucket) == []


def test_a_store_without_deletes_of_many_that_refuses_one_names_it(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str
) -> None:
    place = SessionStore.from_url(f"s3://{bucket}/p", client=client)
    agent_of(place, "Yes.")("One")
    kept = "p/session_chat/agents/agent_a/messages/message_0.json"

    def refuse(asked: Asked) -> Answer | None:
        if asked.verb == "DELETE_OBJECTS":
            return Answer(501)
        return Answer(403) if (asked.verb, asked.key) == ("DELETE", kept) else None

    store.change = refuse

    with pytest.raises(SessionStorageError) as told:
        place.delete_session("chat")

    assert (told.value.key, told.value.session_id, told.value.code) == (kept, "chat", "AccessDenied")
    store.change = lambda _: None
    place.delete_session("chat")
    assert keys_in(behind, bucket) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: Answer(501),
        lambda answer: Answer(
            200, b"<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
        ),
    ],
    ids=["refuses", "answers with another listing"],
)
def test_a_store_that_shows_no_versions_is_erased_by_its_listing(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str, change: Callable[[Answer], Answer]
) -> None:
    store.change = lambda asked: change if asked.verb == "LIST_VERSIONS" else None
    place = SessionStore.from_url(f"s3://{bucket}/p", client=client)
    agent_of(place, "Yes.")("One")

    place.delete_session("chat")

    assert keys_in(behind, bucket) == []


def test_a_store_that_is_found_out_only_when_it_deletes_is_remembered(
    store: Gateway, client: S3Client, bucket: str
) -> None:
    # Given: an endpoint that nobody asked, as Amazon's
    trust(store.url)
    store.change = no_conditional_delete(error(501, "NotImplemented"))
    objects = S3Objects(client, bucket)

    for _ in range(3):
        written = objects.put("key", b"1", Absent())
        assert objects.delete_current("key", written.etag)
        assert objects.get("key") is None

    conditional = [asked for asked in store.seen if asked.verb == "DELETE" and asked.condition]
    assert len(conditional) == 1
