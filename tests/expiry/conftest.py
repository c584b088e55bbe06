"""One S3 stand-in per worker, emptied for each test."""

from collections.abc import Iterator

import pytest

from tests.doubles.s3_server import S3Server
from tests.expiry.world import BUCKET, Bucket


@pytest.fixture(scope="session", params=["md5", "random"])
def s3(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """S3 whose ETags are digests, and S3 whose ETags change at every write, as with KMS."""
    with S3Server(buckets=[BUCKET], etags=request.param) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    """An empty bucket of a deployment whose sessions live seven days."""
    return Bucket(s3)
