"""Ask a deployment: ``python -m infra.commands.smoke URL [arguments of the CDK CLI]``."""

import os
import sys
from typing import TYPE_CHECKING, Final

from botocore.config import Config

from agent_sessions_client import BearerAuth, Client, SigV4Auth
from infra.commands.cdk_options import OptionError
from infra.commands.deployment import find_deployment, read_cdk_arguments
from infra.commands.failures import run_command
from infra.commands.smoke.bucket import check_bucket
from infra.commands.smoke.conversation import check_conversation, check_forged_token
from infra.commands.smoke.report import Report

if TYPE_CHECKING:
    import boto3
    import httpx
    from mypy_boto3_s3 import S3Client


USAGE: Final = """\
make smoke URL=<EndpointUrl> [TOKEN=<access token>] [ARGS="..."]: ask a deployment what it promises.

The URL is the output EndpointUrl of `make deploy`; ARGS are those it was deployed with. With auth=jwt, TOKEN is
an access token of the issuer.
"""


def main(arguments: list[str]) -> int:
    """Run all checks.

    Args:
        arguments: The endpoint's URL, then what was given to the CDK CLI when it was deployed.

    Returns:
        0 when all hold, 1 when one does not or AWS cannot be asked, 2 when there is nothing to ask.
    """
    return run_command(_ask, arguments)


def _ask(arguments: list[str]) -> int:
    url, *rest = arguments or [""]
    cdk = read_cdk_arguments(rest)
    if cdk.options.flag("help"):
        sys.stdout.write(USAGE)
        return 0
    if not url.startswith(("https://", "http://")):
        raise OptionError("make smoke URL=https://....on.aws: the URL is the output EndpointUrl of `make deploy`")
    if cdk.config.auth == "jwt" and not os.environ.get("TOKEN"):
        raise OptionError("make smoke URL=... TOKEN=...: with auth=jwt a caller needs an access token of the issuer")
    deployment = find_deployment(cdk)
    outputs = deployment.outputs or {}
    if outputs.get("EndpointUrl", "").rstrip("/") != url.rstrip("/"):
        raise OptionError(
            f"{url} is not the endpoint of {deployment.stack} in account {deployment.account}, region "
            f'{deployment.region}. Give the arguments it was deployed with: make smoke URL=... ARGS="-c stage=..."'
        )
    sys.stdout.write(deployment.description())
    report = Report()
    sys.stdout.write(f"Conversation with {url}\n")
    session = deployment.session
    public = cdk.config.auth == "none"
    token = os.environ.get("TOKEN", "")
    with Client(url, caller_of(cdk.config.auth, session, token)) as client, Client(url) as stranger:
        if cdk.config.auth == "jwt":
            with Client(url, BearerAuth(forged(token))) as forger:
                check_forged_token(report, forger)
        check_conversation(report, client, None if public else stranger, streaming=cdk.config.streaming)
    sys.stdout.write(f"Bucket {deployment.bucket}\n")
    s3: S3Client = session.client("s3")
    plain_http: S3Client = session.client("s3", use_ssl=False, config=Config(retries={"total_max_attempts": 1}))
    check_bucket(report, s3, plain_http, outputs["BucketName"], kms="KeyArn" in outputs)
    return report.close()


def caller_of(auth: str, session: "boto3.Session", token: str) -> "httpx.Auth | None":
    """How somebody calls who may.

    Args:
        auth: Who may call, as the configuration says.
        session: Of a principal that may call.
        token: Of a person that may call.
    """
    if auth == "none":
        return None
    return BearerAuth(token) if auth == "jwt" else SigV4Auth(session)


def forged(token: str) -> str:
    """The same token with another signature."""
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{signature[::-1]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
