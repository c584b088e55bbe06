"""Makes the system's calls fail as disks and networks do: by the call's name, its error number and how often."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

BY_PATH = ("open", "link", "replace", "unlink", "mkdir", "rmdir", "scandir", "lstat", "stat")
"""Calls that name a path first."""

BY_DESCRIPTOR = ("read", "write", "fsync", "fstat", "ftruncate")
"""Calls on what is open."""

ALL = (*BY_PATH, *BY_DESCRIPTOR)

When = Callable[[str, int], bool]
"""Whether a call is to fail: of its path, and how many of its kind came before it below the folder."""


def always(path: str, number: int) -> bool:
    return True


def the(wanted: int) -> When:
    """Only one of them, counted from 0."""
    return lambda path, number: number == wanted


@contextlib.contextmanager
def failing(call: str, number: int, below: Path, when: When = always) -> Iterator[list[str]]:
    """Let a call of ``os`` fail on what lies below a folder.

    Args:
        call: The call's name in ``os``.
        number: The error number; 0 lets everything pass, which counts the calls.
        below: The folder.
        when: Which calls fail; all when not given.

    Yields:
        The paths it was called with, those that failed included.
    """
    real: Callable[..., Any] = getattr(os, call)
    seen: list[str] = []

    def called(*arguments: Any, **options: Any) -> Any:
        path = _path_of(arguments[0])
        if path is None or not (path == str(below) or path.startswith(f"{below}/")):
            return real(*arguments, **options)
        seen.append(path)
        if number and when(path, len(seen) - 1):
            raise OSError(number, os.strerror(number), path)
        return real(*arguments, **options)

    with mock.patch.object(os, call, called):
        yield seen


def _path_of(argument: Any) -> str | None:
    if isinstance(argument, int):
        with contextlib.suppress(OSError):
            return str(Path(f"/proc/self/fd/{argument}").readlink())
        return None
    return str(argument)


@contextlib.contextmanager
def without_locks(number: int) -> Iterator[None]:
    """A file system that cannot lock."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    with mock.patch("fcntl.flock", refuse):
        yield


@contextlib.contextmanager
def folders_not_flushed(number: int) -> Iterator[None]:
    """A file system on which a folder cannot be flushed."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(number, os.strerror(number))
        real(descriptor)

    with mock.patch.object(os, "fsync", fsync):
        yield


def open_descriptors() -> set[str]:
    """What this process has open, by path; pipes and sockets left out."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(descriptor.readlink()))
    return {path for path in found if path.startswith("/") and not path.startswith(("/proc", "/dev"))}


def name_of(number: int) -> str:
    return errno.errorcode[number]
