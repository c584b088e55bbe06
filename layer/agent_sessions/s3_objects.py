"""Objects in an Amazon S3 bucket, over one shared boto3 client."""

from __future__ import annotations

import logging
import random
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from agent_sessions.exceptions import SessionStorageError
from agent_sessions.object_store import (
    Absent,
    Expectation,
    ListedObject,
    ObjectStore,
    PreconditionFailedError,
    StoredObject,
    Written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

logger = logging.getLogger(__name__)

DELETE_BATCH = 1000
"""Keys a ``DeleteObjects`` call takes at most (S3 API reference)."""

CONFLICT_ATTEMPTS = 6
"""Tries of a write that S3 answers with ``409 ConditionalRequestConflict``: another write was in flight."""

_NAMED_IN_ERRORS = 20

_pools: weakref.WeakKeyDictionary[Any, ThreadPoolExecutor] = weakref.WeakKeyDictionary()
_pools_lock = threading.Lock()


def _pool_of(client: S3Client) -> ThreadPoolExecutor:
    """The threads that wait for a client: one pool a client, with as many threads as it has connections."""
    with _pools_lock:
        pool = _pools.get(client)
        if pool is None:
            connections = client.meta.config.max_pool_connections  # type: ignore[attr-defined] # missing in the stubs
            pool = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="agent-sessions-s3")
            _pools[client] = pool
        return pool


class S3Objects(ObjectStore):
    """The objects of one bucket.

    Args:
        client: A boto3 S3 client. It is shared: any number of stores may use one.
        bucket: The bucket's name.
        sleep: Waits between tries of a conflicting write, in seconds.
    """

    def __init__(self, client: S3Client, bucket: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client = client
        self.bucket = bucket
        self._sleep = sleep

    def get(self, key: str) -> StoredObject | None:
        """See :meth:`ObjectStore.get`."""
        try:
            response = self.client.get_object(Bucket=self.bucket, Key=key)
            body = response["Body"].read()
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                return None
            raise self._failed("read", key, error) from error
        except BotoCoreError as error:
            raise self._failed("read", key, error) from error
        return StoredObject(body, response["ETag"], response["LastModified"], _date(response["ResponseMetadata"]))

    def get_many(self, keys: Sequence[str]) -> Sequence[StoredObject | None]:
        """See :meth:`ObjectStore.get_many`."""
        if len(keys) <= 1:
            return [self.get(key) for key in keys]
        return list(_pool_of(self.client).map(self.get, keys))

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        """See :meth:`ObjectStore.put`.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                response = self._put_once(key, body, expect)
            except ClientError as error:
                code = _code(error)
                if code in {"PreconditionFailed", "NoSuchKey"}:
                    return self._own_or_refused(key, body, error)
                if code == "ConditionalRequestConflict" and attempt + 1 < CONFLICT_ATTEMPTS:
                    # Another conditional write of this key was in flight. S3 asks for a retry; the jitter keeps two
                    # losers from meeting again.
                    self._sleep(random.uniform(0.5, 1.0) * 0.05 * 2**attempt)  # noqa: S311 - no secret
                    continue
                raise self._failed("write", key, error) from error
            except BotoCoreError as error:
                raise self._failed("write", key, error) from error
            return Written(response["ETag"], _date(response["ResponseMetadata"]))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _put_once(self, key: str, body: bytes, expect: Expectation) -> Any:
        content = {"Bucket": self.bucket, "Key": key, "Body": body, "ContentType": "application/json"}
        if isinstance(expect, Absent):
            return self.client.put_object(**content, IfNoneMatch="*")  # type: ignore[arg-type] # a dict of both kinds
        return self.client.put_object(**content, IfMatch=expect.etag)  # type: ignore[arg-type] # a dict of both kinds

    def _own_or_refused(self, key: str, body: bytes, error: ClientError) -> Written:
        # boto3 repeats a request whose answer was lost. If the first one had been applied, the second is refused for
        # what the first one wrote.
        found = self.get(key)
        if found is not None and found.body == body:
            return Written(found.etag, found.last_modified)
        raise PreconditionFailedError(key, found) from error

    def delete(self, keys: Iterable[str]) -> None:
        """See :meth:`ObjectStore.delete`."""
        self._delete([{"Key": key} for key in keys])

    def erase(self, prefix: str, *, keep: Sequence[str] = ()) -> int:
        """See :meth:`ObjectStore.erase`."""
        doomed = [entry for entry in self._every_version(prefix) if entry["Key"] not in keep]
        self._delete(doomed)
        return len(doomed)

    def _every_version(self, prefix: str) -> list[ObjectIdentifierTypeDef]:
        """What has to be deleted so that nothing is left below a prefix."""
        try:
            pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
            listed = [
                (entry["Key"], entry["VersionId"], marker)
                for page in pages
                for marker, entries in ((False, page.get("Versions", [])), (True, page.get("DeleteMarkers", [])))
                for entry in entries
            ]
        except ClientError as error:
            if _code(error) not in {"AccessDenied", "NotImplemented"}:
                raise self._failed("list", prefix, error) from error
            # Not allowed to see versions, or a store that has none: what can be listed is what can be deleted.
            return [{"Key": entry.key} for entry in self.list(prefix)]
        except BotoCoreError as error:
            raise self._failed("list", prefix, error) from error
        if all(version == "null" and not marker for _, version, marker in listed):
            # No versioning: naming a version would need a permission that an unversioned bucket's users lack.
            return [{"Key": key} for key, _, _ in listed]
        return [{"Key": key, "VersionId": version} for key, version, _ in listed]

    def _delete(self, doomed: list[ObjectIdentifierTypeDef]) -> None:
        left: list[tuple[str, str]] = []
        for start in range(0, len(doomed), DELETE_BATCH):
            batch = doomed[start : start + DELETE_BATCH]
            try:
                response = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            except (ClientError, BotoCoreError) as error:
                raise self._failed("delete", batch[0]["Key"], error) from error
            # S3 answers 200 even when it deleted nothing: each key's fate is in the body.
            left += [(entry.get("Key", "?"), entry.get("Code", "?")) for entry in response.get("Errors", [])]
        if left:
            named = ", ".join(f"{key} ({code})" for key, code in left[:_NAMED_IN_ERRORS])
            more = f" and {len(left) - _NAMED_IN_ERRORS} more" if len(left) > _NAMED_IN_ERRORS else ""
            raise SessionStorageError(
                f"bucket={self.bucket} | {len(left)} objects could not be deleted: {named}{more}",
                code=left[0][1],
                key=left[0][0],
            )

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """See :meth:`ObjectStore.list`."""
        try:
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    yield ListedObject(entry["Key"], entry["ETag"], entry["LastModified"], entry["Size"])
        except (ClientError, BotoCoreError) as error:
            raise self._failed("list", prefix, error) from error

    def list_folders(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """See :meth:`ObjectStore.list_folders`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket,
            Prefix=prefix,
            Delimiter="/",
            StartAfter=f"{prefix}{start_after}/" if start_after else "",
        )
        try:
            for page in pages:
                for entry in page.get("CommonPrefixes", []):
                    name = entry["Prefix"][len(prefix) :].rstrip("/")
                    # StartAfter names a key, and the keys in that folder sort after it.
                    if name != start_after:
                        yield name
        except (ClientError, BotoCoreError) as error:
            raise self._failed("list", prefix, error) from error

    def submit(self, work: Callable[[], None]) -> Future[None]:
        """See :meth:`ObjectStore.submit`."""
        return _pool_of(self.client).submit(work)

    def _failed(self, doing: str, key: str, error: ClientError | BotoCoreError) -> SessionStorageError:
        code = _code(error) if isinstance(error, ClientError) else type(error).__name__
        # A missing key is 403, not 404, to a caller without s3:ListBucket: say so before somebody searches for hours.
        hint = " (reading needs s3:GetObject, and s3:ListBucket for keys that may be missing)" * (
            code == "AccessDenied" and doing == "read"
        )
        return SessionStorageError(
            f"bucket={self.bucket}, key={key} | S3 could not {doing} it: {error}{hint}", code=code, key=key
        )


def _code(error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    # Some answers have no body to take a code from.
    return {"412": "PreconditionFailed", "409": "ConditionalRequestConflict"}.get(code, code)


def _date(metadata: Mapping[str, Any]) -> datetime:
    """The storage's own clock, from the answer's ``Date`` header; this machine's where a store sends none."""
    header = metadata.get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(header) if header else datetime.now(UTC)
