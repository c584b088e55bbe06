"""The few operations on objects that sessions need, wherever the objects are kept.

Every write says what it expects to find. That is the whole concurrency control of this package: a writer that is wrong
about what is stored does not write.
"""
# Over 300 lines: one contract, and most of it is what each method promises.

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from agent_sessions.exceptions import SessionStorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from datetime import datetime

    from agent_sessions.claims import Claim, LeaseTerms
    from agent_sessions.sweeps import Choose, ListedVersion, Swept, VersionPage

_T = TypeVar("_T")
_A = TypeVar("_A")

ABANDONED = "Abandoned"
"""The code of a request that was not sent because nobody wanted it any more: see :meth:`ObjectStore.only_while`."""

_LISTED_BY_A_STEP = 1_000


# Named tuples, here and in the other modules that every session loads: making one frozen dataclass costs a
# millisecond of each cold start.
class Key(str):
    """A key that says which session it belongs to, so that nobody has to parse its text.

    Errors about the object name the session, too. To a store it is a key like any other.

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
        etag: Names this version. Opaque: equal bytes may have different ETags.
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
        etag: Names the version that was written.
        at: When it was written, by the storage's clock.
    """

    etag: str
    at: datetime


class Erased(NamedTuple):
    """What one step of an erasure came to.

    Attributes:
        objects: How many objects and versions it deleted.
        more: Whether something is left: it did not fit into the step, or was written anew after the step looked.
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

    A store has to write seven methods, the abstract ones. The others have a default that is right for every store.
    Override one if your store can do better, or has what others lack. ``docs/CUSTOM_STORE.md`` writes a store, and
    ``agent_sessions.conformance.object_store`` tests one.

    Every method may raise ``SessionStorageError`` when the storage refuses or fails.
    """

    # --- what every store must do -------------------------------------------------------------------------

    @abstractmethod
    def get(self, key: str) -> StoredObject | None:
        """Read an object, or ``None`` when there is none."""

    @abstractmethod
    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        """Write an object if what is stored is what the writer expects.

        If a write was applied but its answer was lost, it counts as this writer's success. Bodies carry a nonce, so
        equal bytes are the writer's own.

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
            instead: The bytes to leave in its place if the store knows no conditional deletes. A conditional write
                cannot hit what somebody has just written there; looking first and deleting then can.

        Returns:
            Whether it was deleted; if not, nothing was.
        """

    @abstractmethod
    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        """Delete some of the objects below a prefix, older versions included where the store keeps and shows them.

        One step is a few requests, however much lies there: it lists and deletes about a thousand objects. Objects
        written after the step has listed are left alone: they may belong to a new life of a session.

        Args:
            prefix: Ends with a slash.
            keep: Keys whose current version stays.
            still: Asked between the listing and the deletion. Unless it says yes, nothing is deleted and nothing is
                left to do.

        Raises:
            SessionStorageError: Names the keys that could not be deleted.
        """

    @abstractmethod
    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """The objects below a prefix, in the order of their keys. A thousand cost a request when they are asked for.

        Args:
            prefix: What the keys begin with.
            start_after: Only keys after this one, which need not be an object's.
        """

    @abstractmethod
    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        """The names of the folders directly below a prefix, in the order of their keys. A thousand cost a request.

        Args:
            prefix: The folder to look into.
            named: Only names that begin with this.
            start_after: Only folders after the one of this name.
        """

    # --- what a store may do better -----------------------------------------------------------------------

    def check(self) -> None:  # noqa: B027 - most stores have nothing to check
        """Check, before the first write does, that the store keeps the conditions that sessions rest on.

        Raises:
            ConditionsNotKeptError: It does not keep them.
        """

    def get_many(self, keys: Sequence[str]) -> Sequence[StoredObject | None]:
        """Read several objects at once; as many answers as keys, in their order."""
        return self._at_once(self.get, keys)

    def stat_many(self, keys: Sequence[str]) -> Sequence[ListedObject | None]:
        """What a listing would show of these objects, at once; ``None`` where there is none."""
        return self._at_once(self.stat, keys)

    def stat(self, key: str) -> ListedObject | None:
        """What a listing would show of an object, without its bytes where the store can tell; ``None`` if none."""
        found = self.get(key)
        return None if found is None else ListedObject(key, found.etag, found.last_modified, len(found.body))

    def _at_once(self, ask: Callable[[_A], _T], asked: Sequence[_A]) -> Sequence[_T]:
        executor = self.executor if len(asked) > 1 else None
        return [*(map(ask, asked) if executor is None else executor.map(ask, asked))]

    def delete_current(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        """As :meth:`delete_version`, in one request. If the store keeps versions, older ones stay."""
        return self.delete_version(key, etag, instead=instead)

    def copy_from(self, source: ObjectStore, entry: ListedObject, key: str) -> Written | None:  # noqa: ARG002 - see below
        """Have the storage itself copy an object of another store; with the errors of :meth:`put` of ``Absent``.

        Args:
            source: The other store.
            entry: The object, as a listing shows it. Another version is not copied.
            key: Its key here.

        Returns:
            What was written; ``None`` if that cannot be done, or the object has changed: read it and write it.
        """
        return None

    def sweep(self, prefix: str, choose: Choose, *, still: Callable[[], bool] | None = None, behind: str = "") -> Swept:
        """One step of an erasure that passes what it cannot delete: about a thousand keys, older versions included.

        Without an override it costs two reads and a deletion for each object, and versions go where
        :meth:`erase_some` deletes them.

        Args:
            prefix: What the keys begin with.
            choose: Gets what the step has listed, in the order of the keys, and returns what of it is to go. Each is
                deleted if nobody has written it since.
            still: Asked after ``choose``. Unless it says yes, nothing is deleted and the step says that it is the last.
            behind: Only keys behind this one: ``behind`` of the step before.

        Raises:
            SessionStorageError: The storage failed. What single objects' deletion failed for is in the outcome.
        """
        from agent_sessions.sweeps import Swept, Undeleted

        listed, goes_on = self.list_versions(prefix, behind=behind)
        doomed = choose(listed)
        if still is not None and not still():
            return Swept(())
        fates = self._at_once(self._delete_unchanged, doomed)
        gone = [entry for entry, fate in zip(doomed, fates, strict=True) if fate is True]
        left = [Undeleted(entry.key, fate) for entry, fate in zip(doomed, fates, strict=True) if isinstance(fate, str)]
        if goes_on is None and not left:
            # What a listing does not show: versions that the store keeps, empty folders.
            kept = {entry.key for entry in listed} - {entry.key for entry in doomed}
            self.erase_some(prefix, keep=sorted(kept), still=still or (lambda: self._shows_only(prefix, kept)))
        return Swept(gone, left, changed=False in fates, behind=goes_on)

    def list_versions(self, prefix: str, *, behind: str = "") -> VersionPage:
        """A page of about a thousand keys, older versions and delete markers included where the store shows them.

        Args:
            prefix: What the keys begin with.
            behind: Only keys behind this one: ``behind`` of the page before.
        """
        from agent_sessions.sweeps import ListedVersion, VersionPage

        page = list(islice(self.list(prefix, start_after=behind), _LISTED_BY_A_STEP))
        entries = [ListedVersion(entry.key, entry.etag, size=entry.size) for entry in page]
        return VersionPage(entries, entries[-1].key if len(entries) == _LISTED_BY_A_STEP else None)

    def _delete_unchanged(self, entry: ListedVersion) -> bool | str | None:
        """Delete what was listed: ``False`` if it was written anew, ``None`` if it is gone, else the error's code."""
        try:
            found = self.get(entry.key)
            seen = None if found is None else self.stat(entry.key)
            if found is None or seen is None:
                return None
            # A listing may name a version otherwise than a read does.
            return seen.etag == entry.etag and self.delete_version(entry.key, found.etag)
        except SessionStorageError as error:
            if error.code == ABANDONED:
                raise
            return error.code

    def _shows_only(self, prefix: str, keys: Collection[str]) -> bool:
        return all(entry.key in keys for entry in islice(self.list(prefix), len(keys) + 1))

    def erase(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> int:
        """Delete everything below a prefix: as many steps of :meth:`erase_some` as it takes, with its arguments.

        Returns:
            How many objects and versions were deleted.

        Raises:
            SessionStorageError: Names the keys that could not be deleted.
        """
        from agent_sessions.sweeps import Sweeping, all_but

        sweeping = Sweeping(lambda behind: self.sweep(prefix, all_but(keep), still=still, behind=behind))
        # A step that deletes nothing but what was just written leaves that alone: see `still`.
        while sweeping.take_step() and not sweeping.vain_steps:
            pass
        if sweeping.left.count:
            raise sweeping.left.error(f"prefix={prefix}", session_id=getattr(prefix, "session_id", None))
        return sweeping.erased

    def only_while(self, wanted: Callable[[], bool]) -> AbstractContextManager[None]:  # noqa: ARG002 - see below
        """Send this thread's requests, and their repetitions, only while somebody wants them.

        A request may hang while its caller's process is frozen. Without this, its repetition would be sent long after
        the caller has given up. A store whose requests cannot hang need not do anything.

        Args:
            wanted: Asked before each request is sent. When it says no, ``SessionStorageError`` with the code
                ``Abandoned`` is raised instead.
        """
        return nullcontext()

    def claim(self, key: str, terms: LeaseTerms) -> Claim | None:  # noqa: ARG002 - see below
        """This store's own way to hold the lease at a key, such as a lock that ends with its process.

        Returns:
            The claim, which has not asked for anything yet. ``None`` if the store has no way of its own: then the lease
                is an object, written under conditions and taken over when it has run out by the storage's clock.
        """
        return None

    @property
    def executor(self) -> Executor | None:
        """The threads that wait for this store; ``None`` if the store answers as fast as a thread wakes.

        There are as many as the store answers requests at once. All stores of one client share them.
        """
        return None

    @property
    def removes_by_age(self) -> bool:
        """Whether a rule of the store may remove single objects by their age, so that turns have to renew them."""
        return False

    @property
    def hints(self) -> dict[str, str]:
        """Guesses that one restore leaves for the next, such as the agent to ask for. A wrong one costs a read."""
        return {}

    def is_named_exactly(self, prefix: str) -> bool:  # noqa: ARG002 - most stores take every name for itself
        """Whether what lies below a prefix was stored under exactly this name, not a similar one.

        A file system may ignore letter case, or how a character is composed.
        """
        return True

    def make_folder(self, prefix: str) -> None:  # noqa: B027 - most stores have no folders
        """Make an empty folder, if the store has folders. Strands' file manager expects to find them."""

    def drop_empty_folder(self, prefix: str) -> None:  # noqa: B027 - most stores have no folders
        """Remove an empty folder, if the store has folders."""
