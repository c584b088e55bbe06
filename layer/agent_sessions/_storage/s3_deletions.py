"""Deleting in a bucket: one version, or what was listed; conditionally, if the store knows conditional deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from botocore.exceptions import ClientError

from agent_sessions._storage.s3_answers import (
    S3_ERRORS,
    code_of,
    failed,
    is_missing,
    is_refused,
    is_unsupported,
    require,
)
from agent_sessions._storage.s3_conditions import is_amazon
from agent_sessions.exceptions import SessionStorageError
from agent_sessions.object_store import listed_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

DELETE_BATCH = 1000
"""The most keys that a ``DeleteObjects`` call takes (S3 API reference)."""

_NAMED_IN_ERRORS = 20
_CHANGED = "PreconditionFailed"
_GONE = "NoSuchKey"
_UNKNOWN_HERE = {"NotImplemented", "MethodNotAllowed"}


class ObjectVersion(NamedTuple):
    """A version of an object, or a delete marker.

    Attributes:
        key: The object's key.
        etag: ``None`` for a delete marker, and if the store knows no conditional deletes.
        version_id: ``None`` in a bucket without versioning.
        current: Whether it is the newest.
    """

    key: str
    etag: str | None
    version_id: str | None
    current: bool

    @property
    def identifier(self) -> ObjectIdentifierTypeDef:
        """What to delete: this version and no later one."""
        if self.version_id is not None:
            return {"Key": self.key, "VersionId": self.version_id}
        return {"Key": self.key, "ETag": self.etag} if self.etag else {"Key": self.key}


def some_versions(client: S3Client, bucket: str, prefix: str) -> tuple[list[ObjectVersion], bool] | None:
    """The first versions and delete markers below a prefix, and whether there are more.

    Returns:
        ``None`` when they may not be listed, or the store does not show any.
    """
    amazon = is_amazon(client.meta.endpoint_url)
    try:
        page = client.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=DELETE_BATCH)
        require(page, "ListObjectVersions", "IsTruncated", "KeyMarker", "Name")
    except ClientError as error:
        if code_of(error) == "AccessDenied" or is_unsupported(error, amazon=amazon):
            return None
        raise failed(bucket, "list", prefix, error) from error
    except S3_ERRORS as error:
        raise failed(bucket, "list", prefix, error) from error
    listed = [
        (listed_key(entry["Key"], prefix), entry.get("ETag"), entry["VersionId"], entry["IsLatest"])
        for kind in ("Versions", "DeleteMarkers")
        for entry in cast("list[dict[str, Any]]", page.get(kind, []))
    ]
    if not listed and not amazon:
        return None  # S3's own listing shows every object; one that answers something else shows none
    # Without versioning, naming a version would need a permission that the bucket's users lack. A bucket has delete
    # markers, or versions other than "null", only if it has had versioning.
    versioned = bool(page.get("DeleteMarkers")) or any(version_id != "null" for _, _, version_id, _ in listed)
    versions = [
        ObjectVersion(key, etag, version_id if versioned else None, current=bool(current))
        for key, etag, version_id, current in listed
    ]
    return versions, bool(page.get("IsTruncated"))


class Deleted(NamedTuple):
    """The outcome of a deletion.

    Attributes:
        objects: How many were deleted.
        changed: How many were kept because they had been written anew. The rest was gone already.
    """

    objects: int
    changed: int


def delete_listed(client: S3Client, bucket: str, doomed: Sequence[ObjectIdentifierTypeDef]) -> Deleted:
    """Delete what was listed, in as few requests as the store allows.

    Raises:
        SessionStorageError: Names the keys that could not be deleted.
    """
    fates: list[tuple[str, str]] = []
    for start in range(0, len(doomed), DELETE_BATCH):
        fates += _delete_batch(client, bucket, doomed[start : start + DELETE_BATCH])
    # The object was written anew, or deleted by somebody else, since it was listed.
    changed = sum(code == _CHANGED for _, code in fates)
    gone = sum(code == _GONE for _, code in fates)
    left = [(key, code) for key, code in fates if code not in {_CHANGED, _GONE}]
    if left:
        named = ", ".join(f"{key} ({code})" for key, code in left[:_NAMED_IN_ERRORS])
        more = f" and {len(left) - _NAMED_IN_ERRORS} more" if len(left) > _NAMED_IN_ERRORS else ""
        raise SessionStorageError(
            f"bucket={bucket} | {len(left)} objects could not be deleted: {named}{more}",
            code=left[0][1],
            key=left[0][0],
        )
    return Deleted(len(doomed) - changed - gone, changed)


def _delete_batch(client: S3Client, bucket: str, batch: Sequence[ObjectIdentifierTypeDef]) -> list[tuple[str, str]]:
    """Delete with one request, or one by one if the store cannot delete many at once.

    Returns:
        The keys that were not deleted, each with its error code.
    """
    keys = {entry["Key"]: entry["Key"] for entry in batch}  # a key in an answer does not know its session
    try:
        response = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
    except ClientError as error:
        if is_unsupported(error, amazon=is_amazon(client.meta.endpoint_url)):
            return [fate for entry in batch if (fate := _delete_one(client, bucket, entry)) is not None]
        raise failed(bucket, "delete", batch[0]["Key"], error) from error
    except S3_ERRORS as error:
        raise failed(bucket, "delete", batch[0]["Key"], error) from error
    # S3 answers 200 even when it deleted nothing: each key's fate is in the body.
    errors = [(str(entry.get("Key", "?")), str(entry.get("Code", "?"))) for entry in response.get("Errors", [])]
    refused = [(keys.get(key, key), code) for key, code in errors if code not in _UNKNOWN_HERE]
    again = {key for key, code in errors if code in _UNKNOWN_HERE}
    singly = [_delete_one(client, bucket, entry) for entry in batch if entry["Key"] in again]
    return [*refused, *(fate for fate in singly if fate is not None)]


def _delete_one(client: S3Client, bucket: str, entry: ObjectIdentifierTypeDef) -> tuple[str, str] | None:
    """Delete one object.

    Returns:
        The key and the error code; ``None`` when it was deleted.
    """
    condition = {"VersionId": entry["VersionId"]} if "VersionId" in entry else {}
    if "ETag" in entry:
        condition["IfMatch"] = entry["ETag"]
    try:
        client.delete_object(Bucket=bucket, Key=entry["Key"], **condition)  # type: ignore[arg-type] # of two kinds
    except ClientError as error:
        code = _GONE if is_missing(error) else _CHANGED if is_refused(error) else code_of(error)
        return entry["Key"], code
    except S3_ERRORS as error:
        raise failed(bucket, "delete", entry["Key"], error) from error
    return None
