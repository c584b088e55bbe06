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
from agent_sessions.object_store import listed_key
from agent_sessions.sweeps import ListedVersion, Undeleted, VersionPage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

DELETE_BATCH = 1000
"""The most keys that a ``DeleteObjects`` call takes (S3 API reference)."""

_CHANGED = "PreconditionFailed"
_GONE = "NoSuchKey"
_UNKNOWN_HERE = {"NotImplemented", "MethodNotAllowed"}


def identifier_of(entry: ListedVersion, *, conditional: bool) -> ObjectIdentifierTypeDef:
    """How a request names what is to be deleted: this version and no later one.

    Args:
        entry: What is to be deleted.
        conditional: Whether the store keeps conditions of deletions.
    """
    if entry.version_id is not None:
        return {"Key": entry.key, "VersionId": entry.version_id}
    return {"Key": entry.key, "ETag": entry.etag} if entry.etag and conditional else {"Key": entry.key}


def some_versions(client: S3Client, bucket: str, prefix: str, *, behind: str = "") -> VersionPage | None:
    """A page of versions and delete markers below a prefix.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket's name.
        prefix: What the keys begin with.
        behind: Only keys behind this one.

    Returns:
        ``None`` when they may not be listed, or the store does not show any.
    """
    amazon = is_amazon(client.meta.endpoint_url)
    position: Any = {"KeyMarker": behind} if behind else {}
    try:
        page = client.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=DELETE_BATCH, **position)
        require(page, "ListObjectVersions", "IsTruncated", "KeyMarker", "Name")
    except ClientError as error:
        if code_of(error) == "AccessDenied" or is_unsupported(error, amazon=amazon):
            return None
        raise failed(bucket, "list", prefix, error) from error
    except S3_ERRORS as error:
        raise failed(bucket, "list", prefix, error) from error
    listed = [
        (entry, is_marker)
        for kind, is_marker in (("Versions", False), ("DeleteMarkers", True))
        for entry in cast("list[dict[str, Any]]", page.get(kind, []))
    ]
    if not listed and not amazon and not behind:
        return None  # S3's own listing shows every object; one that answers something else shows none
    # Without versioning, naming a version would need a permission that the bucket's users lack. A bucket has delete
    # markers, or versions other than "null", only if it has had versioning.
    versioned = any(is_marker or entry["VersionId"] != "null" for entry, is_marker in listed)
    entries = [
        ListedVersion(
            listed_key(entry["Key"], prefix),
            entry.get("ETag"),
            entry["VersionId"] if versioned else None,
            is_current=bool(entry["IsLatest"]),
            is_marker=is_marker,
            size=int(entry.get("Size", 0)),
        )
        for entry, is_marker in listed
    ]
    entries.sort(key=lambda entry: entry.key)
    if not page.get("IsTruncated"):
        return VersionPage(entries, None)
    behind = _behind(entries)
    if versioned and behind != entries[-1].key:
        entries = [entry for entry in entries if entry.key <= behind]  # the versions of a key come together
    return VersionPage(entries, behind)


def _behind(entries: Sequence[ListedVersion]) -> str:
    last = entries[-1].key
    return next((entry.key for entry in reversed(entries) if entry.key != last), last)


class Deleted(NamedTuple):
    """The outcome of a deletion.

    Attributes:
        gone: What was deleted.
        missing: What was gone already: an earlier try of the same request had taken it, or somebody else.
        changed: How many were kept because they had been written anew.
        left: What could not be deleted.
    """

    gone: Sequence[ListedVersion]
    missing: Sequence[ListedVersion]
    changed: int
    left: Sequence[Undeleted]


def delete_listed(client: S3Client, bucket: str, doomed: Sequence[ListedVersion], *, conditional: bool) -> Deleted:
    """Delete what was listed, in as few requests as the store allows.

    Args:
        client: A boto3 S3 client.
        bucket: The bucket's name.
        doomed: What is to be deleted.
        conditional: Whether the store keeps conditions of deletions.
    """
    gone: list[ListedVersion] = []
    missing: list[ListedVersion] = []
    left: list[Undeleted] = []
    changed = 0
    for start in range(0, len(doomed), DELETE_BATCH):
        entries = doomed[start : start + DELETE_BATCH]
        fates = _delete_batch(client, bucket, [identifier_of(entry, conditional=conditional) for entry in entries])
        for entry in entries:
            code = fates.pop((entry.key, entry.version_id), None) or fates.pop((entry.key, None), None)
            if code is None:
                gone.append(entry)
            elif code == _CHANGED:
                changed += 1
            elif code == _GONE:
                missing.append(entry)
            else:
                left.append(Undeleted(entry.key, code))
        # An answer that names what was not asked for: nobody may take it for success.
        left += [Undeleted(key, code) for (key, _), code in fates.items() if code not in {_CHANGED, _GONE}]
    return Deleted(gone, missing, changed, left)


def _delete_batch(
    client: S3Client, bucket: str, batch: Sequence[ObjectIdentifierTypeDef]
) -> dict[tuple[str, str | None], str]:
    """Delete with one request, or one by one if the store cannot delete many at once.

    Returns:
        The error code of each that was not deleted, by key and version.
    """
    try:
        response = client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
    except ClientError as error:
        if is_unsupported(error, amazon=is_amazon(client.meta.endpoint_url)):
            return _delete_singly(client, bucket, batch)
        raise failed(bucket, "delete", batch[0]["Key"], error) from error
    except S3_ERRORS as error:
        raise failed(bucket, "delete", batch[0]["Key"], error) from error
    # S3 answers 200 even when it deleted nothing: each key's fate is in the body.
    fates = {
        (str(entry.get("Key", "?")), entry.get("VersionId") or None): str(entry.get("Code", "?"))
        for entry in response.get("Errors", [])
    }
    again = {key for (key, _), code in fates.items() if code in _UNKNOWN_HERE}
    kept = {place: code for place, code in fates.items() if code not in _UNKNOWN_HERE}
    return kept | _delete_singly(client, bucket, [entry for entry in batch if entry["Key"] in again])


def _delete_singly(
    client: S3Client, bucket: str, batch: Sequence[ObjectIdentifierTypeDef]
) -> dict[tuple[str, str | None], str]:
    fates = {(entry["Key"], entry.get("VersionId")): _delete_one(client, bucket, entry) for entry in batch}
    return {place: code for place, code in fates.items() if code is not None}


def _delete_one(client: S3Client, bucket: str, entry: ObjectIdentifierTypeDef) -> str | None:
    """Delete one object.

    Returns:
        The error code; ``None`` when it was deleted.
    """
    condition = {"VersionId": entry["VersionId"]} if "VersionId" in entry else {}
    if "ETag" in entry:
        condition["IfMatch"] = entry["ETag"]
    try:
        client.delete_object(Bucket=bucket, Key=entry["Key"], **condition)  # type: ignore[arg-type] # of two kinds
    except ClientError as error:
        return _GONE if is_missing(error) else _CHANGED if is_refused(error) else code_of(error)
    except S3_ERRORS as error:
        raise failed(bucket, "delete", entry["Key"], error) from error
    return None
