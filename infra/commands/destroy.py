"""``make destroy``: empty the bucket and remove the stack, except in production.

CloudFormation removes no bucket that holds objects. Emptying it is done here, where somebody watches.
"""

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from infra.commands.cdk_options import DESTROY, OptionError, Options
from infra.commands.deployment import CdkArguments, Deployment, find_deployment, read_cdk_arguments
from infra.commands.failures import FAILED, CommandError, run_command
from infra.packaging.python_package import ROOT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_CDK = ROOT / "node_modules" / ".bin" / "cdk"
_MANY: Final = 1000  # what one request lists

USAGE: Final = """\
make destroy [ARGS="..."]: empty the bucket of the stack and remove the stack, except in stage prod.

It shows account, region, stack and bucket, and asks; where the bucket holds anything, for the stack's name.
ARGS are those of `cdk destroy`: -c stage=..., --profile, --region. For scripts: `--yes <stack>` answers by naming the
stack, `--force` asks nothing.
"""


class NotEmptiedError(CommandError):
    """Objects are left in the bucket; the message names them."""


def main(arguments: list[str]) -> int:
    """Destroy a deployment.

    Args:
        arguments: What goes to the CDK CLI.

    Returns:
        An exit code.
    """
    return run_command(_destroy, arguments)


def _destroy(arguments: list[str]) -> int:
    cdk = read_cdk_arguments(arguments, DESTROY)
    if cdk.options.flag("help"):
        sys.stdout.write(USAGE)
        return 0
    stack = cdk.config.stack_name
    _check_what_is_named(cdk.options, stack)
    if cdk.config.is_production:
        raise CommandError(
            f"{stack} is production: it holds people's sessions and is not destroyed from here. If that is really what "
            "is wanted: turn its termination protection off and delete the stack in CloudFormation. The bucket, its "
            "key and the log stay, and are then yours to keep or to delete."
        )
    deployment = find_deployment(cdk)
    if deployment.outputs is None:
        sys.stdout.write(
            f"{stack}: no such stack in account {deployment.account}, region {deployment.region}; nothing to destroy.\n"
        )
        return 0
    s3: S3Client = deployment.session.client("s3")
    held = 0 if deployment.bucket is None else len(_some_objects(s3, deployment.bucket))
    sys.stdout.write(deployment.description())
    if not _is_wanted(cdk.options, deployment, held):
        return FAILED
    if deployment.bucket is not None:
        sys.stdout.write(f"{deployment.bucket}: {empty_bucket(s3, deployment.bucket)} objects deleted\n")
        sys.stdout.flush()
    return _cdk_destroy(cdk, deployment)


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
    try:
        page = s3.list_object_versions(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchBucket":  # an earlier attempt got as far as that
            return []
        raise
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in found]


def _check_what_is_named(options: Options, stack: str) -> None:
    """Refuse what the CLI would destroy beside the stack whose bucket is emptied."""
    others = [name for name in options.stacks if name != stack]
    if others:
        raise OptionError(f"{others[0]}: this destroys {stack} and nothing else; another stage is -c stage=...")
    if options.flag("all"):
        raise OptionError(f"--all: this destroys {stack} and nothing else")


def _is_wanted(options: Options, deployment: Deployment, held: int) -> bool:
    """Whether somebody has said, or says now, that all of this may go.

    Args:
        options: What was said on the command line.
        deployment: What would go.
        held: How many objects the first listing of the bucket names.
    """
    stack = deployment.stack
    if options.flag("force") or (options.flag("yes") and (not held or stack in options.stacks)):
        return True
    objects = f"{held} objects" if held < _MANY else f"{_MANY} objects or more"
    if options.flag("yes"):
        raise CommandError(
            f"{deployment.bucket} holds {objects}. Name the stack to delete them with it: "
            f'make destroy ARGS="--yes {stack} ..."'
        )
    if not held:
        return _answer(f"The stack {stack} will be deleted. Sure (y/n)? ").lower() in {"y", "yes"}
    question = f"The bucket holds {objects}: the sessions of this stack. All will be deleted.\nType the stack's name: "
    if _answer(question) == stack:
        return True
    sys.stdout.write(f"That is not its name ({stack}); nothing was deleted.\n")
    return False


def _answer(question: str) -> str:
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip()


def _cdk_destroy(cdk: CdkArguments, deployment: Deployment) -> int:
    if not _CDK.exists():
        raise CommandError(f"{_CDK} is not there: run `make destroy` again, or `npm ci`")
    command = [str(_CDK), "destroy", *([] if cdk.confirmed else ["--force"]), *cdk.given]
    # The region that was shown, whatever the CLI would find by itself.
    environment = {**os.environ, "AWS_REGION": deployment.region, "AWS_DEFAULT_REGION": deployment.region}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603 - the pinned CLI


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
