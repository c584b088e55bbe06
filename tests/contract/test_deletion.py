"""The contract for erasing a session: all of it, nothing else, or an error that names what is left."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from moto.backends import get_backend

from tests.contract.agents import open_agent, texts
from tests.contract.places import BucketPlace
from tests.contract.s3_answers import answering, s3_answer
from tests.contract.subjects import Subject

STORED_SUBJECTS = ("file", "s3", "s3-kms", "strands-file", "strands-s3")


@pytest.fixture(params=STORED_SUBJECTS)
def erasable(request: pytest.FixtureRequest, make_subject: Any) -> Subject:
    """Every implementation that can erase a session; the custom repository's contract has no such verb."""
    found: Subject = make_subject(request.param)
    return found


def keys_of(subject: Subject, session_id: str) -> list[str]:
    return [key for key in subject.stored.keys() if key.startswith(f"session_{session_id}/")]  # noqa: SIM118 - a method of Place


def test_a_deleted_session_is_gone_with_everything_in_it(erasable: Subject) -> None:
    agent = open_agent(erasable, "Hi.", session_id="s1", state={"x": 1})
    agent("Hello")
    assert keys_of(erasable, "s1")

    erasable.manager("other").delete_session("s1")

    assert keys_of(erasable, "s1") == []
    assert erasable.repository().read_session("s1") is None
    assert open_agent(erasable, session_id="s1").messages == []


def test_neighbours_with_similar_names_are_left_alone(erasable: Subject) -> None:
    for session_id in ("user1", "user10", "user1 ", "user", "user1_x"):
        open_agent(erasable, f"I am {session_id}.", session_id=session_id)("Who?")

    erasable.repository().delete_session("user1")

    assert keys_of(erasable, "user1") == []
    for session_id in ("user10", "user1 ", "user", "user1_x"):
        restored = open_agent(erasable, session_id=session_id)
        assert texts(list(restored.messages)) == ["Who?", f"I am {session_id}."]


def test_deleting_a_session_that_is_not_there_says_so(erasable: Subject) -> None:
    with pytest.raises(erasable.session_exception):
        erasable.repository().delete_session("nobody")


def test_the_error_is_a_not_found_error_naming_the_session(ours_stored: Subject) -> None:
    from agent_sessions.exceptions import SessionNotFoundError

    with pytest.raises(SessionNotFoundError) as caught:
        ours_stored.repository().delete_session("nobody")

    assert caught.value.session_id == "nobody"


@pytest.mark.parametrize("session_id", ["", "..", "a/b", "../x"])
def test_a_bad_id_deletes_nothing(ours_stored: Subject, session_id: str) -> None:
    open_agent(ours_stored, "Hi.")("Hello")
    before = ours_stored.stored.keys()

    with pytest.raises(ValueError, match="session_id="):
        ours_stored.manager("conversation").delete_session(session_id)

    assert ours_stored.stored.keys() == before


def test_foreign_objects_of_the_session_are_erased_too(ours_stored: Subject) -> None:
    open_agent(ours_stored, "Hi.", session_id="s1")("Hello")
    for foreign in ("notes.txt", "agents/agent_a1/messages/message_x.json", "deep/er/still"):
        ours_stored.stored.write(f"session_s1/{foreign}", b"somebody's")

    ours_stored.repository().delete_session("s1")

    assert keys_of(ours_stored, "s1") == []


def test_more_than_a_thousand_objects_are_erased(make_subject: Any, other_s3: str) -> None:
    subject = make_subject("s3")
    subject.manager("s1")
    place = subject.stored
    assert isinstance(place, BucketPlace)
    keys = [f"session_s1/agents/agent_a1/messages/message_{number}.json" for number in range(1_003)]
    if other_s3:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: place.write(key, b"{}"), keys))
    else:
        # Straight into the emulator, which runs in this process: a thousand requests take ten seconds.
        emulator = get_backend("s3")["123456789012"]["aws"]
        for key in keys:
            emulator.put_object(place.bucket, place.prefix + key, b"{}")
    assert len(keys_of(subject, "s1")) == 1_004

    subject.manager("other").delete_session("s1")

    assert keys_of(subject, "s1") == []
    assert keys_of(subject, "other")


def test_objects_that_s3_does_not_delete_are_named(ours_s3: Subject) -> None:
    from agent_sessions.exceptions import SessionException

    open_agent(ours_s3, "Hi.", session_id="s1")("Hello")
    kept = "kit/session_s1/agents/agent_a1/messages/message_0.json"

    def keep_one(request: Any) -> AWSResponse:
        error = f"<Error><Key>{kept}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        return s3_answer(request, 200, f'<?xml version="1.0"?><DeleteResult>{error}</DeleteResult>')

    with answering(ours_s3.place, "DeleteObjects", keep_one), pytest.raises(SessionException) as caught:
        ours_s3.repository().delete_session("s1")

    assert kept in str(caught.value)
    ours_s3.repository().delete_session("s1")
    assert keys_of(ours_s3, "s1") == []


def test_in_a_versioned_bucket_the_versions_are_erased_too(ours_s3: Subject) -> None:
    place = ours_s3.stored
    assert isinstance(place, BucketPlace)
    place.client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    open_agent(ours_s3, "Hi.", session_id="s1")("Zanzibar")
    open_agent(ours_s3, "Hi.", session_id="s10")("Hello")

    ours_s3.repository().delete_session("s1")

    left = place.client.list_object_versions(Bucket=place.bucket, Prefix="kit/session_s1/")
    assert left.get("Versions", []) == []
    assert left.get("DeleteMarkers", []) == []
    assert texts(list(open_agent(ours_s3, session_id="s10").messages)) == ["Hello", "Hi."]


def test_a_resident_agent_does_not_bring_an_erased_session_back(ours_stored: Subject) -> None:
    resident = open_agent(ours_stored, "one", "two", session_id="s1")
    resident("1")
    ours_stored.repository().delete_session("s1")
    fresh = open_agent(ours_stored, "three", session_id="s1")
    fresh("3")

    # Whether the resident agent hears of it depends on what it writes; that it is never read does not.
    with contextlib.suppress(ours_stored.session_exception):
        resident("2")

    assert texts(list(open_agent(ours_stored, session_id="s1").messages)) == ["3", "three"]


def test_a_late_write_of_an_erased_session_is_never_read(ours_stored: Subject) -> None:
    resident = open_agent(ours_stored, "one", "two", "three", session_id="s1")
    resident("1")
    resident("2")
    ours_stored.repository().delete_session("s1")
    with contextlib.suppress(ours_stored.session_exception):
        resident("3")

    fresh = open_agent(ours_stored, "alpha", "beta", "gamma", session_id="s1")

    assert fresh.messages == []
    for prompt in ("a", "b", "c"):
        fresh(prompt)
    assert texts(list(open_agent(ours_stored, session_id="s1").messages)) == ["a", "alpha", "b", "beta", "c", "gamma"]
