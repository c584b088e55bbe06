"""The folder with the user's own agent, wherever it is: what has to be in it, and what it may bring."""

from pathlib import Path
from typing import Final

from .kit_files import AGENT_FOLDER
from .shipped_files import PackageError

_BUILDER: Final = "__init__.py"
MODEL: Final = "model.txt"


class AgentFolderError(PackageError):
    """There is no agent in a folder; the message names it and what is missing."""


def agent_folder(given: str | Path | None) -> Path:
    """The folder that is packaged as ``lambda_src/agent``.

    Args:
        given: A folder, relative to the working folder; ``None`` for the kit's demo agent.

    Raises:
        AgentFolderError: It is no folder.
    """
    if given is None:
        return AGENT_FOLDER
    folder = Path(given).resolve()
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise AgentFolderError(
            f"agent={str(given)!r}: {folder} {state}; allowed: a folder whose {_BUILDER} has build_agent or AGENTS"
        )
    return folder


def check_builder(folder: Path) -> None:
    """Check that a folder is a package.

    Raises:
        AgentFolderError: It has no ``__init__.py``.
    """
    if not (folder / _BUILDER).is_file():
        raise AgentFolderError(f"{folder} holds no agent: it has no {_BUILDER}, where build_agent or AGENTS is")


def default_model(folder: Path) -> str | None:
    """What ``model.txt`` of an agent's folder says; ``None`` where there is none."""
    path = folder / MODEL
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None
