"""The real CDK CLI, pointed at the emulator."""

import copy
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.deploy.emulator import ACCOUNT

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-central-1"


class CdkError(RuntimeError):
    """The CLI failed; the message is its output."""


class Cdk:
    """Runs the CLI that the project pins, with nothing of the user's own AWS configuration.

    Args:
        endpoint_url: The emulator.
        home: A folder for the CLI's own files.
        say: Where its output goes, line by line.
    """

    def __init__(self, endpoint_url: str, home: Path, say: Callable[[str], None]) -> None:
        self._say = say
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))},
            "AWS_ENDPOINT_URL": endpoint_url,
            "AWS_ACCESS_KEY_ID": "rehearsal",
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(home / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "no-credentials"),
            "CDK_HOME": str(home),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
        }

    def beside(self, programs: Path) -> Self:
        """The same CLI for an app whose Python is another one than the project's.

        Args:
            programs: The folder of that Python.
        """
        other = copy.copy(self)
        other.environment = {name: value for name, value in self.environment.items() if name != "PYTHONPATH"}
        other.environment["PATH"] = f"{programs}{os.pathsep}{self.environment['PATH']}"
        other.environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return other

    def bootstrap(self, folder: Path) -> str:
        """Prepare the account, as every CDK user does once."""
        return self.run(folder, "bootstrap", f"aws://{ACCOUNT}/{REGION}", "--app", "")

    def deploy(self, folder: Path, *arguments: str) -> str:
        """Deploy without asking; moto knows no change sets that look like CloudFormation's."""
        return self.run(folder, "deploy", "--method=direct", "--require-approval=never", *arguments)

    def run(self, folder: Path, command: str, *arguments: str) -> str:
        """Run one command.

        Args:
            folder: Of the app.
            command: Such as ``deploy``.
            *arguments: For the CLI.

        Returns:
            Its output.

        Raises:
            CdkError: When it fails.
        """
        cli = str(ROOT / "node_modules" / ".bin" / "cdk")
        quiet = ["--ci", "--no-notices", "--no-color", "--no-version-reporting", "--progress=events"]
        return self.call(folder, [cli, command, *quiet, *arguments], shown=["cdk", command, *arguments])

    def call(self, folder: Path, command: list[str], shown: list[str]) -> str:
        """Run any command in the CLI's environment; otherwise as :meth:`run`.

        Args:
            folder: Where.
            command: The command.
            shown: How it stands in the transcript.
        """
        started = time.monotonic()
        self._say(f"$ {' '.join(shown)}")
        done = subprocess.run(
            command, cwd=folder, env=self.environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode != 0:
            raise CdkError(done.stdout)
        self._say(f"  ({time.monotonic() - started:.1f} s)")
        return done.stdout
