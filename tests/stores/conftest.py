"""An S3 server, and a gateway in front of it that a test can make answer like other stores."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from mypy_boto3_s3 import S3Client

from tests.doubles.s3_gateway import Gateway, gateway
from tests.doubles.s3_server import REGION, S3Server


@pytest.fixture(scope="session")
def s3_url(other_s3: str) -> Iterator[str]:
    """The S3 that was named, or one of this worker's own."""
    if other_s3:
        yield other_s3
        return
    with S3Server() as server:
        yield server.url


@pytest.fixture(scope="session")
def behind(s3_url: str) -> S3Client:
    """A client that sees the server as it is."""
    return client_of(s3_url)


@pytest.fixture
def bucket(behind: S3Client) -> str:
    """A new bucket."""
    name = f"stores-{uuid.uuid4().hex}"  # another S3 is not empty
    behind.create_bucket(Bucket=name)
    return name


@pytest.fixture
def store(s3_url: str) -> Iterator[Gateway]:
    """The server behind a gateway of the test's own, which nobody has asked anything yet."""
    with gateway(s3_url) as running:
        yield running


@pytest.fixture
def client(store: Gateway) -> S3Client:
    """A client of the gateway that asks once."""
    return client_of(store.url)


def client_of(url: str, *, attempts: int = 1) -> S3Client:
    import boto3

    session = boto3.Session(aws_access_key_id="any", aws_secret_access_key="any", region_name=REGION)
    retries: Any = {"total_max_attempts": attempts}
    return session.client("s3", endpoint_url=url, config=Config(retries=retries))
