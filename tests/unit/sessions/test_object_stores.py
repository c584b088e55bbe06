"""What every object store does alike: listing from a key on, looking without reading, erasing in steps."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_sessions._storage.file_objects import FileObjects
from agent_sessions._storage.s3_objects import S3Objects
from agent_sessions.conformance.object_store import KEYS, ObjectStoreConformance, keys
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.object_store import Absent, ObjectStore
from tests.doubles.s3_server import Fault, S3Server

BUCKET = "sessions"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as server:
        yield server


@pytest.fixture(params=["file", "s3"])
def each_store(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        return FileObjects(tmp_path)
    s3.reset()
    return S3Objects(s3.client(), BUCKET)


@pytest.fixture
def objects(each_store: ObjectStore) -> ObjectStore:
    return each_store


Fill = Callable[[list[str]], None]


@pytest.fixture
def fill(objects: ObjectStore, s3: S3Server, tmp_path: Path) -> Fill:
    """Puts objects there as somebody else would, without waiting for each."""

    def put(keys: list[str]) -> None:
        for key in random.Random(1).sample(keys, len(keys)):
            if isinstance(objects, S3Objects):
                s3.store.put(BUCKET, key, f"in {key}".encode())
            else:
                (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / key).write_bytes(f"in {key}".encode())

    return put


@pytest.fixture
def filled(objects: ObjectStore, fill: Fill) -> ObjectStore:
    fill(KEYS)
    return objects


class TestEachStore(ObjectStoreConformance):
    @pytest.fixture
    def objects(self, each_store: ObjectStore) -> ObjectStore:
        return each_store


def test_looking_shows_what_a_listing_shows(filled: ObjectStore) -> None:
    listed = {entry.key: entry for entry in filled.list("p/")}

    found = filled.stat_many([KEYS[3], "p/session_a/none.json", "p/session_a", KEYS[0]])

    assert list(found) == [listed[KEYS[3]], None, None, listed[KEYS[0]]]
    assert filled.stat_many([]) == []


def test_an_erasure_goes_on_in_steps_until_nothing_is_left(objects: ObjectStore, fill: Fill) -> None:
    fill([f"p/session_a/m_{number}.json" for number in range(2_100)])
    fill(["p/session_a/session.json", "p/session_a1/session.json"])

    steps, more = [], True
    while more:
        step = objects.erase_some("p/session_a/", keep=["p/session_a/session.json"])
        steps.append(step.objects)
        more = step.more

    assert sum(steps) == 2_100
    assert len(steps) == 3
    assert keys(objects, "p/") == ["p/session_a/session.json", "p/session_a1/session.json"]
    assert objects.erase("p/session_a/") == 1


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_an_erasure_ends_in_a_bucket_that_keeps_versions(s3: S3Server, status: str) -> None:
    s3.reset()
    client = s3.client()
    objects = S3Objects(client, BUCKET)
    objects.put("p/session_a/before.json", b"1", Absent())
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for number in range(600):
        s3.store.put(BUCKET, "p/session_a/x.json", str(number).encode())
        s3.store.delete(BUCKET, "p/session_a/x.json")
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})  # type: ignore[typeddict-item] # one of them
    client.delete_object(Bucket=BUCKET, Key="p/session_a/before.json")

    objects.erase("p/session_a/")

    left = client.list_object_versions(Bucket=BUCKET, Prefix="p/")
    assert left.get("Versions", []) == []
    assert left.get("DeleteMarkers", []) == []


def test_where_versions_may_not_be_seen_what_can_be_listed_is_erased(s3: S3Server) -> None:
    s3.reset()
    objects = S3Objects(s3.client(), BUCKET)
    for number in range(1_001):
        s3.store.put(BUCKET, f"p/session_a/m_{number}.json", b"{}")
    s3.faults.add(Fault("error", verb="LIST_VERSIONS", times=None, code="AccessDenied"))

    assert objects.erase("p/session_a/") == 1_001

    assert keys(objects, "p/") == []


@pytest.mark.parametrize(
    "work",
    [
        lambda objects: objects.get("key"),
        lambda objects: objects.put("key", b"1", Absent()),
        lambda objects: objects.erase("p/"),
        lambda objects: list(objects.list("p/")),
    ],
)
def test_a_request_that_nobody_wants_any_more_is_not_repeated(
    s3: S3Server, work: Callable[[S3Objects], object]
) -> None:
    # Given: an S3 that breaks every connection, and a caller who gives up when the first request has come in
    s3.reset()
    objects = S3Objects(s3.client(), BUCKET)
    fault = s3.faults.add(Fault("drop", times=None))

    # When
    with objects.only_while(lambda: fault.fired == 0), pytest.raises(SessionStorageError) as refused:
        work(objects)

    # Then
    assert refused.value.code == "Abandoned"
    assert fault.fired == 1
    s3.faults.clear()
    assert objects.get("key") is None
