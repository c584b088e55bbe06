"""One S3 stand-in per worker, emptied for each test."""

from collections.abc import Iterator

import pytest

from tests.bounds.world import BUCKET, World, connect
from tests.doubles.s3_server import S3Server


@pytest.fixture(scope="session")
def worlds() -> Iterator[World]:
    with S3Server(buckets=[BUCKET]) as server:
        yield World(server, connect(server))


@pytest.fixture
def world(worlds: World) -> World:
    """An empty bucket."""
    return World(worlds.s3, worlds.client)
