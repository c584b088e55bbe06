"""Objects as files in a folder, written so that neither a crash nor a second process can tear one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import tempfile
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent_sessions._records.layout import session_id_in
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

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence

_T = TypeVar("_T")

LOCKS = ".locks"
"""Folder of the locks that make an update a compare-and-swap among processes: a few files, none named after anyone."""

_LOCK_FILES = 64
_TEMPORARY = ".writing-"
_ABANDONED_SECONDS = 3600
_ERASED_AT_ONCE = 1000


class FileObjects(ObjectStore):
    """Files below a folder, keys being relative paths.

    A file is written to a temporary name, flushed to the disk and moved into place, so a reader sees the old content
    or the new. Folders are made with mode 0700, files with 0600. Symbolic links below the folder are refused: they
    would let whoever may create one choose what is read or overwritten.

    Args:
        folder: Where the files live; made when the first one is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> StoredObject | None:
        """See :meth:`ObjectStore.get`."""
        path = self._checked(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("read", path, error) from error
        with os.fdopen(descriptor, "rb") as file:
            body = file.read()
            modified = os.fstat(file.fileno()).st_mtime
        return StoredObject(body, _etag(body), _utc(modified), datetime.now(UTC))

    def get_many(self, keys: Sequence[str]) -> Sequence[StoredObject | None]:
        """See :meth:`ObjectStore.get_many`."""
        return [self.get(key) for key in keys]

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        """See :meth:`ObjectStore.put`."""
        path = self._checked(key)
        try:
            self._make_folders(path.parent)
            if isinstance(expect, Absent):
                self._create(key, path, body)
            else:
                with self._locked(key):
                    found = self.get(key)
                    if found is None or found.etag != expect.etag:
                        raise PreconditionFailedError(key, found)
                    self._replace(path, body)
        except OSError as error:
            raise _failed("write", path, error) from error
        return Written(_etag(body), datetime.now(UTC))

    def _create(self, key: str, path: Path, body: bytes) -> None:
        with self._temporary(path, body) as temporary:
            try:
                # A link, not a rename: a rename would replace what another process has just created.
                os.link(temporary, path)
            except FileExistsError:
                found = self.get(key)
                if found is None or found.body != body:
                    raise PreconditionFailedError(key, found) from None
        _sync_folder(path.parent)

    def _replace(self, path: Path, body: bytes) -> None:
        with self._temporary(path, body) as temporary:
            temporary.replace(path)
        _sync_folder(path.parent)

    @contextlib.contextmanager
    def _temporary(self, path: Path, body: bytes) -> Iterator[Path]:
        """A flushed file of unpredictable name beside the path; removed unless it was moved away."""
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_TEMPORARY, suffix=".tmp")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def delete(self, keys: Iterable[str]) -> None:
        """See :meth:`ObjectStore.delete`."""
        for key in keys:
            path = self._checked(key)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _failed("delete", path, error) from error

    def delete_version(self, key: str, etag: str) -> bool:
        """See :meth:`ObjectStore.delete_version`."""
        path = self._checked(key)
        try:
            with self._locked(key):
                found = self.get(key)
                if found is None or found.etag != etag:
                    return False
                path.unlink()
        except OSError as error:
            raise _failed("delete", path, error) from error
        return True

    def delete_current(self, key: str, etag: str) -> bool:
        """See :meth:`ObjectStore.delete_current`. Files have no older versions."""
        return self.delete_version(key, etag)

    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        """See :meth:`ObjectStore.erase_some`."""
        folder = self._checked(prefix)
        found = list(islice((entry for entry in self.list(prefix) if entry.key not in keep), _ERASED_AT_ONCE + 1))
        doomed, more = found[:_ERASED_AT_ONCE], len(found) > _ERASED_AT_ONCE
        if still is not None and not still():
            return Erased(0, more=False)
        erased = 0
        try:
            for entry in doomed:
                with self._locked(entry.key), contextlib.suppress(FileNotFoundError):
                    path = self.folder / entry.key
                    if _listed_version(path.lstat()) == entry.etag:
                        path.unlink()
                        erased += 1
                    else:
                        more = True
        except OSError as error:
            raise _failed("delete", folder, error) from error
        if more:
            return Erased(erased, more=True)
        # Temporary files of processes that died hold conversations, too. Those alive finish within seconds.
        for path in folder.rglob(f"{_TEMPORARY}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
        for path in sorted((path for path in [folder, *folder.rglob("*")] if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):  # not empty: it holds what is kept, or somebody has just written
                path.rmdir()
        return Erased(erased, more=False)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """See :meth:`ObjectStore.list`."""
        folder, _, named = prefix.rpartition("/")
        yield from self._list(f"{folder}/" if folder else "", named, start_after)

    def _list(self, folder: str, named: str, start_after: str) -> Iterator[ListedObject]:
        for key, is_folder in self._names_in(folder):
            if not key.startswith(f"{folder}{named}") or key == f"{LOCKS}/":
                continue
            if is_folder:
                if key > start_after or start_after.startswith(key):
                    yield from self._list(key, "", start_after)
            elif key > start_after and not key.startswith(f"{folder}{_TEMPORARY}"):
                found = self._stat(key)
                if found is not None:  # deleted since the folder was read
                    yield found

    def _names_in(self, folder: str) -> Sequence[tuple[str, bool]]:
        """The keys in a folder, and whether each is a folder: then it ends with a slash, by which S3 orders it."""
        path = self._checked(folder)
        try:
            with os.scandir(path) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _failed("list", path, error) from error
        return sorted((f"{folder}{name}/" if is_folder else f"{folder}{name}", is_folder) for name, is_folder in found)

    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        """See :meth:`ObjectStore.list_folders`."""
        for key, is_folder in self._names_in(prefix):
            name = key[len(prefix) :]
            behind = not start_after or name > f"{start_after}/"
            if is_folder and behind and name.startswith(named) and key != f"{LOCKS}/":
                yield name[:-1]

    def stat_many(self, keys: Sequence[str]) -> Sequence[ListedObject | None]:
        """See :meth:`ObjectStore.stat_many`."""
        return [self._stat(key) for key in keys]

    def _stat(self, key: str) -> ListedObject | None:
        path = self.folder / key
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("read", path, error) from error
        if stat.S_ISDIR(found.st_mode):
            return None
        return ListedObject(key, _listed_version(found), _utc(found.st_mtime), found.st_size)

    def submit(
        self,
        work: Callable[[], _T],
        *,
        head_start: float = 0.0,  # noqa: ARG002
        wanted: threading.Event | None = None,  # noqa: ARG002
        begun: bool = False,  # noqa: ARG002
    ) -> Future[_T]:
        """See :meth:`ObjectStore.submit`. A disk answers at once: the work is done here and now."""
        done: Future[_T] = Future()
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - a future carries it to whoever waits
            done.set_exception(error)
        else:
            done.set_result(result)
        return done

    def make_folder(self, prefix: str) -> None:
        """See :meth:`ObjectStore.make_folder`."""
        folder = self._checked(prefix)
        try:
            self._make_folders(folder)
        except OSError as error:
            raise _failed("write", folder, error) from error

    def drop_empty_folder(self, prefix: str) -> None:
        """See :meth:`ObjectStore.drop_empty_folder`."""
        with contextlib.suppress(OSError):  # it holds something, or it is gone
            self._checked(prefix).rmdir()

    def _make_folders(self, folder: Path) -> None:
        # Path.mkdir gives parents the default mode, and every folder on the way holds conversations.
        for path in [*reversed(folder.parents), folder]:
            if path == self.folder or self.folder in path.parents or not path.exists():
                path.mkdir(mode=0o700, exist_ok=True)

    def _checked(self, key: str) -> Path:
        """The path of a key, after looking for symbolic links on the way from the folder to it."""
        path = self.folder
        for part in key.split("/"):
            if part:
                path = path / part
                if _is_link(path):
                    raise SessionStorageError(
                        f"path={path} | refusing to follow a symbolic link: somebody may have put it there to have "
                        "other files read or overwritten",
                        code="SymbolicLink",
                        key=key,
                        session_id=session_id_in(key),
                    )
        return path

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Keep other processes from updating the key."""
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % _LOCK_FILES
        folder = self.folder / LOCKS
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder / f"{number:02d}", os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o600)
        try:
            _lock(descriptor)  # closing the descriptor, or the process's death, unlocks it
            yield
        finally:
            os.close(descriptor)


if sys.platform == "win32":  # pragma: no cover - exercised on Windows only
    import msvcrt

    _NO_FOLLOW = 0

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)

    def _sync_folder(folder: Path) -> None:
        """Windows flushes a folder with the file."""
else:
    import fcntl

    _NO_FOLLOW = os.O_NOFOLLOW

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _sync_folder(folder: Path) -> None:
        """A new name is durable once its folder is."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _listed_version(found: os.stat_result) -> str:
    """What names a version in a listing, without reading the file: every write makes a new inode."""
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except OSError:
        return False


def _failed(doing: str, path: Path, error: OSError) -> SessionStorageError:
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return SessionStorageError(
        f"path={path} | could not {doing} it: {error}",
        code=name,
        key=str(path),
        session_id=session_id_in(path.as_posix()),
    )
