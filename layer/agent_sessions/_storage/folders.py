"""Folders: listing them, making them, and dropping empty ones. What cannot be read is told."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_NOT_EMPTY = {errno.ENOTEMPTY, errno.EEXIST}


def walk(
    folder: str, failed: Callable[[str, OSError], None], wanted: Callable[[str], bool]
) -> Iterator[tuple[str, os.stat_result]]:
    """What lies below a folder, in the order of the keys: each folder before what is in it. Links are not followed.

    Args:
        folder: Where to begin.
        failed: Called with each path that cannot be read, unless it was deleted meanwhile.
        wanted: Which paths to look at. A folder's path ends with a slash; if it is not wanted, nothing below it is.
    """
    open_folders = [(folder, iter(entries_of(folder, failed)))]
    while open_folders:
        inside_of, names = open_folders[-1]
        name = next(names, None)
        if name is None:
            open_folders.pop()
            continue
        path = f"{inside_of}/{name}"
        if not wanted(path):
            continue
        path = path.removesuffix("/")
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            failed(path, error)
            continue
        yield path, found
        if name.endswith("/"):
            open_folders.append((path, iter(entries_of(path, failed))))


def entries_of(folder: str, failed: Callable[[str, OSError], None]) -> list[str]:
    """The names in a folder, in the order of their keys. A folder's name ends in a slash: ``a-b/`` is before ``a/``."""
    found: list[str] = []
    try:
        with os.scandir(folder) as entries:
            found = [f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries]
    except FileNotFoundError:
        pass  # deleted meanwhile
    except OSError as error:
        failed(folder, error)
    return sorted(found)


def make_folders(path: str) -> None:
    """Make a folder and those above it, with mode 0700, since they hold conversations.

    Raises:
        OSError: The system refused or failed, or something else lies there.
    """
    inside: list[str] = []
    while True:
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            above = os.path.dirname(path)
            if above in {"", path}:
                raise
            inside.append(path)
            path = above
            continue
        except FileExistsError:
            if not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        if not inside:
            return
        path = inside.pop()


def drop_empty(folder: str) -> None:
    """Remove a folder, unless something is in it, perhaps just written.

    Raises:
        OSError: The system refused or failed.
    """
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _NOT_EMPTY:
            raise


def drop_unneeded(folders: Sequence[str], staying: Iterable[str], left: list[tuple[str, OSError]]) -> None:
    """Remove the folders in which no file stays."""
    needed: set[str] = set()
    for path in staying:
        above = folder_of(path)
        while above and above not in needed:
            needed.add(above)
            above = folder_of(above)
    for path in reversed(folders):  # inner folders come first
        try:
            if path not in needed:
                drop_empty(path)
        except OSError as error:
            left.append((path, error))


def folder_of(path: str) -> str:
    """The folder that a path lies in; empty for none."""
    return path.rpartition("/")[0]
