"""An object store in memory with a clock of its own, for tests that take thousands of steps."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from agent_sessions._records.layout import Layout
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.object_store import (
    Absent,
    Erased,
    Expectation,
    ListedObject,
    ObjectStore,
    PreconditionFailedError,
    StoredObject,
    Written,
)

T = TypeVar("T")


class MemoryObjects(ObjectStore):
    """Objects in a dictionary. Times are told in whole seconds, as S3 does.

    Args:
        clock: Seconds since the epoch, by the storage.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.bodies: dict[str, tuple[bytes, datetime]] = {}
        self.failing = 0
        """How many of the next writes fail: unapplied when positive, applied when negative."""

    def _now(self) -> datetime:
        return datetime.fromtimestamp(int(self.clock()), UTC)

    def stored(self, key: str) -> StoredObject | None:
        found = self.bodies.get(key)
        return None if found is None else StoredObject(found[0], etag(found[0]), found[1], self._now())

    def get(self, key: str) -> StoredObject | None:
        return self.stored(key)

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        if self.failing > 0:
            self.failing -= 1
            raise SessionStorageError("unapplied", code="SlowDown", key=key)
        found = self.stored(key)
        if (found is not None) if isinstance(expect, Absent) else (found is None or found.etag != expect.etag):
            raise PreconditionFailedError(key, found)
        self.bodies[key] = (body, self._now())
        if self.failing < 0:
            self.failing += 1
            raise SessionStorageError("applied, and the answer lost", code="ReadTimeoutError", key=key)
        return Written(etag(body), self._now())

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.bodies.pop(key, None)

    def delete_version(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        found = self.stored(key)
        if found is None or found.etag != etag:
            return False
        del self.bodies[key]
        return True

    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        doomed = [key for key in self.bodies if key.startswith(prefix) and key not in keep]
        if still is not None and not still():
            return Erased(0, more=False)
        self.delete(doomed)
        return Erased(len(doomed), more=False)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        for key in sorted(key for key in self.bodies if key.startswith(prefix) and key > start_after):
            body, at = self.bodies[key]
            yield ListedObject(key, etag(body), at, len(body))

    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        names = {key[len(prefix) :].split("/")[0] for key in self.bodies if key.startswith(f"{prefix}{named}")}
        yield from sorted(name for name in names if name > start_after)


class MemoryPlace:
    """A place with objects in memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.objects = MemoryObjects(clock)
        self.layout = Layout()


def etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
