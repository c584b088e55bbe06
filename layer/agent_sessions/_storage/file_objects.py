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
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent_sessions._records.layout import session_id_in
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.object_store import (
    Absent,
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

    def erase(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> int:
        """See :meth:`ObjectStore.erase`."""
        folder = self._checked(prefix)
        doomed = [entry for entry in self.list(prefix) if entry.key not in keep]
        if still is not None and not still():
            return 0
        try:
            for entry in doomed:
                with self._locked(entry.key), contextlib.suppress(FileNotFoundError):
                    path = self.folder / entry.key
                    if _listed_version(path.lstat()) == entry.etag:
                        path.unlink()
        except OSError as error:
            raise _failed("delete", folder, error) from error
        # Temporary files of processes that died hold conversations, too. Those alive finish within seconds.
        for path in folder.rglob(f"{_TEMPORARY}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
        for path in sorted((path for path in [folder, *folder.rglob("*")] if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):  # not empty: it holds what is kept, or somebody has just written
                path.rmdir()
        return len(doomed)

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """See :meth:`ObjectStore.list`."""
        folder = self._checked(prefix)
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                if name.startswith(_TEMPORARY):
                    continue
                path = Path(root) / name
                key = path.relative_to(self.folder).as_posix()
                with contextlib.suppress(FileNotFoundError):  # deleted since the folder was read
                    found = path.lstat()
                    yield ListedObject(key, _listed_version(found), _utc(found.st_mtime), found.st_size)

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """See :meth:`ObjectStore.list_folders`."""
        folder = self._checked(prefix)
        if not folder.is_dir():
            return
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        for name in sorted(names, key=_with_slash):
            if _with_slash(name) > _with_slash(start_after) and name != LOCKS:
                yield name

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


def _with_slash(name: str) -> str:
    """What folders are ordered by, as in S3: ``a-b/`` comes before ``a/``."""
    return f"{name}/" if name else ""


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
