"""The handler of this working tree as a function: what the rehearsal deploys, without deploying it."""

import sys
from pathlib import Path

import awslambdaric  # type: ignore[import-untyped]  # comes without types

from infra.packaging.interpreters import Interpreter
from tests.deploy.lambda_process import ROOT, DeployedFunction

INSTALLED = Path(awslambdaric.__file__).resolve().parents[1]


def working_tree_function(folder: Path, bedrock_url: str, **environment: str) -> DeployedFunction:
    """The function, its sessions in a folder.

    Args:
        folder: For its sessions and its links to the code.
        bedrock_url: Its model's.
        **environment: Variables besides.
    """
    layer = folder / "layer" / "python"
    layer.mkdir(parents=True)
    for package in (ROOT / "lambda_src", ROOT / "layer" / "agent_sessions"):
        (layer / package.name).symlink_to(package)
    configuration = {
        "FunctionName": "endpoint",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:endpoint:live",
        "Version": "1",
        "MemorySize": 512,
        "Timeout": 60,
        "Handler": "lambda_src.handler.lambda_handler",
    }
    variables = {
        "SESSION_STORE": f"file://{folder}/sessions",
        "ASYNC_FUNCTION": ":live",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock_url,
        **environment,
    }
    python = Interpreter(Path(sys.executable), "3")
    return DeployedFunction(configuration, folder, [folder / "layer"], python, INSTALLED, variables)
