"""The few operations on objects that sessions need, whatever holds the objects.

Every write says what it expects to find. That is the whole concurrency control of this package: a writer that is wrong
about what is stored does not write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from datetime import datetime
    from threading import Event

_T = TypeVar("_T")


# Named tuples, here and in the other modules that every session loads: making one frozen dataclass costs a
# millisecond of each cold start.
HEAD_START_SECONDS = 0.003
"""Of the request that somebody waits for, before one that goes beside it: to prepare one takes a millisecond or two."""


class Key(str):
    """A key that says which session it belongs to: what makes it knows, and nobody takes its text apart to learn it.

    Errors about the object say it, too. To a store it is a key as any other.

    Attributes:
        session_id: The session; ``None`` when it belongs to none.
    """

    __slots__ = ("session_id",)
    session_id: str | None

    def __new__(cls, text: str, session_id: str | None = None) -> Self:
        """Make a key of its text."""
        key = super().__new__(cls, text)
        key.session_id = session_id
        return key


def listed_key(text: str, prefix: str) -> Key:
    """A key that was found below a prefix: it belongs to the session that the prefix belongs to."""
    return Key(text, getattr(prefix, "session_id", None))


class StoredObject(NamedTuple):
    """An object as it was read.

    Attributes:
        body: Its bytes.
        etag: What names this version of it. Opaque: equal bytes may have different ETags.
        last_modified: When it was last written, by the storage's clock.
        read_at: When it was read, by the storage's clock.
    """

    body: bytes
    etag: str
    last_modified: datetime
    read_at: datetime


class ListedObject(NamedTuple):
    """An object as a listing shows it. See :class:`StoredObject` for the fields."""

    key: str
    etag: str
    last_modified: datetime
    size: int


class Written(NamedTuple):
    """The outcome of a write.

    Attributes:
        etag: What names the version that was written.
        at: When, by the storage's clock.
    """

    etag: str
    at: datetime


class Erased(NamedTuple):
    """What one step of an erasure came to.

    Attributes:
        objects: How many objects and versions it deleted.
        more: Whether something is left: what did not fit into the step, or was written anew since the step looked.
    """

    objects: int
    more: bool


class Absent:
    """Expect no object at the key. S3: ``If-None-Match: *``."""


class Unchanged(NamedTuple):
    """Expect the version that was read. S3: ``If-Match: <etag>``."""

    etag: str


Expectation = Absent | Unchanged


class PreconditionFailedError(Exception):
    """The object is not as the writer expected; nothing was written.

    Attributes:
        key: The object's key.
        found: What is there instead; ``None`` when there is nothing.
    """

    def __init__(self, key: str, found: StoredObject | None) -> None:
        super().__init__(f"key={key} | not as expected: {'another version is stored' if found else 'it is gone'}")
        self.key = key
        self.found = found


class ObjectStore(ABC):
    """Objects by key. Implementations only move bytes; they know nothing of sessions.

    Every method may raise ``SessionStorageError`` when the storage refuses or fails.
    """

    def check(self) -> None:  # noqa: B027 - most stores have nothing to check
        """See that the store keeps what sessions rest on, before the first write does.

        Raises:
            ConditionsNotKeptError: It does not.
        """

    @abstractmethod
    def get(self, key: str) -> StoredObject | None:
        """Read an object, or ``None`` when there is none."""

    @abstractmethod
    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        """Write an object if what is stored is what the writer expects.

        A write that was applied although its answer was lost counts as this writer's success: bodies carry a nonce,
        so equal bytes are one's own.

        Raises:
            PreconditionFailedError: Something else is stored, or nothing where something was expected.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects by key. A key without an object is no error.

        Raises:
            SessionStorageError: Names the keys that could not be deleted.
        """

    @abstractmethod
    def delete_version(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        """Delete an object if it is still the version that was read.

        Args:
            key: The object's key.
            etag: The version.
            instead: What to leave in its place where the store knows no conditional deletes: replacing it under a
                condition cannot meet what somebody has just written there, which looking first and deleting then can.

        Returns:
            Whether it was; otherwise nothing was deleted.
        """

    @abstractmethod
    def delete_current(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        """As :meth:`delete_version`, in one request: where the store keeps versions, older ones stay."""

    @abstractmethod
    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        """Delete some of the objects below a prefix, older versions included where the store keeps and shows them.

        One step is a few requests, however much lies there: about a thousand objects are listed and deleted. What is
        written after the step has listed it is left alone: it may belong to a new life of a session.

        Args:
            prefix: Ends with a slash.
            keep: Keys whose current version to leave alone.
            still: Asked between the listing and the deletion; unless it says yes, nothing is deleted and nothing is
                left to do.

        Raises:
            SessionStorageError: Names the keys that could not be deleted.
        """

    def erase(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> int:
        """Delete everything below a prefix: as many steps of :meth:`erase_some` as it takes, with its arguments.

        Returns:
            How many objects and versions were deleted.

        Raises:
            SessionStorageError: Names the keys that could not be deleted.
        """
        count = 0
        while True:
            step = self.erase_some(prefix, keep=keep, still=still)
            count += step.objects
            # A step that deleted nothing met what somebody has just written, which is to be left alone.
            if not step.more or not step.objects:
                return count

    def only_while(self, wanted: Callable[[], bool]) -> AbstractContextManager[None]:  # noqa: ARG002 - see below
        """Send requests of this thread only while somebody wants them, repetitions of a request included.

        A request may hang for as long as its caller's process is frozen. Without this, its repetition would be sent
        long after the caller has given up. A store whose requests cannot hang need not do anything.

        Args:
            wanted: Asked before each request is sent. When it says no, ``SessionStorageError`` with the code
                ``Abandoned`` is raised instead.
        """
        return nullcontext()

    @abstractmethod
    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """The objects below a prefix, in the order of their keys. A thousand cost a request when they are asked for.

        Args:
            prefix: What the keys begin with.
            start_after: Only keys behind this one; need not be an object's.
        """

    @abstractmethod
    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        """The names of the folders directly below a prefix, in the order of their keys. A thousand cost a request.

        Args:
            prefix: The folder to look into.
            named: Only names that begin with this.
            start_after: Only folders behind the one of this name.
        """

    @abstractmethod
    def stat_many(self, keys: Sequence[str]) -> Sequence[ListedObject | None]:
        """What a listing would show of these objects, at once and without their bytes; ``None`` where there is none."""

    @abstractmethod
    def submit(
        self, work: Callable[[], _T], *, head_start: float = 0.0, wanted: Event | None = None, begun: bool = False
    ) -> Future[_T]:
        """Run something that waits for this store, beside the caller.

        Args:
            work: What to run.
            head_start: Seconds to wait before it begins, where it need not begin at once: preparing a request takes a
                millisecond of processor or two from a caller who is about to wait for something else anyway.
            wanted: Set when somebody waits for it: then it begins, whatever is left of the head start.
            begun: Whether to return only when it has begun.
        """

    @abstractmethod
    def get_many(self, keys: Sequence[str]) -> Sequence[StoredObject | None]:
        """Read several objects at once; as many answers as keys, in their order."""

    @property
    def removes_by_age(self) -> bool:
        """Whether a rule of the store may remove single objects by their age, so that turns have to renew them."""
        return False

    @property
    def hints(self) -> dict[str, str]:
        """What one session suggests of the next: shared by all stores of one client, and never relied upon."""
        return {}

    def is_named_exactly(self, prefix: str) -> bool:  # noqa: ARG002 - most stores take every name for itself
        """Whether what lies below a prefix was stored under exactly this name, and not under one like it.

        A file system may ignore letter case, or how a character is composed.
        """
        return True

    def make_folder(self, prefix: str) -> None:  # noqa: B027 - most stores have no folders
        """Make an empty folder where the store has such a thing. Strands' file manager wants to find them."""

    def drop_empty_folder(self, prefix: str) -> None:  # noqa: B027 - most stores have no folders
        """Remove a folder if nothing is in it, where the store has such a thing."""
