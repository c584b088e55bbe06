"""A deployment as it stands in an account: the one place that decides account, region, profile and stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra.commands.cdk_app import AppError, stack_environment
from infra.commands.cdk_options import ANY, Command, Options, read_options
from infra.commands.cdk_settings import CdkSettings, boto_session, decide_region, read_settings
from infra.config import KitConfig, load_config
from infra.packaging.python_package import ROOT

if TYPE_CHECKING:
    import boto3


@dataclass(frozen=True)
class CdkArguments:
    """What a command needs of the arguments that go to the CDK CLI.

    Attributes:
        config: The configuration they, ``cdk.json`` and the CLI's other sources amount to.
        settings: What the CLI goes by.
        options: The arguments, understood.
    """

    config: KitConfig
    settings: CdkSettings
    options: Options

    @property
    def profile(self) -> str | None:
        """The AWS profile, if one is named for the CDK."""
        return self.settings.profile

    @property
    def confirmed(self) -> bool:
        """Whether the CLI is told not to ask."""
        return self.options.flag("force") or self.options.flag("yes")

    @property
    def given(self) -> list[str]:
        """All arguments, to be passed on."""
        return self.options.arguments


@dataclass(frozen=True)
class Deployment:
    """Where a stack is, or would be.

    Attributes:
        account: The account's number.
        region: The region.
        stack: The stack's name.
        session: For this account and region.
        outputs: The stack's outputs, or ``None`` when there is no such stack.
    """

    account: str
    region: str
    stack: str
    session: boto3.Session
    outputs: dict[str, str] | None

    @property
    def bucket(self) -> str | None:
        """The bucket with the sessions, if the stack has one."""
        return (self.outputs or {}).get("BucketName")

    def description(self) -> str:
        """What it is about, a line for each thing."""
        rows = [("account", self.account), ("region", self.region), ("stack", self.stack)]
        return "".join(f"{name:<9}{value}\n" for name, value in [*rows, ("bucket", self.bucket or "none")])


def read_cdk_arguments(arguments: list[str], command: Command = ANY) -> CdkArguments:
    """Read the CDK CLI's own arguments, so that ``ARGS=`` means the same to every command.

    Args:
        arguments: Such as ``["-c", "stage=prod", "--profile", "work"]``.
        command: The options that may be among them.

    Returns:
        What they amount to.

    Raises:
        OptionError: When an option is not known.
        CdkSettingsError: When a file of settings cannot be read.
        ConfigError: When the configuration is wrong.
    """
    options = read_options(arguments, command)
    settings = read_settings(options, ROOT)
    return CdkArguments(load_config(settings.context), settings, options)


def find_deployment(cdk: CdkArguments) -> Deployment:
    """Find the stack where the CDK CLI would deploy it.

    Args:
        cdk: The arguments.

    Returns:
        Account, region and stack. Nothing has been changed.

    Raises:
        AppError: When the app does not know the stack, or puts it into another account.
        CdkSettingsError: When AWS' own files cannot be read.
        botocore.exceptions.BotoCoreError: When there are no credentials, or AWS cannot be reached.
        botocore.exceptions.ClientError: When AWS refuses.
    """
    stack = cdk.config.stack_name
    region = decide_region(cdk.settings)
    session = boto_session(cdk.settings, region)
    account = session.client("sts").get_caller_identity()["Account"]
    declared = stack_environment(
        cdk.settings.app or "", stack, cdk.settings.context, project=ROOT, account=account, region=region
    )
    if declared.account not in {None, account}:
        raise AppError(f"the app puts {stack} into account {declared.account}; these credentials are of {account}")
    if declared.region not in {None, region}:
        region = str(declared.region)
        session = boto_session(cdk.settings, region)
    return Deployment(account, region, stack, session, stack_outputs(session, stack))


def stack_outputs(session: boto3.Session, stack_name: str) -> dict[str, str] | None:
    """The outputs of a deployed stack.

    Args:
        session: For the stack's account and region.
        stack_name: Its name.

    Returns:
        Output names and values, or ``None`` when there is no such stack.
    """
    try:
        (stack,) = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
