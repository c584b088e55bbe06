"""What the session library needs of S3, asked of the real bucket: emulators answer some of this wrongly.

Everything is written below ``smoke/``, beside the sessions, and removed again.
"""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra.commands.smoke.report import Report, expect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NEVER = '"00000000000000000000000000000000"'


def check_bucket(report: Report, s3: "S3Client", plain_http: "S3Client", bucket: str, *, kms: bool) -> None:
    """Ask for conditional writes, encryption and the deny statement.

    Args:
        report: Where the results go.
        s3: A client of somebody who may write beside the sessions.
        plain_http: The same, without TLS.
        bucket: The store's bucket.
        kms: Whether objects are encrypted with a KMS key.
    """
    key = f"smoke/{uuid.uuid4()}"

    def put(body: bytes, **condition: str) -> str:
        return s3.put_object(Bucket=bucket, Key=key, Body=body, **condition)["ETag"]  # type: ignore[arg-type]  # a keyword

    report.check("a missing key is 404", lambda: _refused(lambda: s3.get_object(Bucket=bucket, Key=key), "NoSuchKey"))
    report.check(
        "a missing key is not replaced", lambda: _refused(lambda: put(b"x", IfMatch=_NEVER), "NoSuchKey", "404")
    )
    etag = report.check("a key is created once", lambda: put(b"one", IfNoneMatch="*"))
    try:
        report.check(
            "a key is not created twice", lambda: _refused(lambda: put(b"two", IfNoneMatch="*"), "PreconditionFailed")
        )
        report.check("an object is encrypted as configured", lambda: _encrypted(s3, bucket, key, kms=kms))
        renewed = report.check("the holder of the ETag replaces", lambda: put(b"one", IfMatch=etag or _NEVER))
        if kms:
            report.check("with a key, equal bytes get another ETag", lambda: expect(renewed != etag, renewed))
        report.check(
            "a stale ETag does not replace", lambda: _refused(lambda: put(b"x", IfMatch=_NEVER), "PreconditionFailed")
        )
        report.check(
            "a stale ETag does not delete",
            lambda: _refused(lambda: s3.delete_object(Bucket=bucket, Key=key, IfMatch=_NEVER), "PreconditionFailed"),
        )
        report.check(
            "plain HTTP is denied",
            lambda: _refused(lambda: plain_http.get_object(Bucket=bucket, Key=key), "AccessDenied", "403"),
        )
        report.check("nothing is public", lambda: _private(s3, bucket))
    finally:
        report.check("the test's object is removed", lambda: s3.delete_object(Bucket=bucket, Key=key))


def _refused(attempt: Callable[[], object], *codes: str) -> None:
    try:
        answer = attempt()
    except ClientError as error:
        expect(error.response["Error"]["Code"] in codes, error)
    else:
        expect(holds=False, found=answer)


def _encrypted(s3: "S3Client", bucket: str, key: str, *, kms: bool) -> None:
    head = s3.head_object(Bucket=bucket, Key=key)
    expected = ("aws:kms", True) if kms else ("AES256", False)
    found = (head.get("ServerSideEncryption"), head.get("BucketKeyEnabled", False))
    expect(found == expected, found)


def _private(s3: "S3Client", bucket: str) -> None:
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    expect(all(block.values()), block)
