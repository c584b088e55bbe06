"""When a session expires: the one definition, as functions of values.

The CDK app turns ``session_ttl_days`` into a lifecycle rule and the library decides what may still be read; both ask
here, so that they cannot drift apart.
"""

import math


def slack_days(ttl_days: float) -> int:
    """How many days an object may age beyond a session's lifetime before storage itself removes it.

    The slack is what gives a turn time to renew the objects of a session in use: see ``docs/SEMANTICS.md``.
    """
    return max(1, math.ceil(ttl_days / 4))


def lifecycle_days(ttl_days: float) -> int | None:
    """The age in whole days at which the bucket's lifecycle rule may remove an object.

    Args:
        ttl_days: Days after the last use at which a session expires; ``0`` keeps sessions for ever.

    Returns:
        Days for the rule's ``Expiration``, or ``None`` when there is to be no such rule.

    Raises:
        ValueError: When ``ttl_days`` is negative or not a finite number.
    """
    if not math.isfinite(ttl_days) or ttl_days < 0:
        raise ValueError(f"ttl_days={ttl_days!r} | must be 0 (no expiry) or a positive number of days")
    if ttl_days == 0:
        return None
    return math.ceil(ttl_days) + slack_days(ttl_days)
