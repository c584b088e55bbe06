"""S3 names a code with every error. A gateway may send an empty body, or a page for people: then the status decides."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from mypy_boto3_s3 import S3Client

from agent_sessions._storage.s3_answers import code_of, is_conflict, is_missing, is_refused
from agent_sessions._storage.s3_conditions import trust
from agent_sessions._storage.s3_objects import S3Objects
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged
from agent_sessions.s3_session_manager import S3SessionManager
from tests.contract.agents import texts
from tests.doubles.s3_gateway import Answer, Gateway, error, gateway
from tests.doubles.scripted_model import ScriptedModel
from tests.stores.conftest import client_of

BODIES = {
    "nothing": b"",
    "a page": b"<!DOCTYPE html><html><head><title>Sorry</title><meta charset=utf-8></head><body><h1>Sorry<br></body>",
    "a page that is XML": b"<html><head><title>Sorry</title></head><body><h1>Sorry</h1></body></html>",
    "JSON": b'{"error": {"code": "NoSuchBucket"}}',
    "an error without a code": b'<?xml version="1.0"?><Error><Message>Sorry</Message></Error>',
    "an error with an empty code": b'<?xml version="1.0"?><Error><Code></Code><Message>Sorry</Message></Error>',
    "text": b"upstream connect error or disconnect/reset before headers",
}


@pytest.fixture(scope="module")
def running(s3_url: str) -> Iterator[tuple[Gateway, S3Client]]:
    """A gateway that nobody need ask for its conditions, and a client of it."""
    with gateway(s3_url) as started:
        trust(started.url)
        yield started, client_of(started.url)


@pytest.fixture
def store(running: tuple[Gateway, S3Client]) -> Iterator[Gateway]:
    yield running[0]
    running[0].change = lambda _: None


@pytest.fixture
def client(running: tuple[Gateway, S3Client]) -> S3Client:
    return running[1]


@pytest.fixture
def objects(store: Gateway, client: S3Client, bucket: str) -> S3Objects:
    """A bucket with one object, behind the gateway."""
    objects = S3Objects(client, bucket, sleep=lambda _: None)
    objects.put("there", b"1", Absent())
    return objects


@pytest.fixture
def answers(store: Gateway) -> Callable[[str, int], Iterator[str]]:
    """Have the gateway answer an operation with a status, and with each body that names no code in turn."""

    def answer(verb: str, status: int) -> Iterator[str]:
        for name, body in BODIES.items():
            store.change = lambda asked, body=body: Answer(status, body) if asked.verb == verb else None  # type: ignore[misc] # the second is bound here
            yield name
        store.change = lambda _: None

    return answer


Answers = Callable[[str, int], Iterator[str]]
FAILURES = [
    # status, the code that is told, whether waiting can help
    (400, "InvalidRequest", False),
    (401, "AccessDenied", False),
    (403, "AccessDenied", False),
    (405, "MethodNotAllowed", False),
    (416, "InvalidRange", False),
    (429, "SlowDown", True),
    (500, "InternalError", True),
    (501, "NotImplemented", False),
    (502, "BadGateway", True),
    (503, "ServiceUnavailable", True),
    (504, "GatewayTimeout", True),
    (418, "HTTP418", False),
    (520, "HTTP520", True),
]
WAYS: dict[str, tuple[str, Callable[[S3Objects], Any]]] = {
    "GET": ("there", lambda objects: objects.get("there")),
    "HEAD": ("there", lambda objects: objects.stat_many(["there"])),
    "PUT": ("new", lambda objects: objects.put("new", b"2", Absent())),
    "LIST": ("", lambda objects: list(objects.list(""))),
    "DELETE_OBJECTS": ("there", lambda objects: objects.delete(["there"])),
}


@pytest.mark.parametrize(("status", "code", "is_transient"), FAILURES)
@pytest.mark.parametrize("verb", ["GET", "PUT", "LIST"])
def test_a_failure_is_told_by_its_status(
    objects: S3Objects, answers: Answers, verb: str, status: int, code: str, is_transient: bool
) -> None:
    key, way = WAYS[verb]
    for body in answers(verb, status):
        with pytest.raises(SessionStorageError) as told:
            way(objects)

        assert (told.value.code, told.value.is_transient, told.value.key) == (code, is_transient, key), body


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (503, "ServiceUnavailable"), (416, "InvalidRange")]
)
@pytest.mark.parametrize("verb", ["HEAD", "DELETE_OBJECTS"])
def test_so_is_one_of_looking_and_of_deleting(
    objects: S3Objects, answers: Answers, verb: str, status: int, code: str
) -> None:
    key, way = WAYS[verb]
    for body in answers(verb, status):
        with pytest.raises(SessionStorageError) as told:
            way(objects)

        assert (told.value.code, told.value.key) == (code, key), body


def test_404_is_a_missing_key_where_a_key_was_asked_for(objects: S3Objects, answers: Answers) -> None:
    for body in answers("GET", 404):
        assert objects.get("there") is None, body
        assert list(objects.get_many(["there", "too"])) == [None, None], body

    for body in answers("HEAD", 404):
        assert objects.stat_many(["there"]) == [None], body


@pytest.mark.parametrize("verb", ["LIST", "DELETE_OBJECTS"])
def test_404_is_a_missing_bucket_where_none_was(objects: S3Objects, answers: Answers, verb: str) -> None:
    for body in answers(verb, 404):
        with pytest.raises(SessionStorageError) as told:
            WAYS[verb][1](objects)

        assert (told.value.code, told.value.is_transient) == ("NoSuchBucket", False), body


def test_404_to_a_write_that_expects_nothing_is_a_missing_bucket(objects: S3Objects, answers: Answers) -> None:
    for body in answers("PUT", 404):
        with pytest.raises(SessionStorageError) as told:
            objects.put("new", b"2", Absent())

        assert (told.value.code, told.value.is_transient) == ("NoSuchBucket", False), body


def test_404_to_a_write_that_expects_a_version_is_a_missing_key(store: Gateway, objects: S3Objects) -> None:
    store.change = lambda asked: Answer(404) if asked.verb in {"PUT", "GET"} else None

    with pytest.raises(PreconditionFailedError) as refused:
        objects.put("there", b"2", Unchanged('"another"'))

    assert refused.value.found is None


@pytest.mark.parametrize("expect", [Absent(), Unchanged('"another"')])
def test_412_is_a_condition_that_does_not_hold(
    objects: S3Objects, answers: Answers, expect: Absent | Unchanged
) -> None:
    for body in answers("PUT", 412):
        with pytest.raises(PreconditionFailedError) as refused:
            objects.put("there", b"2", expect)

        assert refused.value.found is not None, body
        assert refused.value.found.body == b"1"


def test_409_is_another_write_in_flight_and_asked_again(store: Gateway, objects: S3Objects) -> None:
    left = [Answer(409), Answer(409, BODIES["a page"]), error(409, "OperationAborted")]
    store.change = lambda asked: left.pop(0) if asked.verb == "PUT" and left else None

    objects.put("new", b"2", Absent())

    found = objects.get("new")
    assert found is not None
    assert found.body == b"2"


def test_409_that_does_not_end_is_an_error_that_waiting_mends(objects: S3Objects, answers: Answers) -> None:
    for body in answers("PUT", 409):
        with pytest.raises(SessionStorageError) as told:
            objects.put("new", b"2", Absent())

        assert (told.value.code, told.value.is_transient) == ("ConditionalRequestConflict", True), body


@pytest.mark.parametrize("status", [404, 412])
def test_a_conditional_delete_that_does_not_hold_deletes_nothing(
    objects: S3Objects, answers: Answers, status: int
) -> None:
    for body in answers("DELETE", status):
        assert not objects.delete_current("there", '"another"'), body


@pytest.mark.parametrize("status", [403, 500, 503, 416])
def test_a_delete_that_fails_is_told_with_its_key(objects: S3Objects, answers: Answers, status: int) -> None:
    for body in answers("DELETE", status):
        with pytest.raises(SessionStorageError) as told:
            objects.delete_current("there", '"any"')

        assert told.value.key == "there", body


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_versions_that_may_not_be_seen_are_gone_without(objects: S3Objects, answers: Answers, status: int) -> None:
    for body in answers("LIST_VERSIONS", status):
        assert objects.erase("") == 1, body
        assert objects.get("there") is None
        objects.put("there", b"1", Absent())


@pytest.mark.parametrize("status", [404, 500, 503])
def test_versions_that_could_not_be_listed_are_an_error(objects: S3Objects, answers: Answers, status: int) -> None:
    for body in answers("LIST_VERSIONS", status):
        with pytest.raises(SessionStorageError):
            objects.erase("")
        assert objects.get("there") is not None, body


@pytest.mark.parametrize("verb", ["GET", "LIST", "LIST_VERSIONS"])
def test_a_page_with_200_is_no_answer_and_nothing_is_taken_for_empty(
    objects: S3Objects, answers: Answers, verb: str
) -> None:
    way: dict[str, Callable[[], Any]] = {
        "GET": lambda: objects.get("there"),
        "LIST": lambda: list(objects.list("")),
        "LIST_VERSIONS": lambda: objects.erase(""),
    }

    for body in answers(verb, 200):
        with pytest.raises(SessionStorageError) as told:
            way[verb]()
        assert told.value.is_transient, body


def test_a_write_whose_answer_names_no_etag_is_looked_up(store: Gateway, objects: S3Objects) -> None:
    def without_etag(answer: Answer) -> Answer:
        return Answer(answer.status, answer.body, {k: v for k, v in answer.headers.items() if k != "etag"})

    store.change = lambda asked: without_etag if asked.verb == "PUT" else None

    written = objects.put("new", b"2", Absent())

    found = objects.get("new")
    assert found is not None
    assert written.etag == found.etag


def test_a_store_that_answers_every_error_with_an_empty_body_holds_a_conversation(
    store: Gateway, client: S3Client, bucket: str
) -> None:
    from strands import Agent

    def emptied(answer: Answer) -> Answer:
        return answer if answer.status < 300 else Answer(answer.status)

    store.change = lambda _: emptied

    for prompt in ("one", "two"):
        agent = Agent(
            agent_id="a",
            model=ScriptedModel("Yes."),
            session_manager=S3SessionManager("chat", bucket, client=client),
            callback_handler=None,
        )
        agent(prompt)

    assert texts(list(agent.messages)) == ["one", "Yes.", "two", "Yes."]
    S3SessionManager("other", bucket, client=client).delete_session("chat")
    assert "session_chat" not in str(client.list_objects_v2(Bucket=bucket).get("Contents", []))


STATUSES = st.integers(min_value=400, max_value=599)
CODES = st.sampled_from(
    ["", "Unknown", "404", "412", "NoSuchKey", "NoSuchBucket", "PreconditionFailed", "SlowDown", "Odd"]
)
OPERATIONS = st.sampled_from(["GetObject", "PutObject", "DeleteObject", "HeadObject", "ListObjectsV2", "DeleteObjects"])


@given(STATUSES, CODES, OPERATIONS)
def test_any_answer_is_one_thing_and_has_a_code(status: int, code: str, operation: str) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    told = ClientError(answer, operation)

    assert sum([is_missing(told), is_refused(told), is_conflict(told)]) <= 1 or code in {
        "NoSuchKey",
        "PreconditionFailed",
    }
    assert code_of(told)
    assert not code_of(told).isdigit()
    if is_missing(told) and code != "NoSuchKey":
        assert status == 404 or code == "404"
        assert operation not in {"ListObjectsV2", "DeleteObjects"}


@given(st.sampled_from(["GetObject", "PutObject"]))
def test_an_error_without_any_metadata_is_told_by_its_code(operation: str) -> None:
    told = ClientError({"Error": {"Code": "NoSuchKey"}}, operation)

    assert is_missing(told)
    assert code_of(ClientError({}, operation)) == "Unknown"
