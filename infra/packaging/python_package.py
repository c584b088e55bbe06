"""Copying a Python package of the kit into an asset, compiled for the function's Python."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from .bytecode import compile_tree
from .interpreters import find_interpreter
from .shipped_files import PackageError, folder_size, normalise, strays

ROOT = Path(__file__).resolve().parents[2]


def copy_package(
    package: Path,
    destination: Path,
    *,
    python_version: str,
    installed_as: str,
    instead: Mapping[str, Path] | None = None,
    otherwise: Mapping[str, Path] | None = None,
) -> None:
    """Put a package where it can be imported from ``destination``.

    Byte code of one Python version does no harm to another: each looks for its own and compiles what it misses.

    Args:
        package: The package's folder.
        destination: Where to put it. Created when missing.
        python_version: The Python to compile for, when this machine has it.
        installed_as: Where ``destination`` will be at run time.
        instead: Folders that take the place of folders at the top of the package, by their name there.
        otherwise: Files that are put where these folders have none, by their path in the package.

    Raises:
        PackageError: When a file cannot be read.
    """
    target = destination / package.name
    replaced = instead or {}

    def left_out(folder: str, names: list[str]) -> set[str]:
        return strays(folder, names) | (set(replaced) if Path(folder) == package else set())

    try:
        shutil.copytree(package, target, ignore=left_out, copy_function=shutil.copyfile)
        for name, folder in replaced.items():
            shutil.copytree(folder, target / name, ignore=strays, copy_function=shutil.copyfile)
        for name, file in (otherwise or {}).items():
            if not (target / name).exists():
                shutil.copyfile(file, target / name)
    except shutil.Error as error:
        raise PackageError(
            f"{package.name} cannot be packaged: " + "; ".join(str(why) for *_, why in error.args[0])
        ) from error
    normalise(target)  # a folder that may not be written to cannot take byte code
    interpreter = find_interpreter(python_version)
    if interpreter is not None:
        compile_tree(target, interpreter, f"{installed_as}/{package.name}")
    normalise(destination)
    size_bytes, files = folder_size(target)
    state = "without byte code" if interpreter is None else f"byte code of Python {interpreter.full_version}"
    sys.stderr.write(f"{package.name}: {size_bytes / 1e3:.0f} KB in {files} files; {state}\n")
