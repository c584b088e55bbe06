"""Pages of keys: ListObjectsV2 and ListObjectVersions as functions of a bucket.

Sources: the two operations in the S3 API reference; order and roll-up of keys are the documented ones.
"""

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.doubles.s3.errors import S3Error
from tests.doubles.s3.store import Bucket, Version

MAX_KEYS = 1000


@dataclass(slots=True)
class ObjectPage:
    """One answer of ListObjectsV2."""

    objects: list[Version] = field(default_factory=list)
    common_prefixes: list[str] = field(default_factory=list)
    next_token: str | None = None

    @property
    def key_count(self) -> int:
        """Number of keys and common prefixes together, as ``KeyCount`` has it."""
        return len(self.objects) + len(self.common_prefixes)


@dataclass(slots=True)
class VersionPage:
    """One answer of ListObjectVersions: versions newest first within a key, with ``True`` for the latest."""

    versions: list[tuple[Version, bool]] = field(default_factory=list)
    common_prefixes: list[str] = field(default_factory=list)
    next_key: str | None = None
    next_version_id: str | None = None


def parse_max_keys(text: str | None) -> int:
    """Read ``max-keys``: 0 to 1,000, more is taken as 1,000."""
    if text is None:
        return MAX_KEYS
    try:
        value = int(text)
    except ValueError:
        raise S3Error("InvalidArgument", "Provided max-keys not an integer or within integer range") from None
    if value < 0:
        raise S3Error("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647")
    return min(value, MAX_KEYS)


def list_objects(
    bucket: Bucket,
    *,
    prefix: str = "",
    delimiter: str = "",
    max_keys: int = MAX_KEYS,
    start_after: str = "",
    token: str | None = None,
) -> ObjectPage:
    """List current objects.

    Args:
        bucket: Where to look.
        prefix: Only keys that start with it.
        delimiter: Keys that contain it after the prefix roll up into one common prefix.
        max_keys: Most entries of this page, common prefixes included.
        start_after: Only keys behind it; ignored when there is a token.
        token: Where the page before ended, as that page said.
    """
    after, rolled_up = (_read_token(token)) if token is not None else (start_after, "")
    page = ObjectPage()
    if max_keys == 0:
        return page
    last = ("", "")
    for key in _keys_behind(bucket, prefix, after):
        newest = bucket.versions[key][-1]
        if newest.is_delete_marker or (rolled_up and key.startswith(rolled_up)):
            continue
        group = _group(key, prefix, delimiter)
        if group and page.common_prefixes and page.common_prefixes[-1] == group:
            continue
        if page.key_count == max_keys:
            page.next_token = _write_token(*last)
            return page
        if group:
            page.common_prefixes.append(group)
        else:
            page.objects.append(newest)
        last = (group or key, group)
    return page


def list_versions(
    bucket: Bucket,
    *,
    prefix: str = "",
    delimiter: str = "",
    max_keys: int = MAX_KEYS,
    key_marker: str = "",
    version_id_marker: str = "",
) -> VersionPage:
    """List all versions and delete markers, keys in order, newest first within a key.

    Args:
        bucket: Where to look.
        prefix: Only keys that start with it.
        delimiter: Keys that contain it after the prefix roll up into one common prefix.
        max_keys: Most entries of this page, common prefixes included.
        key_marker: Only keys behind it; with ``version_id_marker`` the rest of this key, too.
        version_id_marker: The version of ``key_marker`` at which the page before ended.
    """
    if version_id_marker and not key_marker:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.")
    page = VersionPage()
    if max_keys == 0:
        return page
    last: tuple[str, str | None] = ("", None)
    for key, version in _versions_behind(bucket, prefix, key_marker, version_id_marker):
        group = _group(key, prefix, delimiter)
        # A marker that is a common prefix itself ends that whole group.
        if group and (group == key_marker or (page.common_prefixes and page.common_prefixes[-1] == group)):
            continue
        if len(page.versions) + len(page.common_prefixes) == max_keys:
            page.next_key, page.next_version_id = last
            return page
        if group:
            page.common_prefixes.append(group)
            last = (group, None)
        else:
            page.versions.append((version, version is bucket.versions[key][-1]))
            last = (key, version.version_id)
    return page


def _keys_behind(bucket: Bucket, prefix: str, after: str) -> Iterator[str]:
    start = max(bisect_left(bucket.keys, prefix), bisect_right(bucket.keys, after) if after else 0)
    for index in range(start, len(bucket.keys)):
        key = bucket.keys[index]
        if not key.startswith(prefix):
            return
        yield key


def _versions_behind(bucket: Bucket, prefix: str, key: str, version_id: str) -> Iterator[tuple[str, Version]]:
    if version_id and key.startswith(prefix):
        newest_first = bucket.versions.get(key, [])[::-1]
        ids = [version.version_id for version in newest_first]
        if version_id in ids:
            yield from ((key, version) for version in newest_first[ids.index(version_id) + 1 :])
    for other in _keys_behind(bucket, prefix, key):
        yield from ((other, version) for version in reversed(bucket.versions[other]))


def _group(key: str, prefix: str, delimiter: str) -> str:
    """Return the common prefix that ``key`` rolls up into, or nothing."""
    if not delimiter:
        return ""
    position = key.find(delimiter, len(prefix))
    return key[: position + len(delimiter)] if position >= 0 else ""


def _write_token(after: str, rolled_up: str) -> str:
    return base64.urlsafe_b64encode(f"{'p' if rolled_up else 'k'}{after}".encode()).decode()


def _read_token(token: str) -> tuple[str, str]:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        text = ""
    if text[:1] not in ("p", "k"):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    return text[1:], text[1:] if text[0] == "p" else ""
