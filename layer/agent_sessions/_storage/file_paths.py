"""From keys to paths. Everything on the way is checked before what lies there is told."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from agent_sessions._storage.file_errors import not_a_folder, refused_link, storage_error

if TYPE_CHECKING:
    from pathlib import Path


class FilePaths:
    """The paths of a store's keys.

    Args:
        folder: Where the keys begin.
        root: The folder, or one above it, below which links are refused. It may itself be a link, or lie behind one.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.base = os.fspath(folder)
        self.root = os.fspath(root)
        self._above = folder.relative_to(root).parts

    def key(self, path: str) -> str:
        """The key of a path below the folder."""
        return path[len(self.base) + 1 :]

    def path(self, key: str) -> str:
        """The path of a key, without looking at what lies there."""
        return "/".join([self.base, *(part for part in key.split("/") if part)])

    def look(self, key: str, doing: str) -> tuple[str, os.stat_result | None]:
        """The path of a key and what lies there. Everything between the root and it is checked.

        Returns:
            The path and what lies there; ``None`` when the system says that nothing does.

        Raises:
            SessionStorageError: A link, or something that is no folder, is in the way; or the system refused or failed.
        """
        parts = [part for part in (*self._above, *key.split("/")) if part]
        path, found = self.root, None
        for number, part in enumerate(parts, start=1):
            path = f"{path}/{part}"
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                return "/".join([path, *parts[number:]]), None
            except OSError as error:
                raise storage_error(doing, path, error, key=key) from error
            if stat.S_ISLNK(found.st_mode):
                raise refused_link(path, key=key)
            if number < len(parts):
                check_folder(path, found, key=key)
        if parts:
            return path, found
        try:
            return path, os.stat(path)
        except FileNotFoundError:
            return path, None
        except OSError as error:
            raise storage_error(doing, path, error, key=key) from error

    def folder_in(self, prefix: str, doing: str) -> tuple[str | None, str]:
        """The folder of a prefix (``None`` when there is none), and the rest of the prefix, with which its names begin.

        Raises:
            SessionStorageError: As :meth:`look`; or there is something else in the folder's place.
        """
        above, slash, named = prefix.rpartition("/")
        path, found = self.look(f"{above}{slash}", doing)
        if found is None:
            return None, named
        check_folder(path, found, key=prefix)
        return path, named


def check_folder(path: str, found: os.stat_result, *, key: str) -> None:
    """Check that what lies at a path is a folder.

    Raises:
        SessionStorageError: It is not a folder.
    """
    if not stat.S_ISDIR(found.st_mode):
        raise not_a_folder(path, found.st_mode, key=key)
