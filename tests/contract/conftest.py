"""One store per test: a fresh folder, bucket or dictionary, behind each subject in turn."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from agent_sessions._storage.s3_conditions import trust
from tests.contract import subjects
from tests.contract.kms_proxy import kms_proxy
from tests.contract.places import s3_client_for
from tests.contract.subjects import Subject


@pytest.fixture(scope="session")
def s3_url(other_s3: str) -> Iterator[str]:
    """The S3 that was named, or an emulator of this worker's own."""
    if other_s3:
        yield other_s3
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        url = f"http://{host}:{port}"
        trust(url)  # asked in tests/stores; here it would be asked for each test's bucket
        yield url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_url: str) -> S3Client:
    """A client of the emulator; ETags are MD5 digests, as with SSE-S3."""
    return s3_client_for(s3_url)


@pytest.fixture(scope="session")
def kms_client(s3_url: str) -> Iterator[S3Client]:
    """A client of the emulator behind the proxy; ETags change with every write, as with SSE-KMS."""
    with kms_proxy(s3_url) as url:
        trust(url)
        yield s3_client_for(url)


@pytest.fixture
def bucket(s3_client: S3Client) -> str:
    """A new bucket."""
    name = f"sessions-{uuid.uuid4().hex}"  # another S3 is not empty
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def make_subject(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Build a subject by its name; only what it needs is started."""

    def make(name: str) -> Subject:
        if name == "custom":
            return subjects.custom_subject()
        if "file" in name:
            return subjects.file_subject(name, tmp_path / "sessions")
        client = request.getfixturevalue("kms_client" if name == "s3-kms" else "s3_client")
        return subjects.s3_subject(name, client, request.getfixturevalue("bucket"), prefix="kit")

    return make


def _subject_fixture(names: tuple[str, ...], doc: str) -> object:
    @pytest.fixture(params=names)
    def subject(request: pytest.FixtureRequest, make_subject):  # type: ignore[no-untyped-def] # pytest injects both
        return make_subject(request.param)

    subject.__doc__ = doc
    return subject


subject = _subject_fixture(subjects.ALL, "Each implementation, Strands' own included.")
ours = _subject_fixture(subjects.OURS, "Each implementation of this kit.")
ours_stored = _subject_fixture(subjects.OURS_STORED, "Each implementation of this kit whose records have keys.")
ours_s3 = _subject_fixture(subjects.OURS_S3, "This kit on S3, with either kind of ETag.")
managers = _subject_fixture(subjects.MANAGERS, "Each session manager an agent can have, Strands' own included.")
our_managers = _subject_fixture(subjects.OUR_MANAGERS, "Each session manager of this kit, in both durability modes.")
our_stored_managers = _subject_fixture(subjects.OUR_STORED_MANAGERS, "The same, where records have keys.")
