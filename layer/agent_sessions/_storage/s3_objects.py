"""Objects in an Amazon S3 bucket, over one shared boto3 client."""
# Over 300 lines: the seven methods of a store on S3, with every answer of S3.

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ResponseStreamingError
from urllib3.exceptions import HTTPError

from agent_sessions._storage import s3_client_state, s3_conditions
from agent_sessions._storage.s3_answers import (
    S3_ERRORS,
    date_of,
    failed,
    is_conflict,
    is_missing,
    is_refused,
    is_unsupported,
    require,
)
from agent_sessions._storage.s3_client_state import hints_of, pool_of
from agent_sessions.exceptions import ConditionsNotKeptError
from agent_sessions.object_store import (
    Absent,
    Erased,
    Expectation,
    ListedObject,
    ObjectStore,
    PreconditionFailedError,
    StoredObject,
    Unchanged,
    Written,
    listed_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import AbstractContextManager

    from mypy_boto3_s3.client import S3Client

    from agent_sessions._storage.s3_conditions import Conditions
    from agent_sessions.sweeps import Choose, Swept, Undeleted, VersionPage

CONFLICT_ATTEMPTS = 6
"""Tries of a write that S3 answers with ``409 ConditionalRequestConflict``: another write was in flight."""

UNANNOUNCED_BYTES = 64 * 1024
"""Larger bodies keep ``Expect: 100-continue``: see ``s3_client_state``."""

_PAGE = ("IsTruncated", "KeyCount", "MaxKeys", "Name")
"""A page of a listing always has these fields, even if it is empty."""


class S3Objects(ObjectStore):
    """The objects of one bucket.

    Args:
        client: A boto3 S3 client. It is shared: any number of stores may use one.
        bucket: The bucket's name.
        folder: The folder below which the objects lie, with its trailing slash; empty for the whole bucket. Before the
            first write, a store that is not Amazon's is tested there for conditions: see ``s3_conditions``.
        allow_unconditional: Whether to write to a store that keeps no conditions, looking first instead.
        sleep: Waits between tries of a conflicting write, in seconds.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        *,
        folder: str = "",
        allow_unconditional: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = client
        self.bucket = bucket
        self.allow_unconditional = allow_unconditional
        self._folder = folder
        self._sleep = sleep
        s3_client_state.prepare(client)

    def check(self) -> None:
        """See :meth:`ObjectStore.check`."""
        self._conditions(self._folder)

    def get(self, key: str) -> StoredObject | None:
        """See :meth:`ObjectStore.get`."""
        try:
            try:
                return self._get_once(key)
            except (ResponseStreamingError, HTTPError):
                # The connection broke within the body, where boto3 does not repeat the request.
                return self._get_once(key)
        except ClientError as error:
            if is_missing(error):
                return None
            raise failed(self.bucket, "read", key, error) from error
        except S3_ERRORS as error:
            raise failed(self.bucket, "read", key, error) from error

    def _get_once(self, key: str) -> StoredObject:
        response = self.client.get_object(Bucket=self.bucket, Key=key)
        for header in ("ETag", "LastModified"):
            require(response, "GetObject", header)
        body = response["Body"].read()
        return StoredObject(body, response["ETag"], response["LastModified"], date_of(response["ResponseMetadata"]))

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        """See :meth:`ObjectStore.put`.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        kept = self._conditions(key)
        if not (kept.create if isinstance(expect, Absent) else kept.replace):
            return self._put_after_looking(key, body, expect)
        condition = {"IfNoneMatch": "*"} if isinstance(expect, Absent) else {"IfMatch": expect.etag}
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                return self._put_once(key, body, condition)
            except ClientError as error:
                # The object to replace may be gone. If none was expected, the missing thing is the bucket.
                if is_refused(error) or (is_missing(error) and isinstance(expect, Unchanged)):
                    return self._own_or_refused(key, body, error)
                if is_conflict(error) and attempt + 1 < CONFLICT_ATTEMPTS:
                    self._pause(attempt)  # S3 asks for a retry
                    continue
                raise failed(self.bucket, "write", key, error, missing="NoSuchBucket") from error
            except S3_ERRORS as error:
                raise failed(self.bucket, "write", key, error) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _put_once(self, key: str, body: bytes, condition: dict[str, str]) -> Written:
        content: dict[str, Any] = {"Bucket": self.bucket, "Key": key, "Body": body, "ContentType": "application/json"}
        response: Any
        with s3_client_state.unannounced(when=len(body) <= UNANNOUNCED_BYTES):
            response = self.client.put_object(**content | condition)
        etag = response.get("ETag")
        if etag is None:  # the store does not name it in the answer, so it is read
            found = self.get(key)
            etag = found.etag if found is not None and found.body == body else '""'
        return Written(etag, date_of(response["ResponseMetadata"]))

    def _own_or_refused(self, key: str, body: bytes, error: ClientError) -> Written:
        # boto3 repeats a request whose answer was lost. If the first one was applied, the second is refused because of
        # it.
        found = self.get(key)
        if found is not None and found.body == body:
            return Written(found.etag, found.last_modified)
        raise PreconditionFailedError(key, found) from error

    def _put_after_looking(self, key: str, body: bytes, expect: Expectation) -> Written:
        """Write to a store without conditions: two writers that look at the same moment both write."""
        found = self.get(key)
        if found is not None and found.body == body:
            return Written(found.etag, found.last_modified)
        is_expected = found is None if isinstance(expect, Absent) else found is not None and found.etag == expect.etag
        if not is_expected:
            raise PreconditionFailedError(key, found)
        try:
            return self._put_once(key, body, {})
        except S3_ERRORS as error:
            raise failed(self.bucket, "write", key, error, missing="NoSuchBucket") from error

    def _conditions(self, key: str) -> Conditions:
        """Which conditions the store keeps.

        Raises:
            ConditionsNotKeptError: It keeps no conditions of writes, and ``allow_unconditional`` is not set.
        """
        try:
            kept = s3_conditions.conditions_of(self.client, self.bucket, self._folder)
        except S3_ERRORS as error:
            raise failed(self.bucket, "write", key, error, missing="NoSuchBucket") from error
        if kept.seen and not self.allow_unconditional:
            raise ConditionsNotKeptError(self.client.meta.endpoint_url, self.bucket, kept.seen, key=key)
        return kept

    def copy_from(self, source: ObjectStore, entry: ListedObject, key: str) -> Written | None:
        """See :meth:`ObjectStore.copy_from`."""
        from agent_sessions._storage import s3_copies

        if not isinstance(source, S3Objects) or source.client.meta.endpoint_url != self.client.meta.endpoint_url:
            return None
        if not self._conditions(key).create:
            return None
        try:
            answer = s3_copies.copy_once(self.client, (source.bucket, entry), self.bucket, key)
        except ClientError as error:
            found = self.stat(key)
            if found is None:
                return None  # the source has changed
            if found.etag == entry.etag:
                return Written(found.etag, found.last_modified)  # the answer to our own copy was lost
            raise PreconditionFailedError(key, self.get(key)) from error
        except S3_ERRORS as error:
            raise failed(self.bucket, "write", key, error) from error
        return None if answer is None else Written(answer["ETag"], answer["at"])

    def delete(self, keys: Iterable[str]) -> None:
        """See :meth:`ObjectStore.delete`."""
        from agent_sessions._storage.s3_deletions import delete_listed
        from agent_sessions.sweeps import ListedVersion

        entries = [ListedVersion(key, None) for key in keys]
        self._require_gone(delete_listed(self.client, self.bucket, entries, conditional=False).left)

    def delete_version(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        """See :meth:`ObjectStore.delete_version`."""
        from agent_sessions._storage.s3_deletions import delete_listed, some_versions

        page = some_versions(self.client, self.bucket, key)
        entries = [entry for entry in page.entries if entry.key == key and entry.etag == etag] if page else []
        if entries and entries[0].version_id is not None:
            self._require_gone(delete_listed(self.client, self.bucket, entries, conditional=False).left)
            return True
        return self.delete_current(key, etag, instead=instead)

    def delete_current(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        """See :meth:`ObjectStore.delete_current`."""
        kept = self._conditions(key)
        for attempt in range(CONFLICT_ATTEMPTS if kept.delete else 0):
            try:
                self.client.delete_object(Bucket=self.bucket, Key=key, IfMatch=etag)
            except ClientError as error:
                if is_refused(error) or is_missing(error):
                    return False
                if is_conflict(error) and attempt + 1 < CONFLICT_ATTEMPTS:
                    self._pause(attempt)
                    continue
                if is_unsupported(error, amazon=True):
                    s3_conditions.learn_no_conditional_delete(self.client, self.bucket)
                    break
                raise failed(self.bucket, "delete", key, error) from error
            except S3_ERRORS as error:
                raise failed(self.bucket, "delete", key, error) from error
            return True
        return self._delete_without_condition(key, etag, instead)

    def _delete_without_condition(self, key: str, etag: str, instead: bytes | None) -> bool:
        if instead is not None:
            try:
                self.put(key, instead, Unchanged(etag))
            except PreconditionFailedError:
                return False
            return True
        found = self.get(key)
        if found is None or found.etag != etag:
            return False
        self.delete([key])
        return True

    def _pause(self, attempt: int) -> None:
        """Wait before the next try of a conflicting write. The jitter keeps two losers from meeting again."""
        self._sleep(random.uniform(0.5, 1.0) * 0.05 * 2**attempt)  # noqa: S311 - no secret

    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        """See :meth:`ObjectStore.erase_some`."""
        from agent_sessions.sweeps import all_but

        swept = self.sweep(prefix, all_but(keep), still=still)
        self._require_gone(swept.left)
        return Erased(len(swept.gone), swept.changed or swept.behind is not None)

    def sweep(self, prefix: str, choose: Choose, *, still: Callable[[], bool] | None = None, behind: str = "") -> Swept:
        """See :meth:`ObjectStore.sweep`."""
        from agent_sessions._storage.s3_deletions import delete_listed
        from agent_sessions.sweeps import Swept

        conditional = self._conditions(prefix).delete
        page = self.list_versions(prefix, behind=behind)
        doomed = choose(page.entries)
        if still is not None and not still():
            return Swept(())
        # If a condition would be ignored or refused, delete without it. The caller has marked the session.
        done = delete_listed(self.client, self.bucket, doomed, conditional=conditional)
        is_one_key = page.behind is not None and page.behind == page.entries[0].key
        # More versions of this key may follow: they are passed only if these cannot be deleted.
        goes_on = behind if is_one_key and done.gone else page.behind
        # What the next step lists again is left to it.
        left = [entry for entry in done.left if goes_on is None or entry.name <= goes_on]
        return Swept(done.gone, left, changed=done.changed > 0, behind=goes_on, missing=done.missing)

    def list_versions(self, prefix: str, *, behind: str = "") -> VersionPage:
        """See :meth:`ObjectStore.list_versions`."""
        from agent_sessions._storage.s3_deletions import some_versions

        page = some_versions(self.client, self.bucket, prefix, behind=behind)
        # None: we may not list versions, or the store has none.
        return super().list_versions(prefix, behind=behind) if page is None else page

    def _require_gone(self, left: Sequence[Undeleted]) -> None:
        if left:
            from agent_sessions.sweeps import LeftBehind

            tally = LeftBehind()
            tally.add(left)
            raise tally.error(f"bucket={self.bucket}")

    def only_while(self, wanted: Callable[[], bool]) -> AbstractContextManager[None]:
        """See :meth:`ObjectStore.only_while`."""
        return s3_client_state.only_while(wanted)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """See :meth:`ObjectStore.list`."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=start_after
        )
        try:
            for page in pages:
                require(page, "ListObjectsV2", *_PAGE)
                for entry in page.get("Contents", []):
                    yield ListedObject(
                        listed_key(entry["Key"], prefix), entry["ETag"], entry["LastModified"], entry["Size"]
                    )
        except S3_ERRORS as error:
            raise failed(self.bucket, "list", prefix, error) from error

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
                require(page, "ListObjectsV2", *_PAGE)
                for entry in page.get("CommonPrefixes", []):
                    name = entry["Prefix"][len(prefix) :].rstrip("/")
                    # StartAfter names a key, and the keys in that folder sort after it.
                    if name != start_after:
                        yield name
        except S3_ERRORS as error:
            raise failed(self.bucket, "list", prefix, error) from error

    def stat(self, key: str) -> ListedObject | None:
        """See :meth:`ObjectStore.stat`."""
        try:
            found = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing(error):
                return None
            raise failed(self.bucket, "read", key, error) from error
        except S3_ERRORS as error:
            raise failed(self.bucket, "read", key, error) from error
        return ListedObject(key, found["ETag"], found["LastModified"], found["ContentLength"])

    @property
    def removes_by_age(self) -> bool:
        """See :attr:`ObjectStore.removes_by_age`: a lifecycle rule does."""
        return True

    @property
    def hints(self) -> dict[str, str]:
        """See :attr:`ObjectStore.hints`."""
        return hints_of(self.client)

    @property
    def executor(self) -> ThreadPoolExecutor:
        """See :attr:`ObjectStore.executor`: as many threads as the client has connections."""
        return pool_of(self.client)
