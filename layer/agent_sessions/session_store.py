"""A place where sessions live: a bucket, a folder, or an object store of one's own."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import Layout
from agent_sessions.session_verbs import SessionVerbs
from agent_sessions.store_url import BucketAddress, FolderAddress, StoreUrlError, parse_store_url, shown

if TYPE_CHECKING:
    from pathlib import Path

    import boto3
    from mypy_boto3_s3.client import S3Client

    from agent_sessions._objects.read_ahead import ReadAhead
    from agent_sessions.object_store import ObjectStore
    from agent_sessions.repository_session_manager import RepositorySessionManager

_STORES: dict[type, type[SessionStore]] = {}
"""The class that opens each kind of address."""


class OpenOptions(NamedTuple):
    """The options a store is opened with: see :meth:`SessionStore.from_url`."""

    client: S3Client | None
    boto_session: boto3.Session | None
    ttl_days: float | None
    allow_unconditional: bool


class SessionStore(SessionVerbs):
    """The sessions below a prefix of a bucket, or in a folder: see :class:`SessionVerbs` for what it can do.

    Args:
        ttl_days: Days after its last use at which a session expires; ``0`` or ``None`` for never.
    """

    def __init_subclass__(cls, *, address: type | None = None) -> None:
        """Name the kind of address that the class opens: see ``agent_sessions.store_url``."""
        super().__init_subclass__()
        if address is not None:
            _STORES[address] = cls

    @classmethod
    def open(cls, address: Any, options: OpenOptions) -> SessionStore:
        """Open the store at an address of the class's own kind. Nothing is read or written yet."""
        raise NotImplementedError

    @staticmethod
    def from_url(
        url: str,
        *,
        client: S3Client | None = None,
        boto_session: boto3.Session | None = None,
        ttl_days: float | None = None,
        allow_unconditional: bool = False,
    ) -> SessionStore:
        """Open the store that a URL names.

        Args:
            url: ``s3://bucket``, ``s3://bucket/prefix`` or ``file:///folder``: see ``agent_sessions.store_url``.
            client: For S3: a client to use as it is.
            boto_session: For S3: makes the client when none is given.
            ttl_days: Days after its last use at which a session expires; ``0`` or ``None`` for never.
            allow_unconditional: For S3: see ``S3SessionManager``.

        Raises:
            ValueError: The URL is none of these, or the number of days is negative or not finite.
        """
        try:
            address = parse_store_url(url)
        except StoreUrlError as error:
            raise ValueError(f"store={shown(url)!r} | {error}") from None
        return _STORES[type(address)].open(address, OpenOptions(client, boto_session, ttl_days, allow_unconditional))

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

    def read_ahead(self, session_id: str, agent_id: str | None = None) -> ReadAhead | None:
        """Ask for what opening a session will need, while its lease is being taken.

        The answers are used if the lease was free; otherwise the session is read when it is opened, as without this.
        If another caller has ended a turn in between, or the session was erased or has expired, this turn's first
        message is refused with ``SessionConflictError``, before any effect: open the session again, without this.

        Args:
            session_id: The session.
            agent_id: The agent that will be restored; the one that was restored last when not given.

        Returns:
            Something for ``session_manager(session_id, lease=…, read_ahead=…)``; ``None`` where it would gain nothing.
        """


class ObjectSessionStore(SessionStore):
    """Sessions in an object store of any kind: one of your own, as ``docs/CUSTOM_STORE.md`` writes one.

    Args:
        objects: Where the objects live.
        prefix: What every key begins with.
        ttl_days: See :class:`SessionStore`.
    """

    def __init__(self, objects: ObjectStore, prefix: str = "", *, ttl_days: float | None = None) -> None:
        super().__init__(ttl_days=ttl_days)
        self._objects = objects
        self._layout = Layout(prefix)

    @property
    def objects(self) -> ObjectStore:
        """See :attr:`SessionStore.objects`."""
        return self._objects

    @property
    def layout(self) -> Layout:
        """See :attr:`SessionStore.layout`."""
        return self._layout

    def for_owner(self, owner_prefix: str) -> ObjectSessionStore:
        """See :meth:`SessionStore.for_owner`."""
        return ObjectSessionStore(self._objects, f"{self._layout.root}{owner_prefix}", ttl_days=self.ttl_days)

    def read_ahead(self, session_id: str, agent_id: str | None = None) -> ReadAhead | None:
        """See :meth:`SessionStore.read_ahead`."""
        from agent_sessions._objects.read_ahead import ReadAhead

        # In a cold start each request would open a connection of its own.
        if self._objects.executor is None or self._objects.hints.get("unused"):
            return None
        return ReadAhead(self._objects, self._layout, session_id, agent_id)

    def session_manager(self, session_id: str, **options: Any) -> RepositorySessionManager:
        """See :meth:`SessionStore.session_manager`."""
        from agent_sessions.repository_session_manager import RepositorySessionManager

        ours = {"ttl_days": self.ttl_days, "consolidates": True}
        repository = ObjectSessionRepository(self._objects, self._layout, **ours | options)
        return RepositorySessionManager(session_id, repository)


class S3SessionStore(ObjectSessionStore, address=BucketAddress):
    """Sessions in a bucket.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket's name.
        prefix: Where in the bucket the sessions live.
        ttl_days: See :class:`SessionStore`.
        allow_unconditional: See ``S3SessionManager``.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str = "",
        *,
        ttl_days: float | None = None,
        allow_unconditional: bool = False,
    ) -> None:
        from agent_sessions._storage.s3_objects import S3Objects

        folder = Layout(prefix).root
        objects = S3Objects(client, bucket, folder=folder, allow_unconditional=allow_unconditional)
        super().__init__(objects, prefix, ttl_days=ttl_days)
        self._client = client
        self._bucket = bucket
        self._allow_unconditional = allow_unconditional

    @classmethod
    def open(cls, address: BucketAddress, options: OpenOptions) -> S3SessionStore:
        """See :meth:`SessionStore.open`."""
        from agent_sessions.s3_session_manager import s3_client

        client = options.client or s3_client(options.boto_session)
        return cls(
            client,
            address.bucket,
            address.prefix,
            ttl_days=options.ttl_days,
            allow_unconditional=options.allow_unconditional,
        )

    def for_owner(self, owner_prefix: str) -> S3SessionStore:
        """See :meth:`SessionStore.for_owner`."""
        return S3SessionStore(
            self._client,
            self._bucket,
            f"{self._layout.root}{owner_prefix}",
            ttl_days=self.ttl_days,
            allow_unconditional=self._allow_unconditional,
        )

    def session_manager(self, session_id: str, **options: Any) -> RepositorySessionManager:
        """See :meth:`SessionStore.session_manager`."""
        from agent_sessions.s3_session_manager import S3SessionManager

        ours = {"ttl_days": self.ttl_days, "allow_unconditional": self._allow_unconditional}
        return S3SessionManager(session_id, self._bucket, self._layout.prefix, client=self._client, **ours | options)


class FileSessionStore(ObjectSessionStore, address=FolderAddress):
    """Sessions in a folder.

    Args:
        folder: The folder; made when the first session is.
        ttl_days: See :class:`SessionStore`.
        root: The folder, or one above it, below which symbolic links are refused; the folder itself when not given.
    """

    def __init__(self, folder: Path, *, ttl_days: float | None = None, root: Path | None = None) -> None:
        from agent_sessions._storage.file_objects import FileObjects

        self._folder = folder
        self._root = root or folder
        super().__init__(FileObjects(folder, root=self._root), ttl_days=ttl_days)

    @classmethod
    def open(cls, address: FolderAddress, options: OpenOptions) -> FileSessionStore:
        """See :meth:`SessionStore.open`."""
        return cls(address.folder, ttl_days=options.ttl_days)

    def for_owner(self, owner_prefix: str) -> FileSessionStore:
        """See :meth:`SessionStore.for_owner`."""
        return FileSessionStore(self._folder / owner_prefix, ttl_days=self.ttl_days, root=self._root)

    def session_manager(self, session_id: str, **options: Any) -> RepositorySessionManager:
        """See :meth:`SessionStore.session_manager`."""
        from agent_sessions.file_session_manager import FileSessionManager

        return FileSessionManager(
            session_id, str(self._folder), root=str(self._root), **{"ttl_days": self.ttl_days} | options
        )
