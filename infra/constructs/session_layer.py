"""The session library alone, as a layer for any function."""

from pathlib import Path

from aws_cdk import RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from ..packaging.built_code import built_code
from ..packaging.kit_files import SESSION_LIBRARY
from ..packaging.python_package import copy_package
from ..packaging.runtime_layer_build import INSTALLED_AS


class SessionLayer(Construct):
    """``import agent_sessions`` for functions that have boto3 anyway: pure Python, any runtime and architecture.

    Where a name is given, the ARN of the newest version is also an SSM parameter, so that other apps need not know this
    stack.

    Args:
        scope: Parent construct.
        construct_id: Id within it.
        python_version: The Python whose byte code is included. Others compile at import.
        parameter_name: Name of the SSM parameter, if there is to be one.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, python_version: str, parameter_name: str | None = None
    ) -> None:
        super().__init__(scope, construct_id)

        def build(output: Path) -> None:
            copy_package(
                SESSION_LIBRARY,
                output / "python",
                python_version=python_version,
                installed_as=INSTALLED_AS,
            )

        self.layer = lambda_.LayerVersion(
            self,
            "Layer",
            code=built_code(self, SESSION_LIBRARY, build),
            description="agent_sessions: durable agent sessions on Amazon S3",
            license="Apache-2.0",
            # A new version replaces the old one; functions of other stacks still use that.
            removal_policy=RemovalPolicy.RETAIN,
        )
        if parameter_name is not None:
            ssm.StringParameter(
                self,
                "Arn",
                parameter_name=parameter_name,
                string_value=self.layer.layer_version_arn,
                description="The newest version of the agent_sessions layer",
            )
