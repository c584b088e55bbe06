"""Which of S3's conditions a store keeps. Amazon's keeps all; every other store is asked once.

Everything this package promises about two writers rests on conditions: ``If-None-Match: *`` creates an object only
where there is none, ``If-Match`` replaces or deletes only the version that was read. A store that is like S3 may lack
some of them. If it refuses a condition, it says so; if it ignores one, messages are lost silently. So before the first
write to a bucket that is not Amazon's, its store is tested with objects that belong to nobody:

    PUT     If-None-Match: *        a new key                    creates it
    PUT     If-None-Match: *        the same key                 must be refused
    PUT     If-Match: its ETag      a key without an object      must be refused
    PUT     If-Match: another       the key                      must be refused
    PUT     If-Match: its ETag      the key                      replaces it
    DELETE  If-Match: another       the key                      must be refused, for conditional deletes
    DELETE  If-Match: its ETag      the key                      deletes it, likewise
    DELETE                          what is left of these

The answers are remembered for the process. Amazon's own S3 is never asked.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""
# Over 300 lines: one probe, with what each answer of each store means.

from __future__ import annotations

import logging
import os
import threading
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from agent_sessions._storage import s3_client_state
from agent_sessions._storage.s3_answers import S3_ERRORS, date_of, is_passing, status_of
from agent_sessions.exceptions import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3.client import S3Client

logger = logging.getLogger(__name__)

PROBE = ".agent-sessions-probe-"
"""Begins the names of the objects with which a store is tested. They lie beside the sessions, never in one."""

ABANDONED_SECONDS = 3600
"""A test object older than this was left by a killed process, and is deleted."""

_AMAZON = (
    # botocore's partitions.json: the name of every partition, and its name for dual stack.
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "api.aws.ic.gov",
    "sc2s.sgov.gov",
    "api.aws.scloud",
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
)

_NOBODYS = '"00000000000000000000000000000000"'
"""An ETag that no object has."""

_DONE = range(200, 300)
_REFUSED = {403, 404, 409, 412}
"""The answers of a store that keeps a condition which does not hold. 403 is a missing key's, to a caller that may not
list. Any other error says that the store does not know the condition."""


class Conditions(NamedTuple):
    """Which conditions a store keeps.

    Attributes:
        create: ``If-None-Match: *`` of ``PutObject``.
        replace: ``If-Match`` of ``PutObject``.
        delete: ``If-Match`` of ``DeleteObject``, and an object's ``ETag`` in ``DeleteObjects``.
        seen: How the store showed, in words, that it does not keep a condition of writes; empty when it keeps both.
    """

    create: bool = True
    replace: bool = True
    delete: bool = True
    seen: str = ""


class Seen(NamedTuple):
    """The statuses that a store answered with: see the head of this module. ``0`` means not asked."""

    create: int
    create_again: int
    replace_nothing: int
    replace_stale: int
    replace_current: int
    delete_stale: int
    delete_current: int


def judge(seen: Seen) -> Conditions:
    """The conditions that a store keeps, judged by its answers."""
    faults: list[tuple[str, str]] = []
    if seen.create not in _DONE:
        faults.append(("create", f"refuses If-None-Match: * for a new key ({seen.create})"))
    elif seen.create_again not in _REFUSED:
        faults.append(("create", _unkept("If-None-Match: *", "the key exists", seen.create_again)))
    if seen.replace_nothing not in _REFUSED:
        faults.append(("replace", _unkept("If-Match", "nothing is stored at the key", seen.replace_nothing)))
    elif seen.replace_stale not in _REFUSED:
        faults.append(("replace", _unkept("If-Match", "another version is stored", seen.replace_stale)))
    elif seen.replace_current not in _DONE:
        faults.append(("replace", f"refuses If-Match with the version that is stored ({seen.replace_current})"))
    unkept = {name for name, _ in faults}
    return Conditions(
        create="create" not in unkept,
        replace="replace" not in unkept,
        delete=seen.delete_stale in _REFUSED and seen.delete_current in {*_DONE, 403},  # 403: it may delete nothing
        seen=" and ".join(words for _, words in faults),
    )


def _unkept(condition: str, although: str, status: int) -> str:
    if status in _DONE:
        return f"ignores {condition}: it writes although {although}"
    return f"does not know {condition} ({status})"


@lru_cache(maxsize=64)
def is_amazon(endpoint_url: str) -> bool:
    """Whether an endpoint is Amazon's own, in any of its partitions."""
    host = (urlsplit(endpoint_url).hostname or "").rstrip(".")
    return any(host == name or host.endswith(f".{name}") for name in _AMAZON)


# --- what is known --------------------------------------------------------------------------------------

_lock = threading.Lock()
_asking: dict[tuple[str, str], threading.Lock] = {}
_known: dict[tuple[str, str], Conditions] = {}
_trusted: set[str] = set()

if hasattr(os, "register_at_fork"):

    def _begin_anew_in_child() -> None:
        global _lock  # noqa: PLW0603 - another thread may have held it when the process was forked
        _lock = threading.Lock()
        _asking.clear()

    os.register_at_fork(after_in_child=_begin_anew_in_child)


def trust(endpoint_url: str) -> None:
    """Do not test this endpoint: it keeps what S3 keeps. For stand-ins whose requests are counted."""
    _trusted.add(endpoint_url)


def conditions_of(client: S3Client, bucket: str, folder: str) -> Conditions:
    """Which conditions a bucket's store keeps. It is tested if this process does not know yet.

    Args:
        client: The client whose endpoint it is.
        bucket: The bucket.
        folder: The folder for the test objects, with its trailing slash.

    Raises:
        ClientError: The store refused or failed before this was known; likewise the other ``S3_ERRORS``.
    """
    endpoint = client.meta.endpoint_url
    place = (endpoint, bucket)
    found = _known.get(place)
    if found is not None:
        return found
    if endpoint in _trusted or is_amazon(endpoint):
        return Conditions()
    with _lock:
        asking = _asking.setdefault(place, threading.Lock())
    with asking:  # other threads wait for the first, and ask themselves if it failed
        if place not in _known:
            _known[place] = found = ask(client, bucket, folder)
            _tell(endpoint, bucket, found)
        return _known[place]


def learn_no_conditional_delete(client: S3Client, bucket: str) -> None:
    """Remember that the store does not know conditional deletes: it has refused one."""
    place = (client.meta.endpoint_url, bucket)
    _known[place] = _known.get(place, Conditions())._replace(delete=False)
    _tell(*place, _known[place])


def _tell(endpoint: str, bucket: str, found: Conditions) -> None:
    if found.seen:
        logger.error("endpoint=<%s>, bucket=<%s> | the store %s", endpoint, bucket, found.seen)
    if not found.delete:
        logger.info("endpoint=<%s>, bucket=<%s> | no conditional deletes here, going without", endpoint, bucket)


# --- asking ---------------------------------------------------------------------------------------------


def ask(client: S3Client, bucket: str, folder: str) -> Conditions:
    """Test which conditions a store keeps. The test objects are removed again, versions included.

    Raises:
        ClientError: The store refused or failed before this was known; likewise the other ``S3_ERRORS``.
    """
    probe = _Probe(client, bucket, folder)
    try:
        return judge(probe.observe())
    finally:
        probe.clean()


class _Probe:
    """The test objects of one process. Their names are random, so that processes do not disturb each other."""

    def __init__(self, client: S3Client, bucket: str, folder: str) -> None:
        self._client = client
        self._bucket = bucket
        self._names = f"{folder}{PROBE}"
        self._key = f"{self._names}{uuid.uuid4().hex}"
        self._nothing = f"{self._names}{uuid.uuid4().hex}"
        self._etags: dict[str, str] = {}
        self._written: set[str] = set()  # keys at which something may lie
        self._keeps_versions = False

    def observe(self) -> Seen:
        """Ask each question after the answer to the one before."""
        key = self._key
        create = self._put(key, b"1", IfNoneMatch="*")
        if create in _REFUSED and self._holds(key, b"1"):
            create = 200  # applied; its answer was lost, and boto3's repetition was refused
        if create not in _DONE and self._put(key, b"1") not in _DONE:
            self._send(key, b"1", {})  # the refusal was not about the condition: this raises its cause
        create_again = self._put(key, b"2", IfNoneMatch="*")
        replace_nothing = self._put(self._nothing, b"3", IfMatch=self._etag(key))
        replace_stale = self._put(key, b"4", IfMatch=_NOBODYS)
        replace_current = self._put(key, b"5", IfMatch=self._etag(key))
        if replace_current in _REFUSED and self._holds(key, b"5"):
            replace_current = 200  # as above
        delete_stale = self._delete(key, _NOBODYS)
        delete_current = self._delete(key, self._etag(key)) if delete_stale in _REFUSED else 0
        return Seen(create, create_again, replace_nothing, replace_stale, replace_current, delete_stale, delete_current)

    def _delete(self, key: str, etag: str) -> int:
        status = self._status(lambda: self._client.delete_object(Bucket=self._bucket, Key=key, IfMatch=etag), key)
        if status in _DONE and not self._keeps_versions:
            self._written.discard(key)
        return status

    def _put(self, key: str, body: bytes, **condition: str) -> int:
        already = key in self._written
        self._written.add(key)
        status = self._status(lambda: self._send(key, body, condition), key)
        if status not in _DONE and not already:
            self._written.discard(key)
        return status

    def _send(self, key: str, body: bytes, condition: dict[str, str]) -> Any:
        with s3_client_state.unannounced(when=True):
            return self._client.put_object(Bucket=self._bucket, Key=key, Body=body, **condition)  # type: ignore[arg-type] # two kinds

    def _etag(self, key: str) -> str:
        """The ETag of the last write. It is read if the store does not name it in the answer."""
        if key not in self._etags:
            self._holds(key, b"")
        return self._etags.get(key, _NOBODYS)

    def _holds(self, key: str, body: bytes) -> bool:
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError:
            return False
        self._written.add(key)
        self._etags[key] = found["ETag"]
        return found["Body"].read() == body

    def _status(self, call: Callable[[], Any], key: str) -> int:
        try:
            answer = call()
        except ClientError as error:
            if is_passing(status_of(error)):
                raise  # this says nothing of conditions
            return status_of(error)
        self._etags.pop(key, None)
        if "ETag" in answer:
            self._etags[key] = answer["ETag"]
        self._keeps_versions = self._keeps_versions or "VersionId" in answer
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])

    # --- leaving nothing ---

    def clean(self) -> None:
        """Remove the test objects, and those that killed processes have left.

        This is done even if the caller has given up meanwhile: nobody else knows these names.
        """
        with s3_client_state.only_while(None):
            for key in sorted(self._written):
                self._remove(key)
            for key in self._abandoned():
                self._remove(key)

    def _remove(self, key: str) -> None:
        try:
            for version in self._versions(key) or [{}]:
                self._client.delete_object(Bucket=self._bucket, Key=key, **version)  # type: ignore[arg-type] # two kinds
        except S3_ERRORS as error:
            logger.warning("bucket=<%s>, key=<%s> | left behind by a probe: %s", self._bucket, key, named(error))

    def _versions(self, key: str) -> list[dict[str, str]]:
        if not self._keeps_versions:
            return []
        try:
            page = self._client.list_object_versions(Bucket=self._bucket, Prefix=key)
        except ClientError:
            return []  # not allowed to list versions
        return [
            {"VersionId": entry["VersionId"]} for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        ]

    def _abandoned(self) -> list[str]:
        try:
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._names)
        except S3_ERRORS as error:
            logger.debug("bucket=<%s> | no older probes were looked for: %s", self._bucket, named(error))
            return []
        now = date_of(page["ResponseMetadata"])
        return [
            entry["Key"]
            for entry in page.get("Contents", [])
            if (now - entry["LastModified"]).total_seconds() > ABANDONED_SECONDS
        ]
