"""What the endpoint's function needs from PyPI, as a layer."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import RemovalPolicy, Stack, Stage
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from ..packaging.agent_folder import agent_folder
from ..packaging.agent_requirements import check_agent_lock, lock_of, requirements_of, wording_of
from ..packaging.built_code import built_code
from ..packaging.kit_files import IS_INSTALLED, LOCKS, endpoint_lock
from ..packaging.python_package import ROOT
from ..packaging.runtime_layer_build import LayerTarget, build_runtime_layer, describe, require_uv

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

    Attributes:
        layer: The layer.
        target: The Python and the processor that it was built for.
        provider_package: The provider's SDK that it holds, if any.
        agent_lock: The lock of the agent whose packages it holds; ``None`` if it holds none.

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

        lock = endpoint_lock(provider_package)
        self.target = target
        self.provider_package = provider_package
        self.agent_lock = of_agent = lock_of_agent(agent)
        cache = layer_cache(self)

        def build(output: Path) -> None:
            report = build_runtime_layer(lock, target, output, cache, of_agent)
            sys.stderr.write(describe("runtime layer", target, report) + "\n")

        self.layer = lambda_.LayerVersion(
            self,
            "Layer",
            code=built_code(self, LOCKS, build),
            description=f"Strands, Powertools and boto3 for Python {target.python_version} on {target.architecture}",
            compatible_runtimes=[python_runtime(target.python_version)],
            compatible_architectures=[cpu_architecture(target.architecture)],
            # An older version of the function, published and perhaps rolled back to, still names the old layer.
            removal_policy=RemovalPolicy.RETAIN,
        )

    def check(self, target: LayerTarget, provider_package: str | None, agent: str | Path | None) -> None:
        """Check that the function of an endpoint can run with this layer.

        Args:
            target: The function's Python and processor.
            provider_package: The SDK that the model's provider needs, if it needs one.
            agent: The folder of the endpoint's agent.

        Raises:
            ValueError: The layer holds something else than the function needs; the message names it.
            AgentRequirementsError: The agent's requirements are not those of their lock.
        """
        where = f"layers: {self.node.path}"
        if self.target != target:
            raise ValueError(
                f"{where} is for Python {self.target.python_version} on {self.target.architecture}, and the function "
                f"has Python {target.python_version} on {target.architecture}"
            )
        if provider_package is not None and self.provider_package != provider_package:
            raise ValueError(
                f"{where} does not hold the package of the model's provider; make it with "
                f"provider_package={provider_package!r}"
            )
        needed = lock_of_agent(agent)
        if needed is not None and (self.agent_lock is None or self.agent_lock.read_bytes() != needed.read_bytes()):
            raise ValueError(
                f"{where} does not hold the packages of {_shown(needed)}; make it with agent={_given(agent)}"
            )


def check_layers(
    layers: Sequence[lambda_.ILayerVersion],
    target: LayerTarget,
    provider_package: str | None,
    agent: str | Path | None,
) -> None:
    """Check that layers which an endpoint is given hold what its function needs.

    Args:
        layers: All of them. What is in a layer that no :class:`RuntimeLayer` made is not known.
        target: The function's Python and processor.
        provider_package: The SDK that the model's provider needs, if it needs one.
        agent: The folder of the endpoint's agent.

    Raises:
        ValueError: They lack something; the message names it.
        AgentRequirementsError: The agent's requirements are not those of their lock.
    """
    runtimes = [scope for scope in (layer.node.scope for layer in layers) if isinstance(scope, RuntimeLayer)]
    for runtime in runtimes:
        runtime.check(target, provider_package, agent)
    if runtimes:
        return
    needed = lock_of_agent(agent)
    lacking = [f"the package of the model's provider, {provider_package!r}"] if provider_package else []
    lacking += [f"the packages of {_shown(needed)}"] if needed else []
    if lacking:
        arguments = [f"provider_package={provider_package!r}"] if provider_package else []
        arguments += [f"agent={_given(agent)}"] if needed else []
        raise ValueError(
            f"layers: none is known to hold {' and '.join(lacking)}; allowed: the `layer` of a "
            f"RuntimeLayer(..., {', '.join(arguments)})"
        )


def lock_of_agent(agent: str | Path | None) -> Path | None:
    """The lock of the agent in a folder, or of the one in this package or repository; ``None`` if it needs no packages.

    Raises:
        AgentRequirementsError: The agent's requirements are not those of their lock.
    """
    if agent is None:
        return check_agent_lock()
    folder = agent_folder(agent)
    return check_agent_lock(requirements_of(folder), lock_of(folder), wording=wording_of(agent))


def _shown(lock: Path) -> str:
    return os.path.relpath(lock)


def _given(agent: str | Path | None) -> str:
    return repr(None if agent is None else str(agent))


def layer_cache(scope: Construct) -> Path:
    """Where built layers are kept."""
    if _CACHE is not None:
        return _CACHE
    stage = Stage.of(scope)
    assert stage is not None  # noqa: S101 - tells mypy what the CDK documents: every stack is in one
    return Path(stage.asset_outdir) / _CACHE_IN_OUTPUT


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
