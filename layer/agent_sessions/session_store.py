"""A place where sessions live: open, read, list and erase them, without an agent runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._life.session_life import last_use
from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import Layout, agent_id_of, message_id_below, message_id_of, session_id_of
from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.expiry import checked_ttl, expires_at
from agent_sessions.store_url import BucketAddress, FolderAddress, StoreUrlError, parse_store_url, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import boto3
    from mypy_boto3_s3.client import S3Client

    from agent_sessions.object_store import ListedObject, ObjectStore
    from agent_sessions.repository_session_manager import RepositorySessionManager
    from agent_sessions.types import Session, SessionMessage

_STORES: dict[type, type[SessionStore]] = {}
"""What opens each kind of address."""


@dataclass(frozen=True)
class AgentSummary:
    """An agent of a session, and how many messages of it are stored."""

    agent_id: str
    message_count: int


@dataclass(frozen=True)
class SessionSummary:
    """A session at a glance.

    Attributes:
        session_id: The session.
        created_at: ISO 8601, UTC.
        last_used_at: When a turn wrote to it last, by the storage's clock; ISO 8601, UTC.
        expires_at: When it will have expired; ``None`` when sessions do not expire.
        agents: Its agents, ordered by id.
    """

    session_id: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    agents: tuple[AgentSummary, ...]


@dataclass(frozen=True)
class MessagePage:
    """Some messages of a conversation, in order; ``next_cursor`` gets those after them, if there are any."""

    agent_id: str
    messages: tuple[SessionMessage, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class SessionPage:
    """Some sessions, ordered by id; ``next_cursor`` gets the ones after them, ``None`` when there are none."""

    session_ids: tuple[str, ...]
    next_cursor: str | None


class OpenOptions(NamedTuple):
    """What a store is opened with: see :meth:`SessionStore.from_url`."""

    client: S3Client | None
    boto_session: boto3.Session | None
    ttl_days: float | None


class SessionStore(ABC):
    """The sessions below a prefix of a bucket, or in a folder.

    Reading is no use of a session: it creates nothing and extends nothing. A session that has expired is not there.

    Args:
        ttl_days: Days after its last use at which a session expires; ``0`` or ``None`` for never.
    """

    def __init__(self, *, ttl_days: float | None = None) -> None:
        self.ttl_days = checked_ttl(ttl_days)

    def __init_subclass__(cls, *, address: type | None = None) -> None:
        """Name the kind of address that the class opens: see ``agent_sessions.store_url``."""
        super().__init_subclass__()
        if address is not None:
            _STORES[address] = cls

    @classmethod
    def open(cls, address: Any, options: OpenOptions) -> SessionStore:
        """Open the store at an address of the kind that the class has named. Nothing is read or written yet."""
        raise NotImplementedError

    @staticmethod
    def from_url(
        url: str,
        *,
        client: S3Client | None = None,
        boto_session: boto3.Session | None = None,
        ttl_days: float | None = None,
    ) -> SessionStore:
        """Open the store that a URL names.

        Args:
            url: ``s3://bucket``, ``s3://bucket/prefix`` or ``file:///folder``: see ``agent_sessions.store_url``.
            client: For S3: a client to use as it is.
            boto_session: For S3: what to make the client from, when there is none.
            ttl_days: Days after its last use at which a session expires; ``0`` or ``None`` for never.

        Raises:
            ValueError: The URL is none of these, or the number of days is negative or not finite.
        """
        try:
            address = parse_store_url(url)
        except StoreUrlError as error:
            raise ValueError(f"store={shown(url)!r} | {error}") from None
        return _STORES[type(address)].open(address, OpenOptions(client, boto_session, ttl_days))

    @property
    @abstractmethod
    def objects(self) -> ObjectStore:
        """Where the objects live."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """How the objects are named."""

    @abstractmethod
    def for_owner(self, owner_prefix: str) -> SessionStore:
        """The part of this store that belongs to one owner: see ``agent_sessions.owner``."""

    @abstractmethod
    def session_manager(self, session_id: str, **options: Any) -> RepositorySessionManager:
        """A session manager for a Strands agent. It creates the session when there is none.

        Args:
            session_id: The session.
            **options: Keyword arguments of ``S3SessionManager`` or ``FileSessionManager``; ``ttl_days`` is the store's
                when not given.
        """

    def describe(self, session_id: str) -> SessionSummary:
        """What is known of a session without reading its messages.

        Raises:
            SessionNotFoundError: There is none of this id.
        """
        repository = self._repository()
        session = self._session(repository, session_id)
        listed = list(self.objects.list(self.layout.session_folder(session_id)))
        counts: dict[str, int] = {}
        for agent_id, entry in self._agent_objects(session_id, listed):
            counts.setdefault(agent_id, 0)
            counts[agent_id] += message_id_of(entry.key) is not None
        found = repository.life.age(session_id).last_used
        last_used = max(last_use(self.layout.session_folder(session_id), listed) or found, found)
        expires = expires_at(last_used, self.ttl_days)
        return SessionSummary(
            session_id=session_id,
            created_at=session.created_at,
            last_used_at=last_used.isoformat(),
            expires_at=expires.isoformat() if expires else None,
            agents=tuple(AgentSummary(agent_id, counts[agent_id]) for agent_id in sorted(counts)),
        )

    def messages(
        self,
        session_id: str,
        agent_id: str | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        max_bytes: int = 5_000_000,
    ) -> MessagePage:
        """Read a conversation, page by page.

        Args:
            session_id: The session.
            agent_id: Whose conversation; not needed when the session has one agent.
            limit: At most so many messages, 1 or more.
            cursor: ``next_cursor`` of the page before.
            max_bytes: At most so many bytes as stored; a single larger message comes alone.

        Raises:
            SessionNotFoundError: There is no such session or agent.
            SessionCorruptError: A message of the page cannot be read; the error names its key.
            ValueError: The limit or the cursor is none, or the session has several agents and none was named.
        """
        first_id = _parsed_cursor(cursor)
        if limit < 1:
            raise ValueError(f"limit={limit} | must be 1 or more")
        repository = self._repository()
        self._session(repository, session_id)
        sizes: dict[str, dict[int, int]] = {}
        for found_id, entry in self._agent_objects(
            session_id, self.objects.list(self.layout.session_folder(session_id))
        ):
            message_id = message_id_of(entry.key)
            sizes.setdefault(found_id, {})
            if message_id is not None:
                sizes[found_id][message_id] = entry.size
        agent_id = _chosen_agent(session_id, agent_id, sorted(sizes))
        wanted, rest = _page_of(sizes[agent_id], first_id, limit, max_bytes)
        return MessagePage(
            agent_id=agent_id,
            messages=tuple(repository.read_messages(session_id, agent_id, wanted)),
            next_cursor=str(rest[0]) if rest else None,
        )

    def sessions(self, *, limit: int = 100, cursor: str | None = None) -> SessionPage:
        """List sessions, ordered by id: S3 cannot order them by time.

        Args:
            limit: At most so many, 1 or more.
            cursor: ``next_cursor`` of the page before.
        """
        if limit < 1:
            raise ValueError(f"limit={limit} | must be 1 or more")
        repository = self._repository()
        found: list[str] = []
        start_after = f"session_{cursor}" if cursor else ""
        for folder in self.objects.list_folders(self.layout.root, start_after=start_after):
            session_id = session_id_of(folder)
            # A folder is no session: what is being erased or landed late has one too.
            if session_id is None or repository.read_session(session_id) is None:
                continue
            if len(found) == limit:
                return SessionPage(tuple(found), found[-1])
            found.append(session_id)
        return SessionPage(tuple(found), None)

    def delete_session(self, session_id: str) -> None:
        """Erase everything of a session.

        Raises:
            SessionNotFoundError: There is nothing of it.
            SessionStorageError: Something could not be deleted; the error names what is left.
        """
        self._repository().delete_session(session_id)

    def _repository(self) -> ObjectSessionRepository:
        return ObjectSessionRepository(self.objects, self.layout, ttl_days=self.ttl_days)

    def _session(self, repository: ObjectSessionRepository, session_id: str) -> Session:
        session = repository.read_session(session_id)
        if session is None:
            raise SessionNotFoundError(f"Session {session_id} does not exist", key=self.layout.session(session_id))
        return session

    def _agent_objects(self, session_id: str, listed: Iterable[ListedObject]) -> list[tuple[str, ListedObject]]:
        """The records of a session's agents and their messages, by agent."""
        folder = self.layout.session_folder(session_id)
        found = []
        for entry in listed:
            below = agent_id_of(entry.key[len(folder) :])
            if below is None:
                continue
            agent_id, rest = below
            if rest == "agent.json" or message_id_below(rest) is not None:
                found.append((agent_id, entry))
        return found


class S3SessionStore(SessionStore, address=BucketAddress):
    """Sessions in a bucket.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket's name.
        prefix: Where in the bucket the sessions live.
        ttl_days: See :class:`SessionStore`.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str = "", *, ttl_days: float | None = None) -> None:
        from agent_sessions._storage.s3_objects import S3Objects

        super().__init__(ttl_days=ttl_days)
        self._client = client
        self._bucket = bucket
        self._objects = S3Objects(client, bucket)
        self._layout = Layout(prefix)

    @classmethod
    def open(cls, address: BucketAddress, options: OpenOptions) -> S3SessionStore:
        """See :meth:`SessionStore.open`."""
        from agent_sessions.s3_session_manager import s3_client

        client = options.client or s3_client(options.boto_session)
        return cls(client, address.bucket, address.prefix, ttl_days=options.ttl_days)

    @property
    def objects(self) -> ObjectStore:
        """See :attr:`SessionStore.objects`."""
        return self._objects

    @property
    def layout(self) -> Layout:
        """See :attr:`SessionStore.layout`."""
        return self._layout

    def for_owner(self, owner_prefix: str) -> S3SessionStore:
        """See :meth:`SessionStore.for_owner`."""
        return S3SessionStore(self._client, self._bucket, f"{self._layout.root}{owner_prefix}", ttl_days=self.ttl_days)

    def session_manager(self, session_id: str, **options: Any) -> RepositorySessionManager:
        """See :meth:`SessionStore.session_manager`."""
        from agent_sessions.s3_session_manager import S3SessionManager

        return S3SessionManager(
            session_id, self._bucket, self._layout.prefix, client=self._client, **{"ttl_days": self.ttl_days} | options
        )


class FileSessionStore(SessionStore, address=FolderAddress):
    """Sessions in a folder.

    Args:
        folder: The folder; made when the first session is.
        ttl_days: See :class:`SessionStore`.
        root: The folder, or one above it, below which symbolic links are refused; the folder itself when not given.
    """

    def __init__(self, folder: Path, *, ttl_days: float | None = None, root: Path | None = None) -> None:
        from agent_sessions._storage.file_objects import FileObjects

        super().__init__(ttl_days=ttl_days)
        self._folder = folder
        self._root = root or folder
        self._objects = FileObjects(folder, root=self._root)

    @classmethod
    def open(cls, address: FolderAddress, options: OpenOptions) -> FileSessionStore:
        """See :meth:`SessionStore.open`."""
        return cls(address.folder, ttl_days=options.ttl_days)

    @property
    def objects(self) -> ObjectStore:
        """See :attr:`SessionStore.objects`."""
        return self._objects

    @property
    def layout(self) -> Layout:
        """See :attr:`SessionStore.layout`."""
        return Layout()

    def for_owner(self, owner_prefix: str) -> FileSessionStore:
        """See :meth:`SessionStore.for_owner`."""
        return FileSessionStore(self._folder / owner_prefix, ttl_days=self.ttl_days, root=self._root)

    def session_manager(self, session_id: str, **options: Any) -> RepositorySessionManager:
        """See :meth:`SessionStore.session_manager`."""
        from agent_sessions.file_session_manager import FileSessionManager

        return FileSessionManager(
            session_id, str(self._folder), root=str(self._root), **{"ttl_days": self.ttl_days} | options
        )


def _parsed_cursor(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()):
        raise ValueError(f"cursor={cursor!r} | must be the next_cursor of an earlier page")
    return int(cursor)


def _chosen_agent(session_id: str, agent_id: str | None, present: list[str]) -> str:
    if agent_id is None and len(present) > 1:
        raise ValueError(f"session_id={session_id} | name one of its agents: {', '.join(present)}")
    chosen = agent_id if agent_id is not None else (present[0] if present else None)
    if chosen is None or chosen not in present:
        what = "has no agent" if chosen is None else f"has no agent {chosen}"
        raise SessionNotFoundError(f"Session {session_id} {what}", session_id=session_id)
    return chosen


def _page_of(sizes: dict[int, int], first_id: int, limit: int, max_bytes: int) -> tuple[list[int], list[int]]:
    """The ids of one page, and those after it."""
    ids = sorted(message_id for message_id in sizes if message_id >= first_id)
    total = 0
    for count, message_id in enumerate(ids):
        total += sizes[message_id]
        if count == limit or (count and total > max_bytes):
            return ids[:count], ids[count:]
    return ids, []
