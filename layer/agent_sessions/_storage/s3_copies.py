"""Copies within one S3, which move no bytes through this process.

A copy is written under a condition, as every write is: ``If-None-Match: *`` on the new key, and the ETag of the version
that was listed. Amazon's S3 keeps the first since 2025. A store that is like S3 may ignore it, and says nothing then.
So the first copy of a process into a bucket is asked for twice: the second must be refused.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from agent_sessions._storage.s3_answers import date_of, is_conflict, is_refused

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from agent_sessions.object_store import ListedObject

_lock = threading.Lock()
_keeps: dict[tuple[str, str], bool] = {}
"""Whether a bucket keeps the condition on copies, by its endpoint and its name."""


def copy_once(client: S3Client, source: tuple[str, ListedObject], bucket: str, key: str) -> dict[str, Any] | None:
    """Copy an object, if its source is as it was listed and nothing is stored at the key.

    Args:
        client: Of the endpoint that both buckets have.
        source: The bucket of the object, and the object.
        bucket: Where it goes.
        key: Its key there.

    Returns:
        S3's answer with ``ETag`` and ``LastModified``; ``None`` if this S3 does not copy for us.

    Raises:
        ClientError: S3 refused or failed. 412 says that the source has changed, or that something is at the key.
    """
    place = (client.meta.endpoint_url, bucket)
    with _lock:
        keeps = _keeps.get(place)
        if keeps is None:
            answer = _sent(client, source, bucket, key)
            keeps = _keeps[place] = answer is not None and _is_refused_again(client, source, bucket, key)
            return answer
    return _sent(client, source, bucket, key) if keeps else None


def _is_refused_again(client: S3Client, source: tuple[str, ListedObject], bucket: str, key: str) -> bool:
    try:
        _sent(client, source, bucket, key)
    except ClientError as error:
        if is_refused(error):
            return True
        raise
    return False


def _sent(client: S3Client, source: tuple[str, ListedObject], bucket: str, key: str) -> dict[str, Any] | None:
    from_bucket, entry = source
    try:
        answer = client.copy_object(
            Bucket=bucket,
            Key=key,
            CopySource={"Bucket": from_bucket, "Key": entry.key},
            CopySourceIfMatch=entry.etag,
            IfNoneMatch="*",
        )
    except ClientError as error:
        if is_refused(error) or is_conflict(error):
            raise
        # It may not read there with these credentials, or does not know copies. Whoever reads and writes is told.
        return None
    result: Any = answer.get("CopyObjectResult", {})
    return {"ETag": result.get("ETag"), "at": date_of(answer["ResponseMetadata"])} if result.get("ETag") else None
