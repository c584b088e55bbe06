"""Has the agent tried before it is deployed: in a process of its own, because the CDK app imports nothing of it.

For this repository's own app. The wheel has nothing to run an agent with; there its text is checked.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .agent_folder import AgentFolderError
from .python_package import ROOT

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
_COMMAND: Final = (sys.executable, "-m", "local.agent_check")


def try_agent(environment: Mapping[str, str], folder: Path = ROOT) -> str:
    """Import ``lambda_src/agent`` and have each builder build once, offline.

    Args:
        environment: The variables that the function is deployed with. Of those of this process it gets the region and
            what a program needs to run, and no credentials.
        folder: The kit.

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
        "PYTHONPATH": os.pathsep.join(str(folder / name) for name in ("layer", "client", ".")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    by_text = "the agent is checked by its text only"
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            _COMMAND, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"{by_text}: its builders did not end within {_SECONDS} seconds\n"
    if done.returncode == _REFUSED and done.stderr.strip():
        raise AgentFolderError(done.stderr.strip().splitlines()[-1])
    if done.returncode == _NOT_IMPORTABLE_HERE:
        return f"{by_text}: {done.stderr.strip()} is not installed here; `make setup` installs it\n"
    if done.returncode != _USABLE:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        return f"{by_text}: {said[-1]}\n"
    return done.stderr
