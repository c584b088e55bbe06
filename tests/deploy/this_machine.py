"""What every rehearsal takes from the machine it runs on, and gives to the functions that it runs there."""

import platform
import sys

from infra.packaging.interpreters import Interpreter, find_interpreter
from tests.deploy.assembly import MACHINES
from tests.deploy.cdk_cli import REGION

FUNCTION_KEY = "AKIATHEFUNCTION"
FUNCTION_ENVIRONMENT = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": FUNCTION_KEY,
    "AWS_SECRET_ACCESS_KEY": "rehearsal",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What Lambda tells a function. Where the emulator is, each rehearsal adds."""

_VERSIONS = ("3.13", "3.12", "3.14")


def interpreter_here() -> Interpreter | None:
    """A Python that the function can be deployed for and run with; none, and a line on stderr, if there is none."""
    interpreter = next(filter(None, map(find_interpreter, _VERSIONS)), None)
    if interpreter is None:
        sys.stderr.write(f"the rehearsal runs the package: it needs one of Python {', '.join(_VERSIONS)}\n")
    return interpreter


def context_for(interpreter: Interpreter) -> dict[str, str]:
    """The CDK context of a function that runs here."""
    return {
        "architecture": MACHINES[platform.machine().lower()],
        "python_version": interpreter.full_version.rpartition(".")[0],
    }
