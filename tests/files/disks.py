"""Disks to try sessions on: small, full, read-only, another user's. What cannot be had here is told in one line."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65_534


@contextlib.contextmanager
def as_another_user() -> Iterator[Path]:
    """Run the block as a user whom permissions mean something to, with a folder of their own.

    pytest keeps its folders from other users, also from one that is this process for a moment.
    """
    folder = Path(tempfile.mkdtemp(prefix="agent-sessions-"))
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)
        shutil.rmtree(folder)


@contextlib.contextmanager
def permissions(path: Path, mode: int) -> Iterator[None]:
    """Give a file or a folder another mode while the block runs."""
    before = path.stat().st_mode & 0o777
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@contextlib.contextmanager
def small_disk(at: Path, options: str = "size=64k") -> Iterator[Path]:
    """A disk in memory."""
    at.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", options, "odd", str(at))
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=False, capture_output=True)


def remount(at: Path, options: str) -> None:
    """Change a mounted disk's options."""
    _mount("-o", f"remount,{options}", str(at))


@contextlib.contextmanager
def ext4_that_ignores_case(at: Path) -> Iterator[Path]:
    """The kernel's own, where it was built with it."""
    if shutil.which("mkfs.ext4") is None or shutil.which("chattr") is None:
        pytest.skip("left out: mkfs.ext4 or chattr is missing here")
    at.mkdir(parents=True)
    image = at.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    made = ["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", str(image)]
    if subprocess.run(made, check=False, capture_output=True).returncode:
        pytest.skip("left out: this mkfs.ext4 does not know casefold")
    _mount("-o", "loop", str(image), str(at))
    try:
        folder = at / "folded"
        folder.mkdir()
        subprocess.run(["chattr", "+F", folder], check=True, capture_output=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", at], check=False, capture_output=True)


def _mount(*arguments: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("left out: this user may not mount")
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"left out: mount {' '.join(arguments[:-2])}: {done.stderr.splitlines()[0].rpartition(': ')[2]}")
