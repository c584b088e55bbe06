"""A function on a stand-in for S3, and what it printed."""

from collections.abc import Callable, Iterator

import pytest

from tests.doubles.s3_server import S3Server
from tests.endpoint.conftest import _fresh_processes  # noqa: F401 - a fixture of every test here
from tests.metrics import emf
from tests.metrics.load import BUCKET


@pytest.fixture
def s3() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as server:
        yield server


@pytest.fixture
def written(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[emf.Line]]:
    """The lines of metrics since this was asked last."""
    return lambda: emf.read(capfd.readouterr().out)
