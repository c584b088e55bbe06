"""``make destroy``: empty the bucket and remove the stack, except in production.

CloudFormation removes no bucket that holds objects. Emptying it is done here, where somebody watches.
"""

import subprocess
import sys
from typing import TYPE_CHECKING

from infra.commands.deployment import CdkArguments, read_cdk_arguments, stack_outputs
from infra.config import ConfigError
from infra.packaging.python_package import ROOT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_CDK = ROOT / "node_modules" / ".bin" / "cdk"


class NotEmptiedError(RuntimeError):
    """Objects are left in the bucket; the message names them."""


def main(arguments: list[str]) -> int:
    """Destroy a deployment.

    Args:
        arguments: What goes to the CDK CLI.

    Returns:
        An exit code.
    """
    try:
        cdk = read_cdk_arguments(arguments)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    stack = cdk.config.stack_name
    if cdk.config.is_production:
        sys.stderr.write(
            f"{stack} is production: it holds people's sessions and is not destroyed from here. If that is really what "
            "is wanted: turn its termination protection off and delete the stack in CloudFormation. The bucket, its "
            "key and the log stay, and are then yours to keep or to delete.\n"
        )
        return 1
    outputs = stack_outputs(cdk.boto_session(), stack)
    if outputs is None:
        sys.stdout.write(f"{stack}: no such stack in this account and region; nothing to destroy.\n")
        return 0
    bucket = outputs["BucketName"]
    if not cdk.confirmed and not _confirm(
        f"All sessions in {bucket} and the stack {stack} will be deleted. Sure (y/n)? "
    ):
        return 1
    removed = empty_bucket(cdk.boto_session().client("s3"), bucket)
    sys.stdout.write(f"{bucket}: {removed} objects deleted\n")
    return _cdk_destroy(cdk)


def empty_bucket(s3: "S3Client", bucket: str) -> int:
    """Delete every object, every old version and every delete marker.

    Args:
        s3: A client.
        bucket: The bucket.

    Returns:
        How many were deleted.

    Raises:
        NotEmptiedError: When S3 refuses to delete some; it answers 200 all the same.
    """
    removed = 0
    # From the start each time: what is listed is gone afterwards, and what a last turn wrote meanwhile is seen too.
    while objects := _some_objects(s3, bucket):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if answer.get("Errors"):
            left = ", ".join(f"{error.get('Key')} ({error.get('Code')})" for error in answer["Errors"])
            raise NotEmptiedError(f"{bucket}: not deleted: {left}")
        removed += len(objects)
    return removed


def _some_objects(s3: "S3Client", bucket: str) -> "list[ObjectIdentifierTypeDef]":
    page = s3.list_object_versions(Bucket=bucket)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in found]


def _confirm(question: str) -> bool:
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _cdk_destroy(cdk: CdkArguments) -> int:
    command = [str(_CDK), "destroy", *([] if cdk.confirmed else ["--force"]), *cdk.given]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - the pinned CLI, the user's arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
