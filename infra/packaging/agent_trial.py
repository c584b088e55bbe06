"""Has an agent tried before it is deployed: in a process of its own, because the CDK app imports nothing of it.

What is tried is the function as it is packaged, with the agent in it. In this repository it is tried with what ``make
setup`` has installed. Where the package is installed, nothing runs an agent: there it is tried with the layer's
packages, installed for this machine.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .agent_folder import AgentFolderError
from .agent_requirements import IN_REPOSITORY, Wording
from .interpreters import find_interpreter
from .kit_files import IS_INSTALLED, SESSION_LIBRARY, TRIAL
from .runtime_layer_build import LayerBuildError, LayerTarget, built_packages

_USABLE, _NOT_IMPORTABLE_HERE, _REFUSED = 0, 3, 4  # as local/agent_check.py ends
_SECONDS: Final = 60
# Of the deployer's environment the agent gets what a program needs to run. What is only there it must not lean on, and
# no key of the deployer's account is given to it.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH")
_NO_CREDENTIALS: Final = {
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
_BY_TEXT: Final = "the agent is checked by its text only"
_MACHINES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Surroundings:
    """What a function is tried with.

    Attributes:
        python: The interpreter, with its options.
        paths: Where it finds what the function imports besides its own.
    """

    python: Sequence[str]
    paths: Sequence[Path]


@dataclass(frozen=True)
class Packages:
    """What a function needs from PyPI.

    Attributes:
        locks: The kit's lock, and the agent's where it has one.
        python_version: The function's Python.
        cache: Where built layers are kept.
    """

    locks: Sequence[Path]
    python_version: str
    cache: Path


class NotTriedError(RuntimeError):
    """This machine cannot try an agent; the message says why."""


def try_packaged(
    environment: Mapping[str, str], function: Path, packages: Packages, wording: Wording = IN_REPOSITORY
) -> str:
    """Try the agent of a packaged function, in the repository or where the package is installed.

    Args:
        environment: The variables that the function is deployed with.
        function: The folder that holds ``lambda_src``.
        packages: What it needs besides.
        wording: What the agent's folder is called, and what locks its packages.

    Returns:
        What could not be tried here, a line each.

    Raises:
        AgentFolderError: The agent cannot be used; one line says why.
    """
    with tempfile.TemporaryDirectory(prefix="agent-trial-") as scratch:
        try:
            around = with_layer(packages, Path(scratch)) if IS_INSTALLED else in_repository()
        except NotTriedError as error:
            return f"{_BY_TEXT}: {error}\n"
        return try_agent(environment, function, around, wording)


def in_repository(kit: Path = TRIAL) -> Surroundings:
    """What a function is tried with in this repository: the environment that the CDK app runs in."""
    return Surroundings([sys.executable], [kit / "layer", kit / "client", kit])


def with_layer(packages: Packages, scratch: Path) -> Surroundings:
    """What a function is tried with elsewhere: its layer's packages, and nothing that is installed beside the CDK app.

    Args:
        packages: The packages.
        scratch: A folder; it has to be there as long as the function is tried.

    Raises:
        NotTriedError: They cannot be installed on this machine.
    """
    interpreter = find_interpreter(packages.python_version) or find_interpreter("{}.{}".format(*sys.version_info))
    architecture = _MACHINES.get(platform.machine().lower())
    system = sys.platform if sys.platform != "linux" or platform.libc_ver()[0] == "glibc" else "linux without glibc"
    if interpreter is None or architecture is None:
        raise NotTriedError(f"there is no CPython here, or none for {platform.machine()}")
    target = LayerTarget(interpreter.full_version.rpartition(".")[0], architecture, system)
    try:
        installed = built_packages(packages.locks, target, packages.cache)
    except LayerBuildError as error:
        raise NotTriedError(" ".join(str(error).split())) from error
    shutil.copytree(SESSION_LIBRARY, scratch / SESSION_LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
    # Without `site`, nothing is found that is installed beside the interpreter.
    return Surroundings([str(interpreter.path), "-S"], [TRIAL, installed, scratch])


def try_agent(
    environment: Mapping[str, str], function: Path, around: Surroundings, wording: Wording = IN_REPOSITORY
) -> str:
    """Import ``lambda_src.agent``, and have each builder build once, offline.

    Args:
        environment: The variables that the function is deployed with. Of those of this process it gets the region and
            what a program needs to run, and no credentials.
        function: The folder that holds ``lambda_src``.
        around: What it is tried with.
        wording: What the agent's folder is called, and what locks its packages.

    Returns:
        What could not be tried here, a line each.

    Raises:
        AgentFolderError: The agent cannot be used; one line says why.
    """
    variables = {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **_NO_CREDENTIALS,
        "AWS_REGION": os.environ.get("AWS_REGION", "us-east-1"),
        "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        **environment,
        # The CDK's output folder may be a relative one, and the trial works in another folder.
        "PYTHONPATH": os.pathsep.join(str(folder.resolve()) for folder in (function, *around.paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    words = ("--folder", wording.folder, "--lock-command", wording.command)
    command = [*around.python, "-m", "local.agent_check", *words]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, cwd=function, env=variables, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"{_BY_TEXT}: its builders did not end within {_SECONDS} seconds\n"
    if done.returncode == _REFUSED and done.stderr.strip():
        raise AgentFolderError(done.stderr.strip().splitlines()[-1])
    if done.returncode == _NOT_IMPORTABLE_HERE:
        return f"{_BY_TEXT}: {done.stderr.strip()} is not installed here; `make setup` installs it\n"
    if done.returncode != _USABLE:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        return f"{_BY_TEXT}: {said[-1]}\n"
    return done.stderr
