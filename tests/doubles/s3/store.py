"""What S3 keeps and what it decides: buckets, versions, conditions.

Nothing here knows HTTP. Every public method is atomic, so that tests may look in from their own thread.
"""

import hashlib
import re
import secrets
import threading
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.doubles.s3.clock import Clock
from tests.doubles.s3.errors import S3Error

ETagStyle = Literal["md5", "random"]
"""``md5``: equal for equal bytes, as with SSE-S3. ``random``: new at every write, as with SSE-KMS."""

Versioning = Literal["", "Enabled", "Suspended"]

NULL_VERSION = "null"
MAX_KEY_BYTES = 1024
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one object, or a delete marker.

    Attributes:
        etag: Without its quotes.
        last_modified: Whole seconds since the epoch: S3 keeps no fractions.
        headers: System metadata as response headers (``content-type`` and its like).
        metadata: ``x-amz-meta-…`` by the part of the name after that prefix.
        checksums: By response header name (``x-amz-checksum-crc32``).
    """

    key: str
    version_id: str
    last_modified: int
    etag: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    is_delete_marker: bool = False


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a DELETE did, in the terms of its answer."""

    version_id: str | None = None
    is_delete_marker: bool = False


@dataclass(slots=True)
class Bucket:
    """A bucket: versions by key, oldest first, and the keys in S3's order (UTF-8 binary)."""

    name: str
    created: int
    versioning: Versioning = ""
    versions: dict[str, list[Version]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    def current(self, key: str) -> Version | None:
        """Return the newest version, which may be a delete marker."""
        versions = self.versions.get(key)
        return versions[-1] if versions else None

    def add(self, version: Version) -> None:
        """Make ``version`` the newest of its key; a null version replaces the former null version."""
        versions = self.versions.get(version.key)
        if versions is None:
            # str order is code point order, which is the order of the UTF-8 bytes that S3 documents.
            insort(self.keys, version.key)
            versions = self.versions[version.key] = []
        if version.version_id == NULL_VERSION:
            versions[:] = [other for other in versions if other.version_id != NULL_VERSION]
        versions.append(version)

    def remove(self, key: str, version_id: str) -> Version | None:
        """Remove one version for good and return it; ``None`` when there was none."""
        versions = self.versions.get(key, [])
        found = next((version for version in versions if version.version_id == version_id), None)
        if found is None:
            return None
        versions.remove(found)
        if not versions:
            del self.versions[key]
            del self.keys[bisect_left(self.keys, key)]
        return found


class ObjectStore:
    """Buckets and the operations on them, atomic one by one.

    Args:
        clock: Where ``Last-Modified`` comes from.
        etags: How ETags are made.
    """

    def __init__(self, clock: Clock, etags: ETagStyle = "md5") -> None:
        self.clock = clock
        self.etags: ETagStyle = etags
        self.lock = threading.RLock()
        self._buckets: dict[str, Bucket] = {}

    def bucket(self, name: str) -> Bucket:
        """Return the bucket of that name.

        Raises:
            S3Error: ``NoSuchBucket``.
        """
        try:
            return self._buckets[name]
        except KeyError:
            raise S3Error("NoSuchBucket", fields={"BucketName": name}) from None

    def bucket_names(self) -> list[str]:
        """Return the names of all buckets, in order."""
        with self.lock:
            return sorted(self._buckets)

    def create_bucket(self, name: str) -> Bucket:
        """Create a bucket; one that is there already is returned, as in us-east-1."""
        if not _BUCKET_NAME.fullmatch(name):
            raise S3Error("InvalidBucketName", fields={"BucketName": name})
        with self.lock:
            return self._buckets.setdefault(name, Bucket(name, int(self.clock())))

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket; versions and delete markers count as content."""
        with self.lock:
            if self.bucket(name).keys:
                raise S3Error("BucketNotEmpty", fields={"BucketName": name})
            del self._buckets[name]

    def copy_bucket(self, source: str, target: str) -> None:
        """Make ``target`` an exact copy, versions, ETags and dates included; what was in it is gone.

        Nothing S3 has: it is how a measurement begins anew from the same session.
        """
        with self.lock:
            original = self.bucket(source)
            self._buckets[target] = Bucket(
                name=target,
                created=original.created,
                versioning=original.versioning,
                versions={key: list(versions) for key, versions in original.versions.items()},
                keys=list(original.keys),
            )

    def clear(self) -> None:
        """Forget all buckets."""
        with self.lock:
            self._buckets.clear()

    def put(
        self,
        bucket_name: str,
        key: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        checksums: Mapping[str, str] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Version:
        """Write an object.

        Args:
            bucket_name: The bucket.
            key: At most 1,024 bytes of UTF-8.
            body: The content.
            headers: System metadata to keep.
            metadata: User metadata to keep.
            checksums: Verified checksums to keep.
            if_match: Write only over this ETag.
            if_none_match: ``*``: write only where there is nothing.

        Raises:
            S3Error: ``PreconditionFailed`` when a condition does not hold; ``NoSuchKey`` for ``if_match`` on a key
                without a current object.
        """
        if len(key.encode()) > MAX_KEY_BYTES:
            raise S3Error("KeyTooLongError", fields={"MaxSizeAllowed": str(MAX_KEY_BYTES)})
        with self.lock:
            bucket = self.bucket(bucket_name)
            current = bucket.current(key)
            exists = current is not None and not current.is_delete_marker
            if if_none_match is not None and exists:
                raise S3Error("PreconditionFailed", fields={"Condition": "If-None-Match"})
            if if_match is not None:
                if current is None or not exists:
                    raise S3Error("NoSuchKey", fields={"Key": key})
                if if_match.strip('"') != current.etag:
                    raise S3Error("PreconditionFailed", fields={"Condition": "If-Match"})
            version = Version(
                key=key,
                version_id=_new_version_id() if bucket.versioning == "Enabled" else NULL_VERSION,
                last_modified=int(self.clock()),
                etag=self._etag(body),
                body=body,
                headers=dict(headers or {}),
                metadata=dict(metadata or {}),
                checksums=dict(checksums or {}),
            )
            bucket.add(version)
            return version

    def get(self, bucket_name: str, key: str, version_id: str | None = None) -> Version:
        """Return the current object, or the version asked for.

        Raises:
            S3Error: ``NoSuchKey``, ``NoSuchVersion``, or ``MethodNotAllowed`` for a delete marker asked for by id.
        """
        with self.lock:
            bucket = self.bucket(bucket_name)
            if version_id is None:
                current = bucket.current(key)
                if current is None:
                    raise S3Error("NoSuchKey", fields={"Key": key})
                if current.is_delete_marker:
                    marker = {"x-amz-delete-marker": "true", "x-amz-version-id": current.version_id}
                    raise S3Error("NoSuchKey", fields={"Key": key}, headers=marker)
                return current
            for version in bucket.versions.get(key, []):
                if version.version_id == version_id:
                    if version.is_delete_marker:
                        raise S3Error("MethodNotAllowed", headers={"x-amz-delete-marker": "true", "allow": "DELETE"})
                    return version
            raise S3Error("NoSuchVersion", fields={"Key": key, "VersionId": version_id})

    def delete(
        self, bucket_name: str, key: str, version_id: str | None = None, *, if_match: str | None = None
    ) -> Deletion:
        """Delete an object, or one version of it for good. Deleting what is not there succeeds.

        Args:
            bucket_name: The bucket.
            key: The object's key.
            version_id: The version to remove for good; without it a versioned bucket gets a delete marker.
            if_match: Delete only this ETag; ``*`` deletes only what exists. Judged on the current version.

        Raises:
            S3Error: ``PreconditionFailed``; ``NoSuchKey`` when ``if_match`` is given and there is no such key.
        """
        with self.lock:
            bucket = self.bucket(bucket_name)
            current = bucket.current(key)
            if if_match is not None:
                if current is None:
                    raise S3Error("NoSuchKey", fields={"Key": key})
                if current.is_delete_marker or if_match.strip('"') not in ("*", current.etag):
                    raise S3Error("PreconditionFailed", fields={"Condition": "If-Match"})
            if version_id is not None:
                removed = bucket.remove(key, version_id)
                return Deletion(version_id, removed is not None and removed.is_delete_marker)
            if not bucket.versioning:
                bucket.remove(key, NULL_VERSION)
                return Deletion()
            marker_id = _new_version_id() if bucket.versioning == "Enabled" else NULL_VERSION
            bucket.add(Version(key, marker_id, int(self.clock()), is_delete_marker=True))
            return Deletion(marker_id, is_delete_marker=True)

    def current_objects(self, bucket_name: str, prefix: str = "") -> dict[str, Version]:
        """Return every current object under ``prefix``, by key, in order."""
        with self.lock:
            bucket = self.bucket(bucket_name)
            newest = ((key, bucket.versions[key][-1]) for key in bucket.keys if key.startswith(prefix))
            return {key: version for key, version in newest if not version.is_delete_marker}

    def _etag(self, body: bytes) -> str:
        if self.etags == "random":
            return secrets.token_hex(16)
        return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _new_version_id() -> str:
    return secrets.token_urlsafe(24)
