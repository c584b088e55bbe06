"""The function's code, with an agent in it that has been tried."""

import sys
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from ..config import KitConfig
from ..packaging.agent_folder import MODEL, agent_folder, check_builder
from ..packaging.agent_requirements import wording_of
from ..packaging.agent_trial import Packages, try_packaged
from ..packaging.built_code import built_code
from ..packaging.kit_files import AGENT_FOLDER, FUNCTION, endpoint_lock
from ..packaging.python_package import copy_package
from ..policies.model_choice import package_of
from .runtime_layer import layer_cache, lock_of_agent

_TASK_ROOT = "/var/task"


def function_code(
    scope: Construct, config: KitConfig, agent: str | Path | None, environment: Mapping[str, str]
) -> lambda_.AssetCode:
    """Package the function with an agent, and try the agent as it is packaged.

    Args:
        scope: Whose code it is.
        config: The settings, with their model.
        agent: The agent's folder; ``None`` for the one of this repository or package.
        environment: The variables that the function is deployed with.

    Raises:
        AgentFolderError: The agent cannot be used.
        AgentRequirementsError: The agent's requirements are not those of their lock.
    """
    folder = agent_folder(agent)
    locks = [endpoint_lock(package_of(config.agent_model)), *filter(None, [lock_of_agent(agent)])]
    packages = Packages(locks, config.python_version, layer_cache(scope))

    def build(output: Path) -> None:
        check_builder(folder)
        copy_package(
            FUNCTION,
            output,
            python_version=config.python_version,
            installed_as=_TASK_ROOT,
            instead={AGENT_FOLDER.name: folder},
            otherwise={f"{AGENT_FOLDER.name}/{MODEL}": AGENT_FOLDER / MODEL},
        )
        sys.stderr.write(try_packaged(environment, output, packages, wording_of(agent)))

    return built_code(scope, FUNCTION, build)
