"""What is shipped to Lambda, whoever builds it: which files, with which modes, and the hash of both.

Lambda runs a function as another user than the one who unpacked it, and the CDK zips files with the modes they have. A
package built under ``umask 077`` would be one that nobody can read. The modes are therefore a function of the content
and not of the builder, and they are hashed with it: the CDK's own hash knows names and contents only, so that a package
with other modes would be taken for one that is uploaded already.
"""

import fnmatch
import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_FILE_MODE: Final = 0o644
_PROGRAM_MODE: Final = 0o755
_FOLDER_MODE: Final = 0o755
# What the kernel can start: scripts that name their interpreter, and ELF files.
_PROGRAMS: Final = (b"#!", b"\x7fELF")

# What lies beside sources without being one of them. Names that begin with a dot are hidden files of editors, version
# control, macOS and test tools.
_STRAYS: Final = (
    *(".*", "__pycache__", "*.py[co]", "*.egg-info"),
    *("*~", "#*#", "*.sw[a-p]", "4913", "*___jb_*___"),
    *("*.bak", "*.orig", "*.rej", "*.tmp"),
    *("thumbs.db", "desktop.ini", "icon\r"),
)


class PackageError(RuntimeError):
    """A package cannot be built here; the message says what to do."""


def strays(folder: str, names: list[str]) -> set[str]:
    """The names in a folder that are not shipped, as ``shutil.copytree`` asks for them.

    Args:
        folder: The folder.
        names: The names in it.

    Returns:
        Leftovers of editors, version control and tools by their name, and whatever is neither file nor folder.
    """
    return {name for name in names if _is_stray(name) or _is_special(Path(folder, name))}


def normalise(folder: Path) -> None:
    """Make a folder what is shipped: modes that do not depend on the builder, and no folder without a file.

    An empty folder is not shipped anyway; on this machine it would be importable.

    Args:
        folder: Changed in place.

    Raises:
        PackageError: When the file system does not keep a mode that lets everybody read.
    """
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside before what it is in
        if path.is_dir() and next(path.iterdir(), None) is None:
            path.rmdir()
    set_modes(folder)


def set_modes(folder: Path) -> None:
    """Give a folder and all that is in it the modes that are shipped.

    Args:
        folder: Changed in place. Hard links elsewhere change with a file that had another mode.

    Raises:
        PackageError: When the file system does not keep a mode that lets everybody read.
    """
    for path in (folder, *folder.rglob("*")):
        mode = shipped_mode(path)
        if stat.S_IMODE(path.stat().st_mode) == mode:
            continue
        path.chmod(mode)
        kept = stat.S_IMODE(path.stat().st_mode)
        if kept & mode != mode:  # more than asked for does no harm: Windows' folders give everything to everybody
            raise PackageError(
                f"{path}: this file system keeps {kept:04o} for a mode instead of {mode:04o}. Build on another one."
            )


def shipped_mode(path: Path) -> int:
    """The mode that a file or folder has in a package: 0755 for folders and programs, otherwise 0644."""
    if path.is_dir():
        return _FOLDER_MODE
    with path.open("rb") as file:
        return _PROGRAM_MODE if file.read(4).startswith(_PROGRAMS) else _FILE_MODE


def fingerprint(folder: Path) -> str:
    """The hash of a package: of the names, modes and contents of its files.

    Args:
        folder: The package.

    Returns:
        A SHA-256 in hexadecimal. Times, owners, the order in which the file system lists, and folders do not count.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_files(folder)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name}\0{stat.S_IMODE(path.stat().st_mode):o}\0{content}\n".encode())
    return digest.hexdigest()


def folder_size(folder: Path) -> tuple[int, int]:
    """Bytes and number of the files below a folder."""
    sizes = [path.stat().st_size for _, path in _files(folder)]
    return sum(sizes), len(sizes)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


def _is_stray(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _STRAYS)


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()  # sockets, FIFOs, devices
