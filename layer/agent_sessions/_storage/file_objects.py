"""Objects as files in a folder, written so that neither a crash nor a second process can tear one."""
# Over 300 lines: the seven methods of a store on a file system, with every error of the system's.

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent_sessions._storage.file_errors import (
    code_of,
    left_over,
    not_a_file,
    refused_link,
    storage_error,
)
from agent_sessions._storage.file_locks import LOCKS, FileLocks
from agent_sessions._storage.file_paths import FilePaths, check_folder
from agent_sessions._storage.file_system import TEMPORARY, FileSystem, NotAFileError, read_file
from agent_sessions._storage.folders import drop_unneeded, entries_of, folder_of, make_folders, walk
from agent_sessions.identifiers import is_record_name
from agent_sessions.object_store import (
    Absent,
    Erased,
    Expectation,
    ListedObject,
    ObjectStore,
    PreconditionFailedError,
    StoredObject,
    Written,
    listed_key,
)
from agent_sessions.sweeps import LeftBehind, ListedVersion, Swept, Undeleted, VersionPage, all_but

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from agent_sessions.claims import Claim, LeaseTerms
    from agent_sessions.sweeps import Choose

    Collected = list[tuple[str, OSError]]

_WRITE_ATTEMPTS = 5
"""Tries of a write while its folder or temporary file is erased with an earlier life of its session."""

_ERASED_AT_ONCE = 1000
"""The most files that a step of an erasure deletes."""

DELETED_BY_NFS = ".nfs"
"""NFS renames a file to this when it is deleted while open on the same machine; it goes when it is closed."""


class FileObjects(ObjectStore):
    """Files below a folder, keys being relative paths.

    A file is written to a temporary name, flushed to the disk and moved into place, so a reader sees the old content
    or the new. Folders are made with mode 0700, files with 0600. Symbolic links below the root are refused: they
    would let their creator choose what is read or overwritten. The root itself may be one, or lie behind one.

    If the system refuses or fails, that is an error with the path. Only what the system says is absent counts as
    absent.

    Args:
        folder: Where the files live; made when the first one is written.
        root: The folder, or one above it, below which links are refused; the folder itself when not given.
    """

    def __init__(self, folder: Path, *, root: Path | None = None) -> None:
        self.folder = folder
        self.root = root or folder
        self._paths = FilePaths(folder, self.root)
        self._system = FileSystem(self._paths.root)
        self._locks = FileLocks(self._paths.base, self._system)

    def get(self, key: str) -> StoredObject | None:
        """See :meth:`ObjectStore.get`.

        Raises:
            SessionCorruptError: A folder, a pipe, a socket or a device lies there. It is not waited for.
        """
        path, found = self._paths.look(key, "read")
        return None if found is None else self._read(key, path, found)

    def _read(self, key: str, path: str, seen: os.stat_result) -> StoredObject | None:
        if not stat.S_ISREG(seen.st_mode):
            raise not_a_file(path, seen.st_mode, key=key)  # not opened: opening a device may have effects
        try:
            body, found = read_file(path)
        except FileNotFoundError:
            return None  # deleted since it was looked at
        except NotAFileError as error:
            raise not_a_file(path, error.mode, key=key) from None
        except OSError as error:
            raise storage_error("read", path, error, key=key) from error
        return StoredObject(body, _etag(body), _utc(found.st_mtime), datetime.now(UTC))

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        """See :meth:`ObjectStore.put`."""
        for attempt in range(_WRITE_ATTEMPTS):
            path, found = self._paths.look(key, "write")
            try:
                if isinstance(expect, Absent):
                    self._create(key, path, body)
                elif found is None:
                    raise PreconditionFailedError(key, None)
                else:
                    self._update(key, path, body, expect.etag, found)
            except FileNotFoundError as error:
                # The folder is not there yet, or somebody is erasing an earlier life of the session.
                if attempt + 1 == _WRITE_ATTEMPTS:
                    raise storage_error("write", path, error, key=key) from error
                self.make_folder(listed_key(folder_of(key) + "/", key))
            except OSError as error:
                raise storage_error("write", path, error, key=key) from error
            else:
                return Written(_etag(body), datetime.now(UTC))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _create(self, key: str, path: str, body: bytes) -> None:
        with self._system.temporary(folder_of(path), body) as temporary:
            try:
                self._system.create(temporary, path, lambda: self._locks.held(key))
            except FileExistsError:
                found = self.get(key)
                if found is None or found.body != body:
                    raise PreconditionFailedError(key, found) from None

    def _update(self, key: str, path: str, body: bytes, etag: str, seen: os.stat_result) -> None:
        with self._locks.held(key):
            found = self._read(key, path, seen)
            if found is None or found.etag != etag:
                raise PreconditionFailedError(key, found)
            with self._system.temporary(folder_of(path), body) as temporary:
                self._system.replace(temporary, path)

    def delete(self, keys: Iterable[str]) -> None:
        """See :meth:`ObjectStore.delete`."""
        left: Collected = []
        key = ""
        for key in keys:
            path, found = self._paths.look(key, "delete")
            try:
                if found is not None:
                    os.unlink(path)
            except FileNotFoundError:
                pass  # somebody was faster
            except OSError as error:
                left.append((path, error))
        if left:
            raise left_over(folder_of(left[0][0]), left, key=key)

    def delete_version(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:  # noqa: ARG002
        """See :meth:`ObjectStore.delete_version`."""
        path, found = self._paths.look(key, "delete")
        if found is None:
            return False
        try:
            with self._locks.held(key):
                stored = self._read(key, path, found)
                if stored is None or stored.etag != etag:
                    return False
                os.unlink(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error("delete", path, error, key=key) from error
        return True

    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        """See :meth:`ObjectStore.erase_some`. A step deletes everything it can, then raises what it could not."""
        swept = self.sweep(prefix, all_but(keep), still=still)
        if swept.left:
            tally = LeftBehind()
            tally.add(swept.left)
            raise tally.error(f"path={self._paths.path(prefix)}", session_id=getattr(prefix, "session_id", None))
        return Erased(len(swept.gone), swept.changed or swept.behind is not None)

    def sweep(self, prefix: str, choose: Choose, *, still: Callable[[], bool] | None = None, behind: str = "") -> Swept:
        """See :meth:`ObjectStore.sweep`.

        Links are deleted, not followed, and folders that are empty go, too. Files that are being written go as well: a
        dead writer's may hold words of the session, and a living writer writes again.
        """
        folder, named = self._paths.folder_in(prefix, "delete")
        if folder is None:
            return Swept(())
        left: Collected = []
        listed = walk(folder, lambda path, error: left.append((path, error)), self._below(prefix, behind))
        files, folders = self._first_files(listed, prefix)
        doomed = choose(files[:_ERASED_AT_ONCE])
        if still is not None and not still():
            return Swept(())
        gone, changed = self._unlink_all(doomed, left)
        staying = {entry.key for entry in files} - {entry.key for entry in gone}
        drop_unneeded(folders if named else [folder, *folders], [self._paths.path(key) for key in staying], left)
        return Swept(
            gone,
            [Undeleted(path, code_of(error)) for path, error in left],
            changed=changed,
            behind=_behind(files),
        )

    def list_versions(self, prefix: str, *, behind: str = "") -> VersionPage:
        """See :meth:`ObjectStore.list_versions`. What is being written is listed, too."""
        folder, _ = self._paths.folder_in(prefix, "list")
        if folder is None:
            return VersionPage((), None)
        listed = walk(folder, self._cannot_list(prefix), self._below(prefix, behind))
        files, _ = self._first_files(listed, prefix)
        return VersionPage(files[:_ERASED_AT_ONCE], _behind(files))

    def _first_files(
        self, listed: Iterable[tuple[str, os.stat_result]], prefix: str
    ) -> tuple[Sequence[ListedVersion], Sequence[str]]:
        """The files of one step, one more than it deletes, and the folders."""
        files: list[ListedVersion] = []
        folders: list[str] = []
        for path, seen in listed:
            if stat.S_ISDIR(seen.st_mode):
                folders.append(path)
                continue
            key = listed_key(self._paths.key(path), prefix)
            files.append(ListedVersion(key, _listed_version(seen), size=seen.st_size))
            if len(files) > _ERASED_AT_ONCE:
                break
        return files, folders

    def _unlink_all(self, files: Sequence[ListedVersion], left: Collected) -> tuple[Sequence[ListedVersion], bool]:
        """Delete files. Returns those that were deleted, and whether some have changed since they were listed."""
        gone, changed = [], False
        for entry in files:
            path = self._paths.path(entry.key)
            try:
                was_it = self._unlink_version(path, entry.etag or "")
            except OSError as error:
                left.append((path, error))
            else:
                if was_it:
                    gone.append(entry)
                changed = changed or was_it is False
        return gone, changed

    def _unlink_version(self, path: str, version: str) -> bool | None:
        """Delete a file if it is still the one that was listed; ``None`` when somebody else has deleted it."""
        name = path.rpartition("/")[2]
        try:
            if name.startswith(TEMPORARY):
                os.unlink(path)
                return True
            with self._locks.held(self._paths.key(path)):
                if _listed_version(os.lstat(path)) != version:
                    return False
                os.unlink(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EBUSY or not name.startswith(DELETED_BY_NFS):
                raise
            return None
        return True

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """See :meth:`ObjectStore.list`."""
        folder, _ = self._paths.folder_in(prefix, "list")
        if folder is None:
            return
        for path, seen in walk(folder, self._cannot_list(prefix), self._below(prefix, start_after)):
            listed = self._listed(listed_key(self._paths.key(path), prefix), path, seen)
            if listed is not None:
                yield listed

    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        """See :meth:`ObjectStore.list_folders`."""
        folder, _ = self._paths.folder_in(prefix, "list")
        if folder is None:
            return
        behind = f"{start_after}/" if start_after else ""
        for name in entries_of(folder, self._cannot_list(prefix)):
            if name.endswith("/") and name > behind and name.startswith(named) and name != f"{LOCKS}/":
                yield name[:-1]

    def stat(self, key: str) -> ListedObject | None:
        """See :meth:`ObjectStore.stat`."""
        path, found = self._paths.look(key, "read")
        return None if found is None else self._listed(key, path, found)

    def _listed(self, key: str, path: str, seen: os.stat_result) -> ListedObject | None:
        """An entry of a folder as a listing shows it; ``None`` when it is not a record."""
        name = path.rpartition("/")[2]
        if name.startswith((TEMPORARY, DELETED_BY_NFS)):
            return None
        # A folder in a record's place is listed as that record: reading it then raises the error.
        if stat.S_ISDIR(seen.st_mode) and not is_record_name(name):
            return None
        if stat.S_ISLNK(seen.st_mode) and os.path.isdir(path):
            raise refused_link(path, key=key)  # else the listing would lack what it points to
        return ListedObject(key, _listed_version(seen), _utc(seen.st_mtime), seen.st_size)

    def _below(self, prefix: str, start_after: str = "") -> Callable[[str], bool]:
        """Whether a path, or one below it, is asked for. Paths of folders end with a slash."""

        def is_wanted(path: str) -> bool:
            key = self._paths.key(path)
            is_behind = key > start_after or (key.endswith("/") and start_after.startswith(key))
            return is_behind and key.startswith(prefix) and key != f"{LOCKS}/"

        return is_wanted

    @staticmethod
    def _cannot_list(prefix: str) -> Callable[[str, OSError], None]:
        def failed(path: str, error: OSError) -> None:
            raise storage_error("list", path, error, key=prefix) from error

        return failed

    def claim(self, key: str, terms: LeaseTerms) -> Claim:
        """See :meth:`ObjectStore.claim`: a lock on a file."""
        from agent_sessions._storage.file_claim import FileClaim

        return FileClaim(self, key, terms)

    def is_named_exactly(self, prefix: str) -> bool:
        """See :meth:`ObjectStore.is_named_exactly`: the folder above says how the name is spelled."""
        above, _, name = prefix.rstrip("/").rpartition("/")
        folder, _ = self._paths.folder_in(listed_key(f"{above}/" if above else "", prefix), "list")
        return folder is None or f"{name}/" in entries_of(folder, self._cannot_list(prefix))

    def make_folder(self, prefix: str) -> None:
        """See :meth:`ObjectStore.make_folder`."""
        path, found = self._paths.look(prefix, "write")
        if found is not None:
            check_folder(path, found, key=prefix)
            return
        try:
            make_folders(path)
        except OSError as error:
            raise storage_error("write", path, error, key=prefix) from error

    def drop_empty_folder(self, prefix: str) -> None:
        """See :meth:`ObjectStore.drop_empty_folder`."""
        path, found = self._paths.look(prefix, "delete")
        if found is not None:
            with contextlib.suppress(OSError):  # it holds something; a folder that stays empty says nothing
                os.rmdir(path)

    def locks_work(self, key: str) -> bool:
        """Whether files can be locked here. See :class:`FileLocks`.

        Args:
            key: What is to be locked, for the error.

        Raises:
            SessionStorageError: The system refused or failed.
        """
        self._paths.look(listed_key("", key), "lock")
        try:
            try:
                return self._locks.work()
            except FileNotFoundError:
                self.make_folder("")
                return self._locks.work()
        except OSError as error:
            raise storage_error("lock", f"{self._paths.base}/{LOCKS}", error, key=key) from error


def _behind(files: Sequence[ListedVersion]) -> str | None:
    """The key behind which the next step goes on, if there are more files than a step takes."""
    return files[_ERASED_AT_ONCE - 1].key if len(files) > _ERASED_AT_ONCE else None


def _listed_version(found: os.stat_result) -> str:
    """The version of a file in a listing, without reading the file: every write makes a new inode."""
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
