"""A store with sessions in it, what it is asked, and a clock that goes on only when a test says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.config import Config

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions.session_store import SessionStore
from tests.bounds.stored import BEGIN, session_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from tests.doubles.s3_server import S3Server

BUCKET = "sessions"
PREFIX = "kit"


@dataclass
class World:
    """A bucket of sessions that live seven days.

    Attributes:
        s3: The server.
        client: A client that does not repeat what fails.
        ttl_days: How long sessions live.
    """

    s3: S3Server
    client: S3Client
    ttl_days: float = 7.0
    now: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.s3.reset()
        self.s3.clock.set(BEGIN)

    @property
    def store(self) -> SessionStore:
        """The store as somebody opens it who has ``now`` for a clock."""
        store = SessionStore.from_url(f"s3://{BUCKET}/{PREFIX}", client=self.client, ttl_days=self.ttl_days)
        store.clock = lambda: self.now
        return store

    def repository(self) -> ObjectSessionRepository:
        """A new process's way to the sessions."""
        repository = ObjectSessionRepository(self.store.objects, self.store.layout, ttl_days=self.ttl_days)
        repository.life.clock = lambda: self.now
        return repository

    def put(self, session_id: str, **options: Any) -> None:
        """Put a session there, written now."""
        for key, body in session_objects(session_id, **options):
            self.s3.store.put(BUCKET, f"{PREFIX}/{key}", body)

    def keys(self, session_id: str) -> list[str]:
        """What is stored of a session."""
        folder = f"{PREFIX}/session_{session_id}/"
        return [key.removeprefix(folder) for key in self.s3.store.current_objects(BUCKET, folder)]

    def asked(self) -> Counter[str]:
        """The requests since the last call, by verb."""
        return Counter(entry.verb for entry in self.s3.log.take())

    def all_sessions(self, *, limit: int, **options: Any) -> list[str]:
        """Every session, in pages."""
        return [session_id for page in self.session_pages(limit=limit, **options) for session_id in page]

    def session_pages(self, *, limit: int, **options: Any) -> Iterator[list[str]]:
        """The pages of a listing, followed to its end."""
        cursor: str | None = None
        while True:
            page = self.store.sessions(limit=limit, cursor=cursor, **options)
            assert len(page.session_ids) <= limit
            yield list(page.session_ids)
            if page.next_cursor is None:
                return
            assert page.next_cursor != cursor, "a page leads to itself"
            cursor = page.next_cursor


def connect(s3: S3Server) -> S3Client:
    """A client with as many connections as the endpoint's."""
    return s3.client(config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32))
