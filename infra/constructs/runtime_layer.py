"""What the endpoint's function needs from PyPI, as a layer."""

import sys
from pathlib import Path

from aws_cdk import RemovalPolicy, Stack, Stage
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from ..packaging.agent_folder import agent_folder
from ..packaging.agent_requirements import check_agent_lock, own_lock, own_wording
from ..packaging.built_code import built_code
from ..packaging.kit_files import IS_INSTALLED, LOCKS
from ..packaging.python_package import ROOT
from ..packaging.runtime_layer_build import LayerTarget, build_runtime_layer, describe, require_uv

_LOCKS = LOCKS
_LOCK = _LOCKS / "endpoint.txt"
# Where the package is installed, nothing is written beside it: what was built is kept in the CDK's output.
_CACHE = None if IS_INSTALLED else ROOT / ".cache" / "layers"
_CACHE_IN_OUTPUT = ".runtime-layers"


class RuntimeLayer(Construct):
    """Strands, Powertools, boto3 and the packages of the user's own agent, from the locks that the tests ran with.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        target: The function's Python and processor.
        provider_package: The SDK that the model's provider needs, if it needs one: it has a lock of its own.
        agent: The folder of the agent whose packages are installed, relative to the working folder; ``None`` for the
            one in this package or repository.

    Raises:
        PackageError: The agent's requirements are not those of their lock, or the layer cannot be built.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        target: LayerTarget,
        provider_package: str | None = None,
        agent: str | Path | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        if Stack.of(self).bundling_required:
            require_uv()  # said here, in one line, not out of the depths of the CDK

        lock = _LOCK if provider_package is None else _LOCKS / f"endpoint-{provider_package}.txt"
        of_agent = check_agent_lock() if agent is None else _lock_in(agent_folder(agent))
        cache = _CACHE or _output(self) / _CACHE_IN_OUTPUT

        def build(output: Path) -> None:
            report = build_runtime_layer(lock, target, output, cache, of_agent)
            sys.stderr.write(describe("runtime layer", target, report) + "\n")

        self.layer = lambda_.LayerVersion(
            self,
            "Layer",
            code=built_code(self, _LOCKS, build),
            description=f"Strands, Powertools and boto3 for Python {target.python_version} on {target.architecture}",
            compatible_runtimes=[python_runtime(target.python_version)],
            compatible_architectures=[cpu_architecture(target.architecture)],
            # An older version of the function, published and perhaps rolled back to, still names the old layer.
            removal_policy=RemovalPolicy.RETAIN,
        )


def _lock_in(folder: Path) -> Path | None:
    return check_agent_lock(folder / "requirements.in", own_lock(folder), wording=own_wording(folder))


def _output(scope: Construct) -> Path:
    stage = Stage.of(scope)
    assert stage is not None  # noqa: S101 - tells mypy what the CDK documents: every stack is in one
    return Path(stage.asset_outdir)


def python_runtime(version: str) -> lambda_.Runtime:
    """The Lambda runtime of a Python version such as ``3.13``."""
    runtimes = {
        "3.12": lambda_.Runtime.PYTHON_3_12,
        "3.13": lambda_.Runtime.PYTHON_3_13,
        "3.14": lambda_.Runtime.PYTHON_3_14,
    }
    return runtimes[version]


def cpu_architecture(name: str) -> lambda_.Architecture:
    """The Lambda architecture called ``arm64`` or ``x86_64``."""
    return {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}[name]
