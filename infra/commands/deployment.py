"""A stack as it stands in an account: its outputs, for the commands that work on a deployment."""

import argparse
import json
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra.config import KitConfig, load_config
from infra.packaging.python_package import ROOT


@dataclass(frozen=True)
class CdkArguments:
    """What a command needs of the arguments that go to the CDK CLI.

    Attributes:
        config: The configuration they and ``cdk.json`` amount to.
        profile: AWS profile, if one is named.
        confirmed: Whether the CLI is told not to ask.
        given: All arguments, to be passed on.
    """

    config: KitConfig
    profile: str | None
    confirmed: bool
    given: list[str]

    def boto_session(self) -> boto3.Session:
        """A session for the account and region that the CLI would use."""
        return boto3.Session(profile_name=self.profile)


def read_cdk_arguments(arguments: list[str]) -> CdkArguments:
    """Read the CDK CLI's own arguments, so that ``ARGS=`` means the same to every command.

    Args:
        arguments: Such as ``["-c", "stage=prod", "--profile", "work"]``.

    Returns:
        What they amount to.

    Raises:
        ConfigError: When the configuration is wrong.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--context", action="append", default=[])
    parser.add_argument("--profile")
    parser.add_argument("-f", "--force", "-y", "--yes", action="store_true")
    known, _ = parser.parse_known_args(arguments)
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    for pair in known.context:
        key, _, value = pair.partition("=")
        context[key] = value
    return CdkArguments(load_config(context), known.profile, known.force, arguments)


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
