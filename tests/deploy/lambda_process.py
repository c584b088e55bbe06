"""Running a deployed package as Lambda does: its own files, its layers, the runtime's, and nothing else on the path."""

import base64
import hashlib
import io
import os
import re
import subprocess
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.packaging.interpreters import Interpreter
from infra.packaging.runtime_layer_build import require_uv
from tests.deploy.runtime_api import Outcome, RuntimeApi

ROOT = Path(__file__).resolve().parents[2]
# What Lambda's own Python runtime brings: its client and boto3.
_RUNTIME_PACKAGES = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"),
)
_START_SECONDS = 30


@dataclass
class DeployedFunction:
    """A function taken out of the emulator.

    Attributes:
        configuration: As ``GetFunction`` gave it.
        task_root: Its unpacked code.
        layers: Its unpacked layers, in order.
        interpreter: The Python that runs it.
        runtime: Folder of what Lambda's runtime brings.
        environment: Variables beside the function's own: credentials and where the services are.
    """

    configuration: Any
    task_root: Path
    layers: list[Path]
    interpreter: Interpreter
    runtime: Path
    environment: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def invoke(self, event: Any) -> Outcome:
        """Start a process, hand it the event, and end it.

        Args:
            event: The event.

        Returns:
            What came back.

        Raises:
            RuntimeError: When the process ends, or the function's time is over, without an answer.
        """
        timeout = float(self.configuration["Timeout"])
        with RuntimeApi(self.configuration["FunctionArn"], timeout) as api:
            api.offer(event)
            process = self.start(api.address)
            try:
                outcome = api.outcome(_START_SECONDS + timeout)
            finally:
                process.kill()
                output, _ = process.communicate()
                self.log = output.decode(errors="replace")
        if outcome is None:
            raise RuntimeError(f"no answer; the function's output:\n{self.log}")
        return outcome

    def start(self, runtime_api: str) -> subprocess.Popen[bytes]:
        """Start a process under the runtime client, which asks for events until it is ended.

        Args:
            runtime_api: Host and port where it asks.

        Returns:
            The process; its output comes through one pipe.
        """
        return subprocess.Popen(
            [str(self.interpreter.path), "-S", "-m", "awslambdaric", self.configuration["Handler"]],
            cwd=self.task_root,
            env=self._environment(runtime_api),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def _environment(self, runtime_api: str) -> dict[str, str]:
        # In the order of Lambda's own path: the function, its layers, the runtime.
        path = [self.task_root, *(layer / "python" for layer in self.layers), self.runtime]
        return {
            **self.configuration.get("Environment", {}).get("Variables", {}),
            **self.environment,
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            "AWS_LAMBDA_FUNCTION_NAME": self.configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_VERSION": self.configuration["Version"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.configuration["MemorySize"]),
            "LAMBDA_TASK_ROOT": str(self.task_root),
            "_HANDLER": self.configuration["Handler"],
            "PYTHONPATH": os.pathsep.join(str(folder) for folder in path),
            "PYTHONDONTWRITEBYTECODE": "1",  # /var/task and /opt are read-only
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.task_root),
        }


def take_out(
    client: Any, name: str, folder: Path, interpreter: Interpreter, qualifier: str | None = None
) -> DeployedFunction:
    """Download a function and its layers, as ``GetFunction`` and ``GetLayerVersion`` offer them.

    Args:
        client: A boto3 client for Lambda in the emulator.
        name: The function.
        folder: Where to unpack.
        interpreter: What will run it.
        qualifier: Alias or version.

    Returns:
        The function, ready to run but for its environment.
    """
    answer = client.get_function(FunctionName=name, **({"Qualifier": qualifier} if qualifier else {}))
    configuration = answer["Configuration"]
    task_root = _unpack(answer["Code"]["Location"], configuration["CodeSha256"], folder / name)
    layers = []
    for layer in configuration.get("Layers", []):
        layer_name, _, number = layer["Arn"].partition(":layer:")[2].partition(":")
        content = client.get_layer_version(LayerName=layer_name, VersionNumber=int(number))["Content"]
        layers.append(_unpack(content["Location"], content["CodeSha256"], folder / layer["Arn"].replace(":", "_")))
    return DeployedFunction(configuration, task_root, layers, interpreter, folder / "runtime")


def install_runtime(python_version: str, folder: Path) -> None:
    """Install what Lambda's runtime brings, from the project's lock.

    Args:
        python_version: Of the function.
        folder: ``folder/runtime`` is filled.
    """
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    blocks = re.findall(r"^[a-z0-9-]+==[^\\\n]*(?:\\\n[^\\\n]*)*", lock, flags=re.MULTILINE)
    wanted = [block for block in blocks if block.split("==")[0] in _RUNTIME_PACKAGES]
    if len(wanted) != len(_RUNTIME_PACKAGES):
        raise RuntimeError(f"the lock holds {[block.split('==')[0] for block in wanted]} of {_RUNTIME_PACKAGES}")
    requirements = folder / "runtime.txt"
    requirements.write_text("\n".join(wanted) + "\n", encoding="utf-8")
    subprocess.run(
        [
            *(str(require_uv()), "pip", "install", "--quiet", "--no-config", "--no-deps", "--require-hashes"),
            *("--target", str(folder / "runtime"), "--python-version", python_version, "--only-binary", ":all:"),
            *("--requirements", str(requirements)),
        ],
        check=True,
    )


def _unpack(location: str, sha256: str, folder: Path) -> Path:
    if folder.is_dir():
        return folder
    with urllib.request.urlopen(location) as response:  # noqa: S310 - the emulator's own address
        package = response.read()
    found = base64.b64encode(hashlib.sha256(package).digest()).decode()
    if found != sha256:
        raise RuntimeError(f"{location}: sha256 {found}, declared {sha256}")
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        archive.extractall(folder)
    return folder
