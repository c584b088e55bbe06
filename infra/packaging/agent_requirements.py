"""The packages of the user's own agent: ``lambda_src/agent/requirements.in`` and its lock, ``requirements/agent.txt``.

The lock is resolved under the kit's own: a package that both need is there in one version, the one that the kit's tests
ran with. The lock names the requirements that it was made from, so that nobody deploys other packages than were meant.
"""

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.packaging.interpreters import tool
from infra.packaging.python_package import ROOT
from infra.packaging.shipped_files import PackageError

REQUIREMENTS: Final = ROOT / "lambda_src" / "agent" / "requirements.in"
LOCK: Final = ROOT / "requirements" / "agent.txt"
KIT_LOCK: Final = ROOT / "requirements" / "dev.txt"
_MADE_FROM: Final = "# made by `make lock` from lambda_src/agent/requirements.in with the hash "
_OPTIONS: Final = (
    *("--quiet", "--no-config", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-annotate", "--no-header"),
)


class AgentRequirementsError(PackageError):
    """The agent's requirements cannot be resolved, or are not those of the lock; the message says what to do."""


def lock_agent(
    requirements: Path = REQUIREMENTS, lock: Path = LOCK, kit_lock: Path = KIT_LOCK, options: Sequence[str] = ()
) -> None:
    """Resolve the agent's requirements, and write their lock.

    Args:
        requirements: One a line.
        lock: Where to write the lock. What it holds already is kept where it still fits.
        kit_lock: The kit's own packages, in the versions that they have to keep.
        options: Further options of ``uv pip compile``.

    Raises:
        AgentRequirementsError: They cannot be resolved; the message names the requirement.
    """
    uv = tool("uv")
    if uv is None:
        raise AgentRequirementsError("uv is needed to resolve requirements and is not installed. Run `make setup`.")
    kept = "".join(line for line in _lines(lock) if not line.startswith(_MADE_FROM))
    lock.write_text(kept, encoding="utf-8")
    command = [str(uv), "pip", "compile", *_OPTIONS, *options, "-c", str(kit_lock), str(requirements), "-o", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - uv and our own arguments
    if done.returncode != 0:
        raise AgentRequirementsError(
            f"{requirements.name} of the agent cannot be resolved together with the kit's own packages "
            f"({kit_lock.parent.name}/{kit_lock.name}):\n{shortened(done.stderr)}"
        )
    lock.write_text(f"{_MADE_FROM}{_digest(requirements)}\n{lock.read_text(encoding='utf-8')}", encoding="utf-8")


def check_agent_lock(requirements: Path = REQUIREMENTS, lock: Path = LOCK) -> Path | None:
    """The agent's lock, if it names any package.

    Raises:
        AgentRequirementsError: The requirements have changed since it was made.
    """
    made_from = [line for line in _lines(lock) if line.startswith(_MADE_FROM)]
    if requirements.exists() or made_from:
        digest = _digest(requirements) if requirements.exists() else None
        if made_from != [f"{_MADE_FROM}{digest}\n"]:
            raise AgentRequirementsError(
                "lambda_src/agent/requirements.in has changed and requirements/agent.txt has not: run `make lock`"
            )
    return lock if any(line.strip() and not line.startswith("#") for line in _lines(lock)) else None


def shortened(stderr: str) -> str:
    """What uv says of a failure, without its first line: that there is one."""
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    said = [line.strip().removeprefix("cause: ") for line in lines if not line.startswith("error: No solution found")]
    return "\n".join(f"  {line}" for line in said)


def _digest(requirements: Path) -> str:
    # What is no requirement does not count: a comment may change.
    wanted = [line.partition("#")[0].strip() for line in _lines(requirements)]
    return hashlib.sha256("\n".join(filter(None, wanted)).encode()).hexdigest()[:16]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
