"""Check what ``ARGS=`` says before the CDK CLI gets it: ``python -m infra.commands.check_arguments deploy ...``.

The CLI goes on without options that it does not know, and deploys another stack than was meant.
"""

import sys
from typing import Final

from infra.commands import cdk_options
from infra.commands.cdk_options import OptionError
from infra.commands.deployment import read_cdk_arguments
from infra.commands.failures import run_command

_COMMANDS: Final = {"deploy": cdk_options.DEPLOY, "synth": cdk_options.SYNTH}


def main(arguments: list[str]) -> int:
    """Check the arguments of a command of the CLI.

    Args:
        arguments: The command's name, then what it is given.

    Returns:
        0 when they can be passed on, 2 when not.
    """
    return run_command(_check, arguments)


def _check(arguments: list[str]) -> int:
    command, *given = arguments
    options = read_cdk_arguments(given, _COMMANDS[command]).options
    if options.respelled:
        said = options.respelled[0]
        raise OptionError(f"{said}: the CDK CLI takes this for something else; write {said[:2]} {said[2:]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
