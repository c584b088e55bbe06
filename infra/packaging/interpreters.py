"""Finding a Python of a given version on the build machine.

Byte code fits one Python version. A package for another version than the build's own needs that interpreter to be
compiled, and nothing else of it.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .kit_files import IS_INSTALLED

_PROBE: Final = (
    "import platform, sys; print(platform.python_implementation(), platform.python_version(), sys.executable)"
)
_PROBE_SECONDS: Final = 20
GET_UV: Final = (
    "Install it with `python -m pip install 'agent-session-kit[cdk]'`."
    if IS_INSTALLED
    else "Run `make setup`, or `python -m pip install --require-hashes -r requirements/bootstrap.txt`."
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that answered.

    Attributes:
        path: Its executable.
        full_version: Such as ``3.13.0``.
    """

    path: Path
    full_version: str


@functools.cache
def find_interpreter(version: str) -> Interpreter | None:
    """The first CPython of this version among those a developer's or a CI machine has.

    Looked at, in order: the running one, ``PATH``, pyenv's folder, and what uv knows of.

    Args:
        version: Major and minor version, such as ``3.13``.

    Returns:
        The interpreter, or ``None`` when there is none.
    """
    for candidate in _candidates(version):
        found = _probe(candidate, version)
        if found is not None:
            return found
    return None


def tool(name: str) -> Path | None:
    """An executable beside the running Python (the project's environment) or, failing that, on ``PATH``."""
    beside = Path(sys.executable).with_name(name)
    if beside.is_file():
        return beside
    on_path = shutil.which(name)
    return None if on_path is None else Path(on_path)


def _candidates(version: str) -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"), reverse=True)
    uv = tool("uv")
    if uv is not None:
        found = _output([str(uv), "python", "find", "--no-python-downloads", "--offline", version])
        if found:
            yield Path(found)


def _probe(candidate: Path, version: str) -> Interpreter | None:
    # pyenv has shims on PATH for versions that are installed but not switched on: asking is the only way to know.
    if not candidate.is_file():
        return None
    answer = _output([str(candidate), "-I", "-c", _PROBE])
    if answer is None:
        return None
    implementation, _, rest = answer.partition(" ")
    full_version, _, executable = rest.partition(" ")
    if implementation != "CPython" or full_version.rsplit(".", 1)[0] != version:
        return None
    return Interpreter(Path(executable), full_version)


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - the program is an interpreter found on this machine or uv
            command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
