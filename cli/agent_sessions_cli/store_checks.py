"""Whether a store is fit for sessions: what it keeps, what its rules remove, who may read it, what we may do there."""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from agent_sessions.exceptions import ConditionsNotKeptError, SessionException
from agent_sessions.expiry import lifecycle_days
from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged
from agent_sessions_cli.store_permissions import VersionsProbe, name_of
from agent_sessions_cli.tls_policy import untouched_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent_sessions.object_store import ObjectStore
    from agent_sessions.session_store import SessionStore

SKEW_SECONDS = 60
"""A clock that differs by more is said. S3 refuses requests that are more than 15 minutes off."""

_PROBE = ".agent-sessions-doctor-"
_NOBODYS = '"00000000000000000000000000000000"'
_OPEN_TO_OTHERS = 0o077


class Verdict(StrEnum):
    """What a check says."""

    GOOD = "good"
    NOTICE = "notice"
    BAD = "bad"
    UNKNOWN = "unknown"


class Check(NamedTuple):
    """A check of a store.

    Attributes:
        name: What was checked.
        verdict: How it is.
        what: What was seen, and what to do about it.
    """

    name: str
    verdict: Verdict
    what: str


def check_objects(store: SessionStore, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Check]:
    """Check what every store owes, with an object of nobody's, which is deleted: conditions, permissions, clock."""
    objects, key = store.objects, f"{store.layout.root}{_PROBE}{uuid.uuid4().hex}"
    may: dict[str, str | None] = {}
    versions = VersionsProbe(objects, key)
    try:
        objects.check()
    except ConditionsNotKeptError as error:
        yield Check("conditions", Verdict.BAD, str(error))
        return
    except SessionException as error:
        yield Check("conditions", Verdict.UNKNOWN, f"could not be tried: {error}")

    def tried(verb: str, work: Callable[[], Any]) -> Any:
        try:
            found = work()
        except SessionException as error:
            missing = name_of(verb, error, on_s3=versions.on_s3)
            may[missing] = getattr(error, "code", None) or type(error).__name__
            return None
        may[name_of(verb, None, on_s3=versions.on_s3)] = None
        return found

    try:
        written = tried("write", lambda: objects.put(key, b'{"nonce": "1"}', Absent()))
        ours = now()
        tried("read", lambda: objects.get(key))
        tried("list", lambda: next(iter(objects.list(store.layout.root)), None))
        if written is not None:
            versions.note()
            yield _clock(written.at, ours)
            yield Check("If-None-Match", *_refused(lambda: objects.put(key, b'{"nonce": "2"}', Absent())))
            stale = Unchanged(_NOBODYS)
            yield Check("If-Match", *_refused(lambda: objects.put(key, b'{"nonce": "3"}', stale)))
            yield _conditional_delete(objects, key)
            if not versions.on_s3:
                tried("delete", lambda: objects.delete([key]))
    finally:
        with suppress(SessionException):
            versions.clear() if versions.on_s3 else objects.delete([key])
    yield _permissions(may | versions.may, uses_key=versions.uses_key, left=key if versions.left else None)


def _permissions(may: dict[str, str | None], *, uses_key: bool, left: str | None) -> Check:
    refused = [f"{name} ({code})" for name, code in may.items() if code is not None]
    if refused:
        left_behind = f" Left behind: versions of {left}." if left else ""
        what = f"refused: {', '.join(refused)}. docs/DEPLOY.md lists what a role needs.{left_behind}"
        return Check("permissions", Verdict.BAD, what)
    key = "; the key: kms:GenerateDataKey, kms:Decrypt" if uses_key else ""
    return Check("permissions", Verdict.GOOD, f"these credentials may {', '.join(may)}{key}")


def _refused(write: Callable[[], object]) -> tuple[Verdict, str]:
    try:
        write()
    except PreconditionFailedError:
        return Verdict.GOOD, "a write under a condition that does not hold is refused"
    except SessionException as error:
        return Verdict.UNKNOWN, f"could not be tried: {error}"
    return Verdict.BAD, "a condition that does not hold is ignored: two writers lose each other's messages"


def _conditional_delete(objects: ObjectStore, key: str) -> Check:
    client = getattr(objects, "client", None)
    name = "conditional delete"
    try:
        if client is None:
            kept = not objects.delete_version(key, _NOBODYS)
        else:
            client.delete_object(Bucket=objects.bucket, Key=key, IfMatch=_NOBODYS)  # type: ignore[attr-defined] # S3's
            kept = objects.get(key) is not None
    except ClientError as error:
        kept = _status(error) in {403, 409, 412}
        if not kept:
            return Check(name, Verdict.NOTICE, "not known here: leases and erasures do without (docs/STORES.md)")
    except SessionException as error:
        return Check(name, Verdict.UNKNOWN, f"could not be tried: {error}")
    if kept:
        return Check(name, Verdict.GOOD, "another version is not deleted")
    return Check(name, Verdict.NOTICE, "its condition is ignored: leases and erasures do without (docs/STORES.md)")


def _clock(theirs: datetime, ours: datetime) -> Check:
    skew = abs((theirs - ours).total_seconds())
    verdict = Verdict.NOTICE if skew > SKEW_SECONDS else Verdict.GOOD
    advice = ". Set this machine's clock: S3 refuses requests that are 15 minutes off" if skew > SKEW_SECONDS else ""
    return Check("clock", verdict, f"{skew:.0f} seconds from the storage's{advice}")


def check_folder(folder: Path) -> Iterator[Check]:
    """Check who else on this machine may read a folder of sessions."""
    try:
        mode = stat.S_IMODE(os.stat(folder).st_mode)  # noqa: PTH116 - one call with its error
    except FileNotFoundError:
        yield Check("folder", Verdict.NOTICE, "it is not there yet: the first session makes it")
        return
    if mode & _OPEN_TO_OTHERS:
        yield Check("folder", Verdict.NOTICE, f"mode {mode:04o} lets others in: chmod 700 {folder}")
    else:
        yield Check("folder", Verdict.GOOD, f"mode {mode:04o}: nobody else's")


def check_bucket(client: Any, bucket: str, root: str, ttl_days: float | None) -> Iterator[Check]:
    """Check a bucket's own settings. What these credentials may not ask for is said to be unknown."""

    def ask(operation: str, *absent: str) -> Any:
        try:
            return getattr(client, operation)(Bucket=bucket)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in absent:
                return None
            raise

    checks: list[tuple[str, Callable[[], Check]]] = [
        ("versioning", lambda: judge_versioning(ask("get_bucket_versioning"))),
        (
            "lifecycle",
            lambda: judge_lifecycle(
                ask("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"), root, ttl_days
            ),
        ),
        (
            "encryption",
            lambda: judge_encryption(ask("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")),
        ),
        (
            "public access",
            lambda: judge_public_access(ask("get_public_access_block", "NoSuchPublicAccessBlockConfiguration")),
        ),
        ("TLS only", lambda: judge_tls(ask("get_bucket_policy", "NoSuchBucketPolicy"), bucket)),
    ]
    for name, check in checks:
        try:
            yield check()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            yield Check(name, Verdict.UNKNOWN, f"the storage does not say ({code})")


def judge_versioning(answer: dict[str, Any]) -> Check:
    """Versioning keeps what was replaced: an erasure then needs to delete versions, too."""
    status = answer.get("Status")
    if status is None:
        return Check("versioning", Verdict.GOOD, "off: what is erased is gone")
    what = f"{status}: erasing needs s3:ListBucketVersions and s3:DeleteObjectVersion, and a rule for old versions"
    return Check("versioning", Verdict.NOTICE, what)


def judge_lifecycle(answer: dict[str, Any] | None, root: str, ttl_days: float | None) -> Check:
    """A rule that is faster than the lifetime of sessions removes objects of sessions in use."""
    days = [
        (rule["Expiration"]["Days"], rule.get("ID", "a rule"))
        for rule in (answer or {}).get("Rules", [])
        if rule.get("Status") == "Enabled" and "Days" in rule.get("Expiration", {}) and _covers(rule, root)
    ]
    needed = lifecycle_days(ttl_days or 0)
    if not days:
        if needed is None:
            return Check("lifecycle", Verdict.GOOD, "no rule removes objects, and sessions do not expire")
        what = f"no rule removes what has expired: add one of {needed} days for the prefix {root!r}"
        return Check("lifecycle", Verdict.NOTICE, what)
    soonest, name = min(days)
    if needed is None:
        what = f"{name} removes objects after {soonest} days: give --ttl-days, and set the writers' ttl_days"
        return Check("lifecycle", Verdict.BAD, what)
    if soonest < needed:
        what = f"{name} removes objects after {soonest} days, and sessions in use need {needed}: raise it"
        return Check("lifecycle", Verdict.BAD, what)
    return Check("lifecycle", Verdict.GOOD, f"{name} removes objects after {soonest} days, {needed} or more are needed")


def _covers(rule: dict[str, Any], root: str) -> bool:
    """Whether a rule touches objects below a prefix. One for tags or sizes alone touches none that are known of."""
    found = rule.get("Filter", {})
    if "Tag" in found or "Tags" in found.get("And", {}):
        return False
    prefix = rule.get("Prefix", found.get("Prefix", found.get("And", {}).get("Prefix", "")))
    return root.startswith(prefix) or prefix.startswith(root)


def judge_encryption(answer: dict[str, Any] | None) -> Check:
    """How objects are encrypted where they lie."""
    rules = (answer or {}).get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    names = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    found = next((name for name in names if name), None)
    if found is None:
        return Check("encryption", Verdict.BAD, "none by default: set SSE-S3 or SSE-KMS")
    return Check("encryption", Verdict.GOOD, found)


def judge_public_access(answer: dict[str, Any] | None) -> Check:
    """Whether nobody can open the bucket to everybody."""
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    settings = (answer or {}).get("PublicAccessBlockConfiguration", {})
    off = [name for name in names if not settings.get(name)]
    if off:
        return Check("public access", Verdict.BAD, f"not blocked: {', '.join(off)}. Block all four")
    return Check("public access", Verdict.GOOD, "blocked")


def judge_tls(answer: dict[str, Any] | None, bucket: str) -> Check:
    """Whether the bucket's policy refuses every request without TLS, whoever sends it and wherever to."""
    open_to = untouched_by((answer or {}).get("Policy", "{}"), bucket)
    if open_to is None:
        return Check("TLS only", Verdict.GOOD, "requests without TLS are refused")
    what = f"requests without TLS are taken{open_to}: deny s3:* to everybody where aws:SecureTransport is false"
    return Check("TLS only", Verdict.NOTICE, what)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
