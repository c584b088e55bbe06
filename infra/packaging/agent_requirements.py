"""The packages of the user's own agent: ``requirements.in`` in its folder, and its lock, ``requirements.txt``.

The lock is resolved under the kit's own: a package that both need is there in one version, the one that the kit's tests
ran with. The lock names the requirements that it was made from, so that nobody deploys other packages than were meant.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .interpreters import GET_UV, tool
from .kit_files import AGENT_FOLDER, LOCKS
from .shipped_files import PackageError

KIT_LOCK: Final = LOCKS / "dev.txt"
_MADE_FROM: Final = re.compile(r"# made by `.*` from .*requirements\.in with the hash ([0-9a-f]+)\n")
_OPTIONS: Final = (
    *("--quiet", "--no-config", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-annotate", "--no-header"),
)


class AgentRequirementsError(PackageError):
    """The agent's requirements cannot be resolved, or are not those of the lock; the message says what to do."""


def requirements_of(folder: Path) -> Path:
    """Where the requirements are of an agent in a folder."""
    return folder / "requirements.in"


def lock_of(folder: Path) -> Path:
    """Where the lock is of an agent in a folder."""
    return folder / "requirements.txt"


REQUIREMENTS: Final = requirements_of(AGENT_FOLDER)
LOCK: Final = lock_of(AGENT_FOLDER)


@dataclass(frozen=True)
class Wording:
    """What an agent's folder is called, and what makes its lock.

    Attributes:
        folder: The folder.
        command: What makes the lock.
    """

    folder: str
    command: str

    @property
    def requirements(self) -> str:
        """What its requirements are called."""
        return str(requirements_of(Path(self.folder)))

    @property
    def lock(self) -> str:
        """What its lock is called."""
        return str(lock_of(Path(self.folder)))


IN_REPOSITORY: Final = Wording("lambda_src/agent", "make lock-agent")


def wording_of(agent: str | Path | None) -> Wording:
    """What an agent's folder is called: any folder, or ``None`` for the one of this repository or package."""
    if agent is None:
        return IN_REPOSITORY
    shown = os.path.relpath(agent)
    return Wording(shown, f"python -m agent_session_kit_cdk.lock {shown}")


def lock_agent(
    requirements: Path = REQUIREMENTS,
    lock: Path = LOCK,
    kit_lock: Path = KIT_LOCK,
    options: Sequence[str] = (),
    *,
    wording: Wording = IN_REPOSITORY,
) -> None:
    """Resolve the agent's requirements, and write their lock.

    Args:
        requirements: One a line.
        lock: Where to write the lock. What it holds already is kept where it still fits.
        kit_lock: The kit's own packages, in the versions that they have to keep.
        options: Further options of ``uv pip compile``.
        wording: How the lock says what it was made from.

    Raises:
        AgentRequirementsError: They cannot be resolved; the message names the requirement.
    """
    uv = tool("uv")
    if uv is None:
        raise AgentRequirementsError(f"uv is needed to resolve requirements and is not installed. {GET_UV}")
    kept = "".join(line for line in _lines(lock) if not _MADE_FROM.match(line))
    lock.write_text(kept, encoding="utf-8")
    command = [str(uv), "pip", "compile", *_OPTIONS, *options, "-c", str(kit_lock), str(requirements), "-o", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - uv and our own arguments
    if done.returncode != 0:
        raise AgentRequirementsError(
            f"{requirements.name} of the agent cannot be resolved together with the kit's own packages "
            f"({kit_lock.parent.name}/{kit_lock.name}):\n{shortened(done.stderr)}"
        )
    made = f"# made by `{wording.command}` from {wording.requirements} with the hash {_digest(requirements)}\n"
    lock.write_text(made + lock.read_text(encoding="utf-8"), encoding="utf-8")


def check_agent_lock(
    requirements: Path = REQUIREMENTS, lock: Path = LOCK, *, wording: Wording = IN_REPOSITORY
) -> Path | None:
    """The agent's lock, if it names any package.

    Raises:
        AgentRequirementsError: The requirements have changed since it was made.
    """
    made_from = [found[1] for found in map(_MADE_FROM.match, _lines(lock)) if found]
    locked = any(line.strip() and not line.startswith("#") for line in _lines(lock))
    if not _wanted(requirements) and not locked:
        return None
    if requirements.exists() or made_from:
        digest = _digest(requirements) if requirements.exists() else None
        if made_from != [digest]:
            raise AgentRequirementsError(
                f"{wording.requirements} has changed and {wording.lock} has not: run `{wording.command}`"
            )
    return lock if locked else None


def shortened(stderr: str) -> str:
    """What uv says of a failure, without its first line: that there is one."""
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    said = [line.strip().removeprefix("cause: ") for line in lines if not line.startswith("error: No solution found")]
    return "\n".join(f"  {line}" for line in said)


def _digest(requirements: Path) -> str:
    # What is no requirement does not count: a comment may change.
    return hashlib.sha256("\n".join(_wanted(requirements)).encode()).hexdigest()[:16]


def _wanted(requirements: Path) -> list[str]:
    wanted = [line.partition("#")[0].strip() for line in _lines(requirements)]
    return [line for line in wanted if line]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
