"""Writes the lock of the agent's own packages, or checks it: ``python -m infra.commands.agent_lock [--check]``."""

import sys
from typing import Final

from infra.lock import exit_code_of
from infra.packaging.agent_requirements import check_agent_lock, lock_agent

_CHECK: Final = "--check"


def main(arguments: list[str]) -> int:
    """Write the lock, or check it.

    Args:
        arguments: ``--check``, or options for ``uv pip compile``.

    Returns:
        0, or 1 when the requirements cannot be resolved, or are not those of the lock.
    """
    if arguments == [_CHECK]:
        return exit_code_of(check_agent_lock)
    return exit_code_of(lambda: lock_agent(options=arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
