"""A store that is not Amazon's is asked once, before the first write, which conditions it keeps."""

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from moto import mock_aws
from mypy_boto3_s3 import S3Client

from agent_sessions._storage import s3_conditions
from agent_sessions._storage.s3_conditions import PROBE, Conditions, Seen, is_amazon, judge
from agent_sessions._storage.s3_objects import S3Objects
from agent_sessions.exceptions import ConditionsNotKeptError, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged
from agent_sessions.s3_session_manager import S3SessionManager
from agent_sessions.session_store import SessionStore
from tests.doubles.s3_gateway import Answer, Asked, Change, Gateway, error, ignoring, no_conditional_delete
from tests.stores.conftest import client_of

HONEST = Seen(200, 412, 404, 412, 200, 412, 204)


def test_a_store_that_keeps_all_conditions_is_trusted_with_all() -> None:
    assert judge(HONEST) == Conditions()
    assert judge(Seen(201, 409, 412, 412, 204, 404, 200)) == Conditions()


@pytest.mark.parametrize(
    ("answers", "kept", "words"),
    [
        # the seven questions in their order, then create, replace, delete
        (
            (200, 200, 404, 412, 200, 412, 204),
            (False, True, True),
            "ignores If-None-Match: *: it writes although the key",
        ),
        ((200, 501, 404, 412, 200, 412, 204), (False, True, True), "does not know If-None-Match: * (501)"),
        ((501, 200, 404, 412, 200, 412, 204), (False, True, True), "refuses If-None-Match: * for a new key (501)"),
        ((400, 400, 404, 412, 200, 412, 204), (False, True, True), "refuses If-None-Match: * for a new key (400)"),
        (
            (200, 412, 200, 412, 200, 412, 204),
            (True, False, True),
            "ignores If-Match: it writes although nothing is stored",
        ),
        (
            (200, 412, 404, 200, 200, 412, 204),
            (True, False, True),
            "ignores If-Match: it writes although another version",
        ),
        (
            (200, 412, 404, 412, 412, 412, 204),
            (True, False, True),
            "refuses If-Match with the version that is stored (412)",
        ),
        ((200, 412, 501, 501, 501, 501, 0), (True, False, False), "does not know If-Match (501)"),
        ((200, 200, 200, 200, 200, 204, 0), (False, False, False), " and ignores If-Match"),
        # conditional deletes are gone without, and no fault of a store
        ((200, 412, 404, 412, 200, 204, 0), (True, True, False), ""),
        ((200, 412, 404, 412, 200, 501, 0), (True, True, False), ""),
        ((200, 412, 404, 412, 200, 405, 0), (True, True, False), ""),
        ((200, 412, 404, 412, 200, 400, 0), (True, True, False), ""),
        ((200, 412, 404, 412, 200, 412, 412), (True, True, False), ""),
        ((200, 412, 404, 412, 200, 403, 403), (True, True, True), ""),
    ],
)
def test_each_answer_says_what_a_store_keeps(
    answers: tuple[int, ...], kept: tuple[bool, bool, bool], words: str
) -> None:
    found = judge(Seen(*answers))

    assert (found.create, found.replace, found.delete) == kept
    assert words in found.seen
    assert bool(found.seen) == (not (found.create and found.replace))


# --- whose endpoint -------------------------------------------------------------------------------------


def test_every_partition_that_botocore_knows_is_amazons() -> None:
    data = json.loads((Path(botocore.__file__).parent / "data" / "partitions.json").read_text())
    names = {
        outputs[name]
        for partition in data["partitions"]
        for outputs in [partition["outputs"]]
        for name in ("dnsSuffix", "dualStackDnsSuffix")
    }

    assert len(names) > 5
    for name in names:
        assert is_amazon(f"https://s3.some-region-1.{name}")
        assert is_amazon(f"https://bucket.vpce-1a2b3c.s3.some-region-1.vpce.{name}")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566",
        "http://s3.localhost.localstack.cloud:4566",
        "https://account.r2.cloudflarestorage.com",
        "https://minio.example.org",
        "https://s3.eu-west-1.amazonaws.com.example.org",
        "https://notamazonaws.com",
        "https://amazonaws.com@example.org",
        "http://[::1]:9000",
    ],
)
def test_others_are_not(url: str) -> None:
    assert not is_amazon(url)


def test_amazon_is_never_asked() -> None:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
        client.create_bucket(Bucket="sessions")
        sent: list[str] = []
        client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.method))

        objects = S3Objects(client, "sessions", folder="p/")
        objects.check()
        written = objects.put("p/key", b"1", Absent())
        objects.delete_current("p/key", written.etag)

    assert sent == ["PUT", "DELETE"]


# --- asking ---------------------------------------------------------------------------------------------


def everything_in(behind: S3Client, bucket: str) -> list[Any]:
    listed = behind.list_object_versions(Bucket=bucket)
    return [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]


def asked_of(store: Gateway) -> list[Asked]:
    return [asked for asked in store.seen if PROBE in asked.key]


STORES: dict[str, tuple[Change, Conditions]] = {
    "one that keeps all": (lambda _: None, Conditions()),
    "one that knows no conditional delete": (
        no_conditional_delete(error(501, "NotImplemented")),
        Conditions(delete=False),
    ),
    "one that calls it a bad request": (no_conditional_delete(Answer(400)), Conditions(delete=False)),
    "one that does not allow the method": (no_conditional_delete(Answer(405)), Conditions(delete=False)),
    "one that deletes whatever the condition": (
        ignoring("if-match", verbs=("DELETE",)),
        Conditions(delete=False),
    ),
    "one that ignores If-None-Match": (
        ignoring("if-none-match"),
        Conditions(create=False, seen="ignores If-None-Match: *: it writes although the key exists"),
    ),
    "one that ignores If-Match": (
        ignoring("if-match"),
        Conditions(
            replace=False, delete=False, seen="ignores If-Match: it writes although nothing is stored at the key"
        ),
    ),
    "one that ignores all": (
        ignoring("if-match", "if-none-match"),
        Conditions(
            create=False,
            replace=False,
            delete=False,
            seen="ignores If-None-Match: *: it writes although the key exists and "
            "ignores If-Match: it writes although nothing is stored at the key",
        ),
    ),
    "one that knows no conditional write": (
        lambda asked: error(501, "NotImplemented") if asked.condition and asked.verb in {"PUT", "DELETE"} else None,
        Conditions(
            create=False,
            replace=False,
            delete=False,
            seen="refuses If-None-Match: * for a new key (501) and does not know If-Match (501)",
        ),
    ),
    "one that refuses the right version": (
        lambda asked: error(412, "PreconditionFailed") if asked.condition == "if-match" else None,
        Conditions(replace=False, delete=False, seen="refuses If-Match with the version that is stored (412)"),
    ),
    "one that names no ETag when it writes": (
        lambda asked: (
            (lambda answer: Answer(answer.status, answer.body, _without(answer.headers, "etag")))
            if asked.verb == "PUT"
            else None
        ),
        Conditions(),
    ),
}


def _without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


@pytest.mark.parametrize("versioning", [False, True], ids=["", "versions"])
@pytest.mark.parametrize("name", STORES)
def test_the_conditions_that_a_store_keeps_are_found_and_no_object_is_left(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str, name: str, versioning: bool
) -> None:
    if versioning:
        behind.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store.change, kept = STORES[name]

    assert s3_conditions.conditions_of(client, bucket, "p/") == kept

    assert everything_in(behind, bucket) == []
    assert {asked.key[: asked.key.index(PROBE)] for asked in asked_of(store) if asked.key} == {"p/"}


def test_a_process_asks_a_store_only_once(store: Gateway, client: S3Client, bucket: str) -> None:
    other = client_of(store.url)
    pool = ThreadPoolExecutor(8)

    with pool:
        for objects in [S3Objects(client, bucket), S3Objects(other, bucket, folder="p/")] * 4:
            pool.submit(objects.check)
    S3SessionManager("chat", bucket, client=other)

    assert len([asked for asked in asked_of(store) if asked.verb == "PUT"]) == 5


def test_reading_does_not_ask(store: Gateway, client: S3Client, bucket: str) -> None:
    place = SessionStore.from_url(f"s3://{bucket}/p", client=client)

    assert place.sessions().session_ids == ()
    assert place.objects.get("p/session_x/session.json") is None

    assert asked_of(store) == []


def test_a_store_that_fails_is_told_as_failing_under_the_key_that_was_to_be_written(
    store: Gateway, client: S3Client, bucket: str
) -> None:
    store.change = lambda asked: Answer(503) if asked.verb == "PUT" else None

    with pytest.raises(SessionStorageError) as told:
        S3SessionManager("chat", bucket, "p", client=client)

    assert (told.value.code, told.value.is_transient) == ("ServiceUnavailable", True)
    assert told.value.key == "p/session_chat/session.json"


@pytest.mark.parametrize("nth", range(8))
@pytest.mark.parametrize("status", [500, 503])
def test_a_store_that_fails_is_asked_again_and_nothing_is_left(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str, nth: int, status: int
) -> None:
    count = itertools.count()
    store.change = lambda asked: Answer(status) if PROBE in asked.key and next(count) == nth else None
    objects = S3Objects(client, bucket, folder="p/")

    for _ in range(2):
        with suppress(SessionStorageError):
            objects.put("p/session_s/key", b"1", Absent())

    left = [entry["Key"] for entry in everything_in(behind, bucket)]
    # A delete that failed leaves what it was to delete, and the next process takes it away when it is old.
    assert [key for key in left if PROBE not in key] == ["p/session_s/key"]
    assert len(left) == 1 or nth > 5


def test_objects_that_a_killed_probe_left_are_removed_by_the_next(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str
) -> None:
    behind.put_object(Bucket=bucket, Key=f"p/{PROBE}old", Body=b"1")
    young = f"p/{PROBE}young"
    store.change = lambda asked: _in_two_hours if asked.verb == "LIST" else None

    s3_conditions.conditions_of(client, bucket, "p/")

    assert [entry["Key"] for entry in everything_in(behind, bucket)] == []

    behind.put_object(Bucket=bucket, Key=young, Body=b"1")
    store.change = lambda _: None
    s3_conditions.ask(client, bucket, "p/")
    assert [entry["Key"] for entry in everything_in(behind, bucket)] == [young], "somebody may be asking just now"


def _in_two_hours(answer: Answer) -> Answer:
    later = parsedate_to_datetime(answer.headers["date"]) + timedelta(hours=2)
    return Answer(answer.status, answer.body, answer.headers | {"date": format_datetime(later, usegmt=True)})


def test_an_answer_that_was_lost_is_no_fault_of_the_store(store: Gateway, bucket: str) -> None:
    # Given: a store whose first answer to each request is lost when it has been carried out
    lost: set[tuple[str, bytes]] = set()

    def lose(asked: Asked) -> Any:
        name = (asked.key, asked.body)
        if asked.verb != "PUT" or name in lost or asked.condition is None:
            return None
        lost.add(name)
        return lambda answer: Answer(503) if answer.status < 300 else answer

    store.change = lose
    patient = client_of(store.url, attempts=3)

    assert s3_conditions.conditions_of(patient, bucket, "") == Conditions()


def test_two_processes_that_ask_at_once_do_not_disturb_each_other(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str
) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: s3_conditions.ask(client, bucket, "p/"), range(16)))

    assert found == [Conditions()] * 16
    assert everything_in(behind, bucket) == []


# --- a store that keeps none ----------------------------------------------------------------------------

UNSAFE = [name for name, (_, kept) in STORES.items() if kept.seen]
Use = Callable[[S3Client, str], object]
USES: dict[str, Use] = {
    "a session manager": lambda client, bucket: S3SessionManager("chat", bucket, "p", client=client),
    "a store": lambda client, bucket: SessionStore.from_url(f"s3://{bucket}/p", client=client).session_manager("chat"),
    "a lease": lambda client, bucket: SessionLease(
        SessionStore.from_url(f"s3://{bucket}/p", client=client), "chat", holder="me", renew_seconds=None
    ).acquire(),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", UNSAFE)
def test_it_is_refused_before_anything_is_written(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str, name: str, use: str
) -> None:
    store.change, kept = STORES[name]

    for _ in range(2):  # it is remembered
        with pytest.raises(ConditionsNotKeptError) as refused:
            USES[use](client, bucket)
        asked = len(asked_of(store))

    told = str(refused.value)
    assert store.url in told
    assert kept.seen in told
    assert "overwrite the other's messages" in told
    assert "allow_unconditional=True" in told
    assert (refused.value.code, refused.value.is_transient) == ("ConditionsNotKept", False)
    assert refused.value.session_id == "chat"
    assert everything_in(behind, bucket) == []
    assert asked == len(asked_of(store))


@pytest.mark.parametrize("name", UNSAFE)
def test_a_store_without_conditions_can_be_used_on_purpose_with_looking_first(
    store: Gateway, client: S3Client, bucket: str, name: str
) -> None:
    store.change, _ = STORES[name]
    objects = S3Objects(client, bucket, folder="p/", allow_unconditional=True)

    written = objects.put("p/key", b"1", Absent())
    with pytest.raises(PreconditionFailedError):
        objects.put("p/key", b"2", Absent())
    with pytest.raises(PreconditionFailedError):
        objects.put("p/key", b"2", Unchanged('"another"'))
    with pytest.raises(PreconditionFailedError):
        objects.put("p/nothing", b"2", Unchanged(written.etag))
    again = objects.put("p/key", b"2", Unchanged(written.etag))
    assert not objects.delete_current("p/key", written.etag)
    assert objects.delete_current("p/key", again.etag)

    assert objects.get("p/key") is None


@pytest.mark.parametrize("name", UNSAFE)
def test_a_conversation_can_be_held_there_then(
    store: Gateway, client: S3Client, behind: S3Client, bucket: str, name: str
) -> None:
    from strands import Agent

    from tests.contract.agents import texts
    from tests.doubles.scripted_model import ScriptedModel

    store.change, _ = STORES[name]
    place = SessionStore.from_url(f"s3://{bucket}/p", client=client, allow_unconditional=True)

    for prompt in ("one", "two"):
        with SessionLease(place, "chat", holder=prompt) as lease:
            manager = place.session_manager("chat", lease=lease)
            agent = Agent(agent_id="a", model=ScriptedModel("Yes."), session_manager=manager, callback_handler=None)
            agent(prompt)

    assert texts(list(agent.messages)) == ["one", "Yes.", "two", "Yes."]
    place.for_owner("o_x").session_manager("hers")
    place.delete_session("chat")
    assert [entry["Key"] for entry in everything_in(behind, bucket)] == ["p/o_x/session_hers/session.json"]
