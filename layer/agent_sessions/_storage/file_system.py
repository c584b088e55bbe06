"""What a store of files needs of a file system, and what it does where a file system lacks it.

* **A name that two processes cannot both take**: a hard link, which fails when the name is taken. Without hard links
  (FAT, many SMB, FUSE and virtual-machine mounts): looking and renaming, under the lock of the key. Without locks as
  well: the name is taken by an empty file first, which the whole one replaces.
* **A flush**, of the file and of the folder that its name is in. Where there is none, what was written lasts as long as
  that file system makes it last.

What is lacking is told in the log once, for each store and process. ``docs/FILES.md`` has the table.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

logger = logging.getLogger(__name__)

TEMPORARY = ".writing-"
"""Begins the names of files that are being written."""

NFS_NOT_SUPPORTED = 524
"""An error number of NFS that some kernels pass on. It has no name."""

NO_LINKS = frozenset(
    {
        errno.EPERM,  # Linux: FAT, exFAT, vboxsf, BeeGFS
        errno.ENOTSUP,  # macOS: SMB, exFAT
        errno.EOPNOTSUPP,  # Linux: SMB, 9p, virtiofs
        errno.ENOSYS,  # FUSE
        errno.EMLINK,  # a file may have one name
        errno.EXDEV,  # AFS; some overlays
        errno.EACCES,  # Android, sandboxes. If permission is lacking, the rename fails as well
        errno.EINVAL,  # Windows: exFAT
        NFS_NOT_SUPPORTED,
    }
)
"""The errors of linking where files cannot have two names. Errors of the disk are not among them."""

NO_FLUSH = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, NFS_NOT_SUPPORTED}  # SMB, FUSE, vboxsf
)
"""The errors of a flush where there is none. EIO, ENOSPC and EDQUOT are not among them: those lost something."""

NO_FOLDER_FLUSH = NO_FLUSH | {
    errno.EBADF,  # a folder's descriptor is for reading alone
    errno.EACCES,  # a folder that may be written to but not be read cannot be opened
    errno.EPERM,
    errno.EISDIR,
}
"""The same for flushing a folder."""

if sys.platform == "win32":  # pragma: no cover - exercised on Windows only
    NO_FOLLOW = NON_BLOCKING = 0
    BINARY = os.O_BINARY
else:
    NO_FOLLOW = os.O_NOFOLLOW
    NON_BLOCKING = os.O_NONBLOCK  # opening a pipe then does not wait for its other end
    BINARY = 0


class NotAFileError(Exception):
    """What was opened is a folder, a pipe, a socket or a device.

    Attributes:
        mode: What the system says it is.
    """

    def __init__(self, mode: int) -> None:
        super().__init__(stat.filemode(mode))
        self.mode = mode


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """The content of a file, and what the system knows of it.

    Raises:
        NotAFileError: It is something else, and was not read: reading a pipe could wait for ever.
        OSError: The system refused or failed.
    """
    descriptor = os.open(path, os.O_RDONLY | BINARY | NO_FOLLOW | NON_BLOCKING)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotAFileError(found.st_mode)
        body = os.read(descriptor, found.st_size + 1)
        while more := os.read(descriptor, 1 << 20):
            body += more
        return body, found
    finally:
        os.close(descriptor)


def write_whole(descriptor: int, body: bytes) -> None:
    """Write all of the bytes where the descriptor stands."""
    rest = memoryview(body)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class FileSystem:
    """Creates and replaces files, each in one step.

    Args:
        root: The store's root, for what is told once.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    @contextlib.contextmanager
    def temporary(self, folder: str, body: bytes) -> Iterator[str]:
        """A flushed file of unpredictable name in a folder; removed unless it was moved away."""
        path = f"{folder}/{TEMPORARY}{uuid.uuid4().hex}.tmp"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY | NO_FOLLOW, 0o600)
        try:
            try:
                write_whole(descriptor, body)
                self._flush(descriptor, path, NO_FLUSH)
            finally:
                os.close(descriptor)
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def create(self, temporary: str, path: str, locked: Callable[[], AbstractContextManager[bool]]) -> None:
        """Give a written file its name, if nothing has that name.

        Args:
            temporary: The file.
            path: The name.
            locked: Keeps others out who cannot link either. Tells whether it keeps out other processes too.

        Raises:
            FileExistsError: Something has the name.
            OSError: The system refused or failed.
        """
        try:
            # A link, not a rename: a rename would replace what another process has just created.
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            with locked() as among_processes:
                _create_without_link(temporary, path, among_processes=among_processes)
            self.tell_once("a file cannot have two names here, so records are created under a lock", path, error)
        self._flush_folder(path.rpartition("/")[0])

    def replace(self, temporary: str, path: str) -> None:
        """Put a written file in the place of another."""
        os.replace(temporary, path)
        self._flush_folder(path.rpartition("/")[0])

    def _flush_folder(self, folder: str) -> None:
        """Flush a folder: a new name is durable once its folder is."""
        if sys.platform == "win32":  # pragma: no cover - Windows flushes a folder with the file
            return
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError as error:
            self._tolerate(error, folder, NO_FOLDER_FLUSH)
            return
        try:
            self._flush(descriptor, folder, NO_FOLDER_FLUSH)
        finally:
            os.close(descriptor)

    def _flush(self, descriptor: int, path: str, lacking: frozenset[int]) -> None:
        try:
            os.fsync(descriptor)
        except OSError as error:
            self._tolerate(error, path, lacking)

    def _tolerate(self, error: OSError, path: str, lacking: frozenset[int]) -> None:
        if error.errno not in lacking:
            raise error
        self.tell_once("there is no flush here: what was stored lasts as this file system makes it last", path, error)

    def tell_once(self, what: str, path: str, error: OSError) -> None:
        """Log what the file system lacks, once for each store and process."""
        telling = object()
        if _told.setdefault((self._root, what), telling) is telling:
            code = errno.errorcode.get(error.errno or 0, error.errno)
            logger.warning("root=<%s>, path=<%s>, code=<%s> | %s", self._root, path, code, what)


_told: dict[tuple[str, str], object] = {}


def _create_without_link(temporary: str, path: str, *, among_processes: bool) -> None:
    if not among_processes:
        # Nothing else is exclusive here. A process that dies before the rename leaves an empty file: a damaged record.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600))
    elif _is_taken(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    os.replace(temporary, path)


def _is_taken(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True
