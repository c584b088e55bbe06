"""Copying a Python package of this repository into an asset, compiled for the function's Python."""

import shutil
import sys
from pathlib import Path

from infra.packaging.bytecode import compile_tree
from infra.packaging.interpreters import find_interpreter
from infra.packaging.shipped_files import PackageError, folder_size, normalise, strays

ROOT = Path(__file__).resolve().parents[2]


def copy_package(package: Path, destination: Path, *, python_version: str, installed_as: str) -> None:
    """Put a package where it can be imported from ``destination``.

    Byte code of one Python version does no harm to another: each looks for its own and compiles what it misses.

    Args:
        package: The package's folder.
        destination: Where to put it. Created when missing.
        python_version: The Python to compile for, when this machine has it.
        installed_as: Where ``destination`` will be at run time.

    Raises:
        PackageError: When a file cannot be read.
    """
    target = destination / package.name
    try:
        shutil.copytree(package, target, ignore=strays, copy_function=shutil.copyfile)
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
