"""Makes errors of this package, each with the path, of what a file system says when it refuses or fails.

Nothing here decides whether waiting helps. The code decides, which is the name of the error number
(see :class:`~agent_sessions.exceptions.SessionStorageError`).
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from agent_sessions.exceptions import SessionCorruptError, SessionStorageError
from agent_sessions.object_store import listed_key

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED_IN_ERRORS = 20

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def code_of(error: OSError) -> str:
    """The name of an error number, such as ``ENOSPC``."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def storage_error(doing: str, path: str, error: OSError, *, key: str) -> SessionStorageError:
    """The error for what the system refused or failed to do.

    Args:
        doing: The verb: ``read``, ``write``, ``delete``, ``list``, ``lock``.
        path: The path that this was to be done to.
        error: What the system said.
        key: The key or prefix that was asked for. It knows the session.
    """
    return SessionStorageError(
        f"path={path} | could not {doing} it: {error}", code=code_of(error), key=listed_key(path, key)
    )


def refused_link(path: str, *, key: str) -> SessionStorageError:
    """The error for a symbolic link below a store's root."""
    return SessionStorageError(
        f"path={path} | refusing to follow a symbolic link: somebody may have put it there to have other files read or "
        "overwritten",
        code="SymbolicLink",
        key=listed_key(path, key),
    )


def not_a_folder(path: str, mode: int, *, key: str) -> SessionStorageError:
    """The error for something else where a folder should be."""
    return SessionStorageError(
        f"path={path} | {_kind(mode)} lies where a folder should be",
        code="ENOTDIR",
        key=listed_key(path, key),
    )


def not_a_file(path: str, mode: int, *, key: str) -> SessionCorruptError:
    """The error for something else where a record should be. It is not opened: reading a pipe could wait for ever."""
    return SessionCorruptError(f"path={path} | {_kind(mode)} lies where a file should be", key=listed_key(path, key))


def left_over(folder: str, left: Sequence[tuple[str, OSError]], *, key: str) -> SessionStorageError:
    """The error for an erasure that is not whole. It names what is left, and why."""
    named = ", ".join(f"{path} ({code_of(error)})" for path, error in left[:_NAMED_IN_ERRORS])
    more = f" and {len(left) - _NAMED_IN_ERRORS} more" if len(left) > _NAMED_IN_ERRORS else ""
    errors = [SessionStorageError("", code=code_of(error)) for _, error in left]
    worst = next((error for error in errors if not error.is_transient), errors[0])
    return SessionStorageError(
        f"path={folder} | could not delete all of it, left are: {named}{more}",
        code=worst.code,
        key=listed_key(left[0][0], key),
    )


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "a file")
