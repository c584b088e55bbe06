"""Writes the lock of an agent in a folder of its own: ``python -m agent_session_kit_cdk.lock FOLDER``."""

import sys
from collections.abc import Callable

from .packaging.agent_folder import agent_folder
from .packaging.agent_requirements import AgentRequirementsError, lock_agent, lock_of, requirements_of, wording_of
from .packaging.shipped_files import PackageError

_USAGE = "usage: python -m agent_session_kit_cdk.lock FOLDER [options of `uv pip compile`]\n"


def main(arguments: list[str]) -> int:
    """Resolve ``FOLDER/requirements.in`` under the kit's own lock, and write ``FOLDER/requirements.txt``.

    Args:
        arguments: The folder, then options for ``uv pip compile``.

    Returns:
        0; 1 when the requirements cannot be resolved; 2 when no folder is named.
    """
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write(_USAGE)
        return 2
    given, *options = arguments
    return exit_code_of(lambda: _lock(given, options))


def _lock(given: str, options: list[str]) -> None:
    folder = agent_folder(given)
    requirements = requirements_of(folder)
    if not requirements.is_file():
        raise AgentRequirementsError(f"{given} has no {requirements.name}: its agent needs no packages, and no lock")
    lock_agent(requirements, lock_of(folder), options=options, wording=wording_of(folder))


def exit_code_of(act: Callable[[], object]) -> int:
    """Do what a command does.

    Returns:
        0; 1 when it is refused: then stderr says why.
    """
    try:
        act()
    except PackageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
