"""Compiling a package to byte code that Lambda accepts as it is, the same bytes every time.

The file system of a Lambda runtime is read-only: what a layer does not bring compiled is compiled again in every cold
start. CDK and Lambda unpack archives with times of their own, so byte code checked by time would be thrown away;
*unchecked-hash* byte code (PEP 552) is never compared with its source.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from .interpreters import Interpreter

# A fixed number of compilers, not one for each core: which files share a process decides how often a string is
# referenced, and the marshal format records that. Two builds on different machines must give the same bytes.
_SHARES: Final = 2


def compile_tree(folder: Path, interpreter: Interpreter, installed_as: str) -> None:
    """Put ``__pycache__`` folders of unchecked-hash byte code beside every module.

    Args:
        folder: What to compile, sub-folders included.
        interpreter: The Python the byte code is for.
        installed_as: Where ``folder`` will be at run time (``/opt/python``); it stands in tracebacks.

    Raises:
        RuntimeError: When the compiler itself fails. A module that does not compile for this version (a template, say)
            is no failure: it is left to fail if it is ever imported, as it would be anyway.
    """
    shares = _shares(sorted(folder.rglob("*.py")))
    running = [(_start(interpreter, folder, installed_as), share) for share in shares if share]
    for process, share in running:
        _, errors = process.communicate("".join(f"{path}\n" for path in share))
        if process.returncode not in (0, 1):  # 1: some file did not compile
            raise RuntimeError(f"{interpreter.path} could not compile {folder}: {errors.strip()}")


def remove_bytecode(folder: Path) -> None:
    """Remove every ``__pycache__`` folder: byte code of the build machine's own Python."""
    for cache in sorted(folder.rglob("__pycache__")):
        shutil.rmtree(cache)


def _shares(paths: list[Path]) -> list[list[Path]]:
    shares: list[list[Path]] = [[] for _ in range(_SHARES)]
    sizes = [0] * _SHARES
    for path in paths:
        smallest = sizes.index(min(sizes))
        shares[smallest].append(path)
        sizes[smallest] += path.stat().st_size
    return shares


def _start(interpreter: Interpreter, folder: Path, installed_as: str) -> subprocess.Popen[str]:
    command = [
        *(str(interpreter.path), "-m", "compileall", "-q", "-f", "-i", "-"),
        *("--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", installed_as),
    ]
    # Sets among a module's constants are written in the order of their hashes: hence the seed.
    return subprocess.Popen(  # noqa: S603 - the program is an interpreter found on this machine
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}, "PYTHONHASHSEED": "0"},
    )
