"""Ask a deployment: ``python -m infra.commands.smoke URL [arguments of the CDK CLI]``."""

import sys
from typing import TYPE_CHECKING

from botocore.config import Config

from infra.commands.deployment import read_cdk_arguments, stack_outputs
from infra.commands.smoke.bucket import check_bucket
from infra.commands.smoke.conversation import check_conversation
from infra.commands.smoke.report import Report
from infra.commands.smoke.signed_http import SignedClient
from infra.config import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def main(arguments: list[str]) -> int:
    """Run all checks.

    Args:
        arguments: The endpoint's URL, then what was given to the CDK CLI when it was deployed.

    Returns:
        0 when all hold, 1 when one does not, 2 when there is nothing to ask.
    """
    if not arguments or not arguments[0].startswith(("https://", "http://")):
        sys.stderr.write("make smoke URL=https://....on.aws: the URL is the output EndpointUrl of `make deploy`\n")
        return 2
    url, *rest = arguments
    try:
        cdk = read_cdk_arguments(rest)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    session = cdk.boto_session()
    outputs = stack_outputs(session, cdk.config.stack_name)
    if outputs is None or outputs["EndpointUrl"].rstrip("/") != url.rstrip("/"):
        sys.stderr.write(
            f"{url} is not the endpoint of {cdk.config.stack_name}. Give the arguments it was deployed with: "
            'make smoke URL=... ARGS="-c stage=..."\n'
        )
        return 2
    report = Report()
    sys.stdout.write(f"Conversation with {url}\n")
    check_conversation(report, SignedClient(url, session), public=cdk.config.auth == "none")
    sys.stdout.write(f"Bucket {outputs['BucketName']}\n")
    s3: S3Client = session.client("s3")
    plain_http: S3Client = session.client("s3", use_ssl=False, config=Config(retries={"total_max_attempts": 1}))
    check_bucket(report, s3, plain_http, outputs["BucketName"], kms="KeyArn" in outputs)
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
