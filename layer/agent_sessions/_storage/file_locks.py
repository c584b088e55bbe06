"""Locks between processes on files. A descriptor holds one, and the system releases it when its process dies.

A few file systems have no such locks: Lustre without ``flock``, NFS without its lock service, some SMB mounts on macOS.
There, threads of one process still exclude each other, and processes do not: ``docs/FILES.md`` says what follows.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING

from agent_sessions._storage.file_system import NFS_NOT_SUPPORTED, NO_FOLLOW, NON_BLOCKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_sessions._storage.file_system import FileSystem

LOCKS = ".locks"
"""Folder of the locks for compare-and-swap between processes: a few files, with names that tell nothing."""

WAIT_SECONDS = 10.0
"""How long an update waits for another. Updates take milliseconds, unless a process is stopped in the middle."""

NO_LOCKS = frozenset(
    {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL, NFS_NOT_SUPPORTED}  # ENOLCK: NFS
)
"""The errors that mean: there are no locks here."""

_LOCK_FILES = 64
_FIRST_POLL_SECONDS = 0.0005
_LAST_POLL_SECONDS = 0.01

if sys.platform == "win32":  # pragma: no cover - exercised on Windows only
    import msvcrt

    _HELD = frozenset({errno.EACCES, errno.EDEADLK})

    def _lock(descriptor: int, *, shared: bool) -> None:  # noqa: ARG001 - there are no shared ones
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    _HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})  # EACCES: SMB

    def _lock(descriptor: int, *, shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


class NoLocksError(OSError):
    """The file system has no locks."""


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock a file for this descriptor, without waiting. Closing it releases the lock, and so does the process's death.

    Args:
        descriptor: The open file.
        shared: Whether others may have a shared lock at the same time.

    Returns:
        Whether it was locked. If not, another descriptor has the lock.

    Raises:
        NoLocksError: There are no locks here.
        OSError: The system failed.
    """
    try:
        _lock(descriptor, shared=shared)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno in NO_LOCKS:
            raise NoLocksError(*error.args) from error
        raise
    return True


class FileLocks:
    """The locks of a store's keys; many keys share one.

    Args:
        folder: The store's folder. The locks lie in a folder there, however the store was opened.
        system: Logs once what the file system lacks.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        folder: str,
        system: FileSystem,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._folder = f"{folder}/{LOCKS}"
        self._system = system
        self._clock = clock
        self._sleep = sleep

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[bool]:
        """Keep others from updating a key during the block.

        Yields:
            Whether other processes are kept from it too, or only threads of this one.

        Raises:
            TimeoutError: Another writer has held the lock for too long.
            OSError: The system refused or failed, or something else lies where the locks should be.
        """
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % _LOCK_FILES
        path = f"{self._folder}/{number:02d}"
        descriptor = self._open(path)
        try:
            try:
                self._wait_for(lambda: try_lock(descriptor), path)
            except NoLocksError as error:
                self._system.tell_once(
                    "files cannot be locked here: two processes that update one record at once may lose an update",
                    path,
                    error,
                )
                with self._held_among_threads(path):
                    yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _held_among_threads(self, path: str) -> Iterator[None]:
        lock = _thread_locks.setdefault(path, threading.Lock())
        self._wait_for(lambda: lock.acquire(blocking=False), path)
        try:
            yield
        finally:
            lock.release()

    def work(self) -> bool:
        """Whether there are locks here. Each store finds out once in a process."""
        found = _found_to_work.get(self._folder)
        if found is None:
            with self.held("") as found:
                _found_to_work[self._folder] = found
        return found

    def _open(self, path: str) -> int:
        for _ in range(2):
            try:
                mode = os.lstat(self._folder).st_mode
                if stat.S_ISLNK(mode):  # files would be made outside of the store
                    raise OSError(errno.ELOOP, "refusing to follow a symbolic link", self._folder)
                if not stat.S_ISDIR(mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._folder)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW | NON_BLOCKING, 0o600)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(self._folder, 0o700)
            else:
                return descriptor
        return os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW | NON_BLOCKING, 0o600)

    def _wait_for(self, take: Callable[[], bool], path: str) -> None:
        if take():
            return
        give_up_at = self._clock() + WAIT_SECONDS
        poll = _FIRST_POLL_SECONDS
        while not take():
            if self._clock() >= give_up_at:
                raise TimeoutError(errno.ETIMEDOUT, f"another writer has held the lock for {WAIT_SECONDS:g} s", path)
            self._sleep(random.uniform(0.5, 1.0) * poll)  # noqa: S311 - no secret
            poll = min(2 * poll, _LAST_POLL_SECONDS)


_thread_locks: dict[str, threading.Lock] = {}
_found_to_work: dict[str, bool] = {}
