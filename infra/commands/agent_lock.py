"""Writes the lock of the agent's own packages, or checks it: ``python -m infra.commands.agent_lock [--check]``."""

import sys
from typing import Final

from infra.packaging.agent_requirements import AgentRequirementsError, check_agent_lock, lock_agent

_CHECK: Final = "--check"


def main(arguments: list[str]) -> int:
    """Write the lock, or check it.

    Args:
        arguments: ``--check``, or options for ``uv pip compile``.

    Returns:
        0, or 1 when the requirements cannot be resolved, or are not those of the lock.
    """
    try:
        if arguments == [_CHECK]:
            check_agent_lock()
        else:
            lock_agent(options=arguments)
    except AgentRequirementsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
