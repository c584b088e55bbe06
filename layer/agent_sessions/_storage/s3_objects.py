"""Objects in an Amazon S3 bucket, over one shared boto3 client."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError, ResponseStreamingError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from agent_sessions.exceptions import SessionStorageError, is_transient_code
from agent_sessions.object_store import (
    Absent,
    Erased,
    Expectation,
    ListedObject,
    ObjectStore,
    PreconditionFailedError,
    StoredObject,
    Written,
    listed_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_T = TypeVar("_T")

_S3_ERRORS = (ClientError, BotoCoreError, ResponseParserError, HTTPError)
"""What a call may end with: reading a body raises urllib3's errors as they are."""

logger = logging.getLogger(__name__)

DELETE_BATCH = 1000
"""Keys a ``DeleteObjects`` call takes at most (S3 API reference)."""

CONFLICT_ATTEMPTS = 6
"""Tries of a write that S3 answers with ``409 ConditionalRequestConflict``: another write was in flight."""

UNANNOUNCED_BYTES = 64 * 1024
"""Larger bodies are sent when S3 has said that it will take them: see :func:`_send_at_once`."""

_NAMED_IN_ERRORS = 20

_PASSING_STATUS = {408, 409, 425, 429}
_PASSING_CODES = {
    "RequestTimeout",
    "RequestTimeTooSkewed",  # a process that was frozen has an old time for a moment
    "ExpiredToken",
    "TokenRefreshRequired",
    "BadDigest",
    "IncompleteBody",
    "XAmzContentSHA256Mismatch",
    "RequestLimitExceeded",
    "TooManyRequests",
    "NoSuchKey",
}
"""S3's answers of 4xx that sending again can mend: what was lost on its way, and who asks with what has run out."""

_pools: weakref.WeakKeyDictionary[Any, ThreadPoolExecutor] = weakref.WeakKeyDictionary()
_pools_lock = threading.Lock()
_hints: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()


if hasattr(os, "register_at_fork"):
    # A fork has the pools but not their threads: whoever waited for them would wait for ever.
    def _begin_anew_in_child() -> None:
        global _pools_lock  # noqa: PLW0603 - another thread may have held it when the process was forked
        _pools_lock = threading.Lock()
        _pools.clear()

    os.register_at_fork(after_in_child=_begin_anew_in_child)


_this_thread = threading.local()
"""``writes`` while it waits for a small write of ours; ``wanted``: see :meth:`ObjectStore.only_while`."""


def _send_at_once(request: Any, **_: Any) -> None:
    """Leave out the announcement of a small write, which would cost it a second round trip.

    botocore sends ``Expect: 100-continue`` and waits for S3's word before it sends the body. The header is not signed.
    What others write with the same client stays announced.
    """
    if getattr(_this_thread, "writes", False):
        request.headers.pop("Expect", None)


def _send_if_wanted(**_: Any) -> None:
    """Refuse to send what nobody waits for any more: see :meth:`ObjectStore.only_while`."""
    wanted = getattr(_this_thread, "wanted", None)
    if wanted is not None and not wanted():
        raise SessionStorageError("nobody waits for this request any more, it was not sent", code="Abandoned")


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
        with _pools_lock:
            events = client.meta.events
            events.register("before-send.s3.PutObject", _send_at_once, unique_id=_send_at_once.__qualname__)
            events.register("before-send.s3", _send_if_wanted, unique_id=_send_if_wanted.__qualname__)

    def get(self, key: str) -> StoredObject | None:
        """See :meth:`ObjectStore.get`."""
        try:
            try:
                return self._get_once(key)
            except (ResponseStreamingError, HTTPError):
                # The connection broke within the body, where boto3 does not repeat the request.
                return self._get_once(key)
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                return None
            raise self._failed("read", key, error) from error
        except _S3_ERRORS as error:
            raise self._failed("read", key, error) from error

    def _get_once(self, key: str) -> StoredObject:
        response = self.client.get_object(Bucket=self.bucket, Key=key)
        body = response["Body"].read()
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
                    self._pause(attempt)  # S3 asks for a retry
                    continue
                raise self._failed("write", key, error) from error
            except _S3_ERRORS as error:
                raise self._failed("write", key, error) from error
            return Written(response["ETag"], _date(response["ResponseMetadata"]))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _put_once(self, key: str, body: bytes, expect: Expectation) -> Any:
        content = {"Bucket": self.bucket, "Key": key, "Body": body, "ContentType": "application/json"}
        _this_thread.writes = len(body) <= UNANNOUNCED_BYTES
        try:
            if isinstance(expect, Absent):
                return self.client.put_object(**content, IfNoneMatch="*")  # type: ignore[arg-type] # a dict of both kinds
            return self.client.put_object(**content, IfMatch=expect.etag)  # type: ignore[arg-type] # a dict of both kinds
        finally:
            _this_thread.writes = False

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

    def delete_version(self, key: str, etag: str) -> bool:
        """See :meth:`ObjectStore.delete_version`."""
        versions, _ = self._some_versions(key) or ((), False)
        entries = [entry for entry in versions if entry.key == key and entry.etag == etag]
        if entries and entries[0].version_id is not None:
            self._delete([{"Key": key, "VersionId": entry.version_id} for entry in entries if entry.version_id])
            return True
        return self.delete_current(key, etag)

    def delete_current(self, key: str, etag: str) -> bool:
        """See :meth:`ObjectStore.delete_current`."""
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                self.client.delete_object(Bucket=self.bucket, Key=key, IfMatch=etag)
            except ClientError as error:
                code = _code(error)
                if code in {"PreconditionFailed", "NoSuchKey"}:
                    return False
                if code == "ConditionalRequestConflict" and attempt + 1 < CONFLICT_ATTEMPTS:
                    self._pause(attempt)
                    continue
                raise self._failed("delete", key, error) from error
            except _S3_ERRORS as error:
                raise self._failed("delete", key, error) from error
            return True
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _pause(self, attempt: int) -> None:
        """Another conditional write of the key was in flight: the jitter keeps two losers from meeting again."""
        self._sleep(random.uniform(0.5, 1.0) * 0.05 * 2**attempt)  # noqa: S311 - no secret

    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        """See :meth:`ObjectStore.erase_some`."""
        found = self._some_versions(prefix)
        if found is None:
            # Not allowed to see versions, or a store that has none: what can be listed is what can be deleted.
            listed = [_Version(entry.key, entry.etag, None, True) for entry in islice(self.list(prefix), DELETE_BATCH)]
            found = listed, len(listed) == DELETE_BATCH
        versions, more = found
        doomed = [entry for entry in versions if not (entry.current and entry.key in keep)]
        if still is not None and not still():
            return Erased(0, more=False)
        erased, changed = self._delete([entry.identifier for entry in doomed])
        return Erased(erased, more or changed > 0)

    def _some_versions(self, prefix: str) -> tuple[list[_Version], bool] | None:
        """The first versions and delete markers below a prefix, and whether there are more.

        Returns:
            ``None`` when they may not be seen.
        """
        try:
            page = self.client.list_object_versions(Bucket=self.bucket, Prefix=prefix, MaxKeys=DELETE_BATCH)
        except ClientError as error:
            if _code(error) in {"AccessDenied", "NotImplemented"}:
                return None
            raise self._failed("list", prefix, error) from error
        except _S3_ERRORS as error:
            raise self._failed("list", prefix, error) from error
        listed = [
            (listed_key(entry["Key"], prefix), entry.get("ETag"), entry["VersionId"], entry["IsLatest"])
            for kind in ("Versions", "DeleteMarkers")
            for entry in cast("list[dict[str, Any]]", page.get(kind, []))
        ]
        # Without versioning, naming a version would need a permission that the bucket's users lack. Only where there
        # was versioning are there other versions than "null", or delete markers.
        versioned = bool(page.get("DeleteMarkers")) or any(version_id != "null" for _, _, version_id, _ in listed)
        versions = [
            _Version(key, etag, version_id if versioned else None, current=bool(current))
            for key, etag, version_id, current in listed
        ]
        return versions, bool(page.get("IsTruncated"))

    def _delete(self, doomed: Sequence[ObjectIdentifierTypeDef]) -> tuple[int, int]:
        """Delete what was listed.

        Returns:
            How much was deleted, and how much was not, because it has been written anew since. The rest was gone.
        """
        left: list[tuple[str, str]] = []
        for start in range(0, len(doomed), DELETE_BATCH):
            batch = doomed[start : start + DELETE_BATCH]
            try:
                response = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": batch, "Quiet": True})
            except _S3_ERRORS as error:
                raise self._failed("delete", batch[0]["Key"], error) from error
            # S3 answers 200 even when it deleted nothing: each key's fate is in the body.
            asked = {entry["Key"]: entry["Key"] for entry in batch}  # a key in the answer does not know its session
            errors = [(entry.get("Key", "?"), entry.get("Code", "?")) for entry in response.get("Errors", [])]
            left += [(asked.get(key, key), code) for key, code in errors]
        # Written anew, or deleted by somebody else, since it was listed: not what was to be deleted.
        changed = sum(code == "PreconditionFailed" for _, code in left)
        gone = sum(code == "NoSuchKey" for _, code in left)
        left = [(key, code) for key, code in left if code not in {"PreconditionFailed", "NoSuchKey"}]
        if left:
            named = ", ".join(f"{key} ({code})" for key, code in left[:_NAMED_IN_ERRORS])
            more = f" and {len(left) - _NAMED_IN_ERRORS} more" if len(left) > _NAMED_IN_ERRORS else ""
            raise SessionStorageError(
                f"bucket={self.bucket} | {len(left)} objects could not be deleted: {named}{more}",
                code=left[0][1],
                key=left[0][0],
            )
        return len(doomed) - changed - gone, changed

    @contextmanager
    def only_while(self, wanted: Callable[[], bool]) -> Iterator[None]:
        """See :meth:`ObjectStore.only_while`."""
        before = getattr(_this_thread, "wanted", None)
        _this_thread.wanted = wanted
        try:
            yield
        finally:
            _this_thread.wanted = before

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """See :meth:`ObjectStore.list`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
        )
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    yield ListedObject(
                        listed_key(entry["Key"], prefix), entry["ETag"], entry["LastModified"], entry["Size"]
                    )
        except _S3_ERRORS as error:
            raise self._failed("list", prefix, error) from error

    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        """See :meth:`ObjectStore.list_folders`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket,
            Prefix=f"{prefix}{named}",
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
        except _S3_ERRORS as error:
            raise self._failed("list", prefix, error) from error

    def stat_many(self, keys: Sequence[str]) -> Sequence[ListedObject | None]:
        """See :meth:`ObjectStore.stat_many`."""
        if len(keys) <= 1:
            return [self._stat(key) for key in keys]
        return list(_pool_of(self.client).map(self._stat, keys))

    def _stat(self, key: str) -> ListedObject | None:
        try:
            found = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if _code(error) in {"NoSuchKey", "404"}:  # an answer to HEAD has no body to take a code from
                return None
            raise self._failed("read", key, error) from error
        except _S3_ERRORS as error:
            raise self._failed("read", key, error) from error
        return ListedObject(key, found["ETag"], found["LastModified"], found["ContentLength"])

    @property
    def removes_by_age(self) -> bool:
        """See :attr:`ObjectStore.removes_by_age`: a lifecycle rule does."""
        return True

    @property
    def hints(self) -> dict[str, str]:
        """See :attr:`ObjectStore.hints`."""
        return _hints.setdefault(self.client, {})

    def submit(
        self,
        work: Callable[[], _T],
        *,
        head_start: float = 0.0,
        wanted: threading.Event | None = None,
        begun: bool = False,
    ) -> Future[_T]:
        """See :meth:`ObjectStore.submit`."""
        has_begun = threading.Event()

        def begin() -> _T:
            if head_start:
                (wanted or threading.Event()).wait(head_start)
            has_begun.set()
            return work()

        future = _pool_of(self.client).submit(begin)
        if begun:
            has_begun.wait()
        return future

    def _failed(self, doing: str, key: str, error: Exception) -> SessionStorageError:
        code = _code(error) if isinstance(error, ClientError) else type(error).__name__
        # A missing key is 403, not 404, to a caller without s3:ListBucket: say so before somebody searches for hours.
        hint = " (reading needs s3:GetObject, and s3:ListBucket for keys that may be missing)" * (
            code == "AccessDenied" and doing == "read"
        )
        return SessionStorageError(
            f"bucket={self.bucket}, key={key} | S3 could not {doing} it: {error}{hint}",
            code=code,
            is_transient=is_transient_code(code) and not (isinstance(error, ClientError) and _is_refusal(error, code)),
            key=key,
        )


class _Version(NamedTuple):
    """A version of an object, or a delete marker.

    Attributes:
        key: The object's key.
        etag: ``None`` for a delete marker.
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


def _code(error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    # Some answers have no body to take a code from.
    return {"412": "PreconditionFailed", "409": "ConditionalRequestConflict"}.get(code, code)


def _is_refusal(error: ClientError, code: str) -> bool:
    """Whether S3 calls it the request's fault, with a code that nobody has listed, and not a throttle or a time-out."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    if not 400 <= status < 500 or status in _PASSING_STATUS:  # noqa: PLR2004 - HTTP's classes
        return False
    return code not in _PASSING_CODES and "Throttl" not in code


def _date(metadata: Mapping[str, Any]) -> datetime:
    """The storage's own clock, from the answer's ``Date`` header; this machine's where a store sends none."""
    header = metadata.get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(header) if header else datetime.now(UTC)
