"""One zygote and one S3 for a module."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.concurrency.killing import BUCKET, Bucket, Folder, Report
from tests.concurrency.zygote import Zygote
from tests.conftest import TOTAL
from tests.doubles.s3_server import S3Server, SettableClock


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as started:
        yield started


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """Its clock stands still until a test moves it: whatever depends on seconds passing shows."""
    with S3Server(buckets=[BUCKET], clock=SettableClock(1_800_000_000.0)) as server:
        yield server


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    return lambda name, value: record_property(f"{TOTAL}crashes {name}", value)


@pytest.fixture(params=["bucket", "folder"])
def place(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Bucket | Folder:
    # A killed caller's request ends in an exception inside the server, which asyncio reports.
    caplog.set_level(logging.CRITICAL, logger="asyncio")
    if request.param == "bucket":
        return Bucket(request.getfixturevalue("s3"), zygote)
    return Folder(tmp_path / "sessions", zygote)
