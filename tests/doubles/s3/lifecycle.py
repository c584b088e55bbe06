"""What a lifecycle rule does, on a simulated day.

S3 counts whole days from when the object was last written and rounds up to the next midnight UTC:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
"""

from dataclasses import dataclass
from itertools import pairwise

from tests.doubles.s3.store import ObjectStore, Version

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Expired:
    """What one pass removed: keys whose current object went, and versions removed for good."""

    objects: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()


def removal_time(last_modified: int, days: int) -> int:
    """Return the first second at which a rule of ``days`` may remove an object.

    An object written exactly at midnight is not given a further day: the earliest reading of S3's rule, and so the
    one a session has to survive.
    """
    due = last_modified + days * SECONDS_PER_DAY
    return -(-due // SECONDS_PER_DAY) * SECONDS_PER_DAY


def expire(
    store: ObjectStore,
    bucket_name: str,
    *,
    now: float,
    days: int | None,
    prefix: str = "",
    noncurrent_days: int | None = None,
    drop_lone_markers: bool = False,
) -> Expired:
    """Remove what a lifecycle rule would have removed by ``now``, everything that is due at once.

    Args:
        store: The objects.
        bucket_name: The bucket the rule is for.
        now: Seconds since the epoch.
        days: ``Expiration.Days``: current objects of that age go; where versioning is or was on they get a delete
            marker instead. ``None``: no such rule.
        prefix: The rule's filter.
        noncurrent_days: ``NoncurrentVersionExpiration.NoncurrentDays``, counted from when a version was succeeded.
        drop_lone_markers: ``ExpiredObjectDeleteMarker``: remove delete markers that are a key's only version.
    """
    objects: list[str] = []
    versions: list[tuple[str, str]] = []
    with store.lock:
        bucket = store.bucket(bucket_name)
        for key in [key for key in bucket.keys if key.startswith(prefix)]:
            if noncurrent_days is not None:
                for version in _noncurrent(bucket.versions[key], noncurrent_days, now):
                    bucket.remove(key, version.version_id)
                    versions.append((key, version.version_id))
            newest = bucket.versions[key][-1]
            if newest.is_delete_marker:
                if drop_lone_markers and len(bucket.versions[key]) == 1:
                    bucket.remove(key, newest.version_id)
                    versions.append((key, newest.version_id))
            elif days is not None and removal_time(newest.last_modified, days) <= now:
                store.delete(bucket_name, key)
                objects.append(key)
    return Expired(tuple(objects), tuple(versions))


def _noncurrent(versions: list[Version], days: int, now: float) -> list[Version]:
    """Return the versions whose successor has been there for ``days``."""
    return [version for version, successor in pairwise(versions) if removal_time(successor.last_modified, days) <= now]
