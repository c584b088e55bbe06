"""When a session expires: the one definition, as functions of values.

The CDK app turns ``session_ttl_days`` into a lifecycle rule, and the library decides what may still be read. Both ask
here, so that they cannot differ. Every time is the storage's own (``Date``, ``Last-Modified``); a function's clock does
not matter.

A session has expired when its *last use*, the last write of a turn, is longer ago than the ttl. The lifecycle rule of
the bucket is only the backstop: it removes single objects, by their own age, and must never find one that is old in a
session that is not. Therefore turns renew objects:

* Turns renew the oldest objects first, a bounded number each: how many is decided in ``_life.renewal_share``. While
  turns keep up, every object is renewed within ``renewal_days = max(1, ceil(ttl / 4))``.
* ``slack = ceil(ttl) + renewal_days``, and the rule removes objects of an age of ``ceil(ttl) + slack`` days.
* A session's record says how old its objects can be. At half of ``renewal_days``, an object is due to be renewed. When
one is as old as the slack, the turn does not succeed without renewing it.

So after a successful turn no object is older than ``slack``, and while the session has not expired none is older than
``slack + ttl``, which is not more than the rule's age.

Why the slack is longer than the ttl: a silence may last for the whole ttl, and the turn after it finds every object
older by that time. It need not renew them all at once. The price: expired objects stay in the bucket for ``slack``
days, read by nobody.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta


def checked_ttl(ttl_days: float | None) -> float:
    """A lifetime in days; ``0`` for one without end.

    Args:
        ttl_days: Days after the last use at which a session expires; ``0`` or ``None`` keeps sessions for ever.

    Raises:
        ValueError: When it is negative or not a finite number.
    """
    if ttl_days is None:
        return 0.0
    if not math.isfinite(ttl_days) or ttl_days < 0:
        raise ValueError(f"ttl_days={ttl_days!r} | must be 0 (no expiry) or a positive number of days")
    return ttl_days


def renewal_days(ttl_days: float) -> int:
    """The days in which every object of a session in use is renewed once, as long as turns keep up."""
    return max(1, math.ceil(ttl_days / 4))


def slack_days(ttl_days: float) -> int:
    """How many days an object may age beyond a session's lifetime before storage itself removes it.

    The slack is what gives turns time to renew the objects of a session in use: see ``docs/EXPIRY.md``.
    """
    return math.ceil(ttl_days) + renewal_days(ttl_days)


def lifecycle_days(ttl_days: float, lowered_from: float | None = None) -> int | None:
    """The age in whole days at which the bucket's lifecycle rule may remove an object.

    Args:
        ttl_days: Days after the last use at which a session expires; ``0`` keeps sessions for ever.
        lowered_from: The ``ttl_days`` of before, while sessions are left that have not been used since it was lowered:
            for as many days as the new ``ttl_days``. Their objects were renewed by the old one's slack.

    Returns:
        Days for the rule's ``Expiration``, or ``None`` when there is to be no such rule.

    Raises:
        ValueError: When a number of days is negative or not finite.
    """
    days = [
        math.ceil(ttl) + slack_days(ttl) if ttl else None
        for ttl in (checked_ttl(ttl_days), checked_ttl(ttl_days if lowered_from is None else lowered_from))
    ]
    return None if None in days else max(day for day in days if day is not None)


def removable_at(last_modified: datetime, days: int) -> datetime:
    """The earliest time at which a lifecycle rule may remove an object.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html - the rule's days are
    added to the object's time, and the sum is rounded up to the next midnight UTC.

    Args:
        last_modified: When the object was written.
        days: The rule's ``Expiration``.
    """
    due = last_modified.astimezone(UTC) + timedelta(days=days)
    midnight = datetime.combine(due.date(), time(), UTC)
    return midnight if midnight == due else midnight + timedelta(days=1)


def is_expired(last_used: datetime, now: datetime, ttl_days: float) -> bool:
    """Whether a session has expired.

    Args:
        last_used: When a turn wrote to it last, by the storage's clock.
        now: The storage's time.
        ttl_days: ``0`` for never.
    """
    return bool(ttl_days) and (now - last_used).total_seconds() > ttl_days * 86_400


def expires_at(last_used: datetime, ttl_days: float) -> datetime | None:
    """When a session will have expired unless it is used again.

    Args:
        last_used: When a turn wrote to it last, by the storage's clock.
        ttl_days: ``0`` for never.

    Returns:
        The last moment of its life; ``None`` when there is none, or none that a calendar can name.
    """
    if not ttl_days:
        return None
    try:
        return last_used + timedelta(days=ttl_days)
    except OverflowError:
        return None


def renewal_due(oldest: datetime | None, now: datetime, ttl_days: float) -> bool:
    """Whether a turn has to renew objects of its session.

    Args:
        oldest: No object of the session is older than this; ``None`` when nobody has said so yet.
        now: The storage's time.
        ttl_days: ``0`` for never.
    """
    return _has_age(oldest, now, ttl_days, renewal_days(ttl_days) / 2)


def renewal_required(oldest: datetime | None, now: datetime, ttl_days: float) -> bool:
    """Whether a turn may not succeed without renewing the oldest; arguments as for :func:`renewal_due`."""
    return _has_age(oldest, now, ttl_days, slack_days(ttl_days))


def _has_age(oldest: datetime | None, now: datetime, ttl_days: float, days: float) -> bool:
    return bool(ttl_days) and (oldest is None or (now - oldest).total_seconds() >= days * 86_400)
