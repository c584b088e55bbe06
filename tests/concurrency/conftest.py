"""One zygote and one S3 for a module."""

from collections.abc import Iterator

import pytest

from tests.concurrency.zygote import Zygote
from tests.doubles.s3_server import S3Server, SettableClock

BUCKET = "sessions"


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as started:
        yield started


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """Its clock stands still until a test moves it: whatever depends on seconds passing shows."""
    with S3Server(buckets=[BUCKET], clock=SettableClock(1_800_000_000.0)) as server:
        yield server
