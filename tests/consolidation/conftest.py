"""Sessions on the S3 stand-in whose derived copies change hands every few turns."""

from collections.abc import Iterator

import pytest

from agent_sessions._objects import tail_and_base as history
from tests.consolidation.session import KitSession
from tests.doubles.s3_server import S3Server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(buckets=["sessions"]) as s3:
        yield s3


@pytest.fixture
def session(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> KitSession:
    """An empty session whose tail becomes a base after a few hundred bytes."""
    monkeypatch.setattr(history, "SMALLEST_BASE_BYTES", 600)
    monkeypatch.setattr(history, "TAIL_PER_ROOT", 1)
    server.reset()
    return KitSession(server)
