"""What the CDK app says of its stack: the account and the region it belongs to, where the app names them.

Such a stack is deployed there whatever the variables say. The app is asked as the CLI asks it: its command is run, and
the manifest of what it made is read. Nothing is built for that.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_STACK: Final = "aws:cloudformation:stack"
_UNKNOWN: Final = ("unknown-account", "unknown-region")  # how the CDK writes "wherever it is deployed"
_TIMEOUT_SECONDS: Final = 300


class AppError(RuntimeError):
    """The app does not tell; the message is one line."""


@dataclass(frozen=True)
class Environment:
    """Where a stack belongs.

    Attributes:
        account: The account's number, or ``None`` where the app leaves it open.
        region: Likewise.
    """

    account: str | None
    region: str | None


def stack_environment(
    app: str, stack_name: str, context: Mapping[str, Any], *, project: Path, account: str, region: str
) -> Environment:
    """Ask the app where a stack belongs.

    Args:
        app: Its command line, or the folder with what it has made (``--app``).
        stack_name: The stack.
        context: The context values that the CLI would pass on.
        project: Where the command line is run.
        account: The CLI's default account, which an app may ask for (``CDK_DEFAULT_ACCOUNT``).
        region: Likewise.

    Returns:
        What the app says.

    Raises:
        AppError: When it fails, or knows no such stack.
    """
    if (project / app).is_dir():
        return environment_in(project / app, stack_name)
    variables = {
        "CDK_CONTEXT_JSON": json.dumps({**context, "aws:cdk:bundling-stacks": []}, sort_keys=True),
        "CDK_DEFAULT_ACCOUNT": account,
        "CDK_DEFAULT_REGION": region,
    }
    return _run(app, stack_name, project, tuple(variables.items()))


@functools.cache  # the same question has the same answer
def _run(app: str, stack_name: str, project: Path, variables: tuple[tuple[str, str], ...]) -> Environment:
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(  # noqa: S602 - as the CDK CLI runs it: the user's own command line
                app,
                shell=True,
                cwd=project,
                env={**os.environ, **dict(variables), "CDK_OUTDIR": folder},
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise AppError(f"the app ({app}) did not end within {_TIMEOUT_SECONDS} seconds") from None
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
            raise AppError(f"the app ({app}) failed: {said[-1].strip()}")
        return environment_in(Path(folder), stack_name)


def environment_in(assembly: Path, stack_name: str) -> Environment:
    """Read what an app has made.

    Args:
        assembly: The folder, such as ``cdk.out``.
        stack_name: The stack.

    Returns:
        Where the stack belongs.

    Raises:
        AppError: When there is no such stack, or no manifest.
    """
    try:
        artifacts = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
        stacks = {
            artifact.get("properties", {}).get("stackName", name): artifact["environment"]
            for name, artifact in artifacts.items()
            if artifact.get("type") == _STACK
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AppError(f"{assembly}: no output of a CDK app ({error})") from error
    if stack_name not in stacks:
        raise AppError(f"the app has no stack {stack_name}; it has {', '.join(sorted(stacks)) or 'none'}")
    account, region = stacks[stack_name].removeprefix("aws://").split("/")
    return Environment(
        None if account == _UNKNOWN[0] else account,
        None if region == _UNKNOWN[1] else region,
    )
