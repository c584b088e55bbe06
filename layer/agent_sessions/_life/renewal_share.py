"""How many objects of its session a turn renews.

A turn should be quick, a session may be of any length, and nobody knows when the next turn comes. So each turn renews
the oldest objects, and about its share of them: all that is due, divided by the turns that still come in time if turns
go on coming as they do, at least one a day.

Everything here is a value: nothing reads or writes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions.expiry import renewal_days, renewal_due, slack_days

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from agent_sessions._life.object_ages import ObjectAges

FEWEST_OBJECTS = 250
"""The least a turn renews when something is due: about a second beside the model. That completes a short session."""

MOST_OBJECTS = 1_000
"""The most a turn renews, unless a later turn would then have to renew more: about five seconds."""

MOST_SECONDS = 5.0
"""After so many seconds, a turn renews only the share without which the session falls behind."""

DAY_SECONDS = 86_400.0

RESERVE = 1 / 8
"""The part of the slack that is kept for turns that fail or do not come."""


class Share(NamedTuple):
    """What a turn renews.

    Attributes:
        usual: How many objects, if that does not take too long.
        least: How many in any case: with fewer, a later turn would have to make up for it.
    """

    usual: int
    least: int

    def left(self, renewed: int, seconds: float) -> int:
        """How many objects are left to renew for a turn that has renewed so many in so long."""
        return max(0, (self.least if seconds >= MOST_SECONDS else max(self.least, self.usual)) - renewed)


def share_of(ages: ObjectAges, now: datetime, unused: timedelta, ttl_days: float, *, adopted: bool = True) -> Share:
    """What a turn has to renew.

    Args:
        ages: How old the objects of the session are.
        now: The storage's time.
        unused: How long ago the turn before was.
        ttl_days: Days after the last use at which the session expires; not ``0``.
        adopted: Whether the kit has kept the session so far. If Strands' managers have, its objects may be of any age:
            then each turn does the usual, until turns have caught up.
    """
    if not renewal_due(ages.oldest, now, ttl_days):
        return Share(0, 0)
    soon = _by(ages, now, unused, renewal_days(ttl_days))
    usual = min(max(soon, FEWEST_OBJECTS), MOST_OBJECTS)
    if not adopted:
        return Share(usual, 0)
    slack = slack_days(ttl_days)
    # After a silence, even the reserve may be in use. Then the rest of it is used too, and is not restored at once.
    has_reserve = (now - ages.oldest).total_seconds() < slack * (1 - RESERVE) * DAY_SECONDS
    return Share(usual, _by(ages, now, unused, slack * (1 - RESERVE) if has_reserve else slack))


def _by(ages: ObjectAges, now: datetime, unused: timedelta, age_days: float) -> int:
    """How many objects each turn has to renew, this one included, so that none reaches this age."""
    pause_seconds = min(max(unused.total_seconds(), 1.0), DAY_SECONDS)
    most = objects = 0
    for one in sorted(ages.ranges, key=lambda one: one.since):
        # Where nobody has looked yet, the next turns will look.
        objects += MOST_OBJECTS if one.objects is None else one.objects
        left_seconds = max(0.0, age_days * DAY_SECONDS - (now - one.since).total_seconds())
        most = max(most, math.ceil(objects / (left_seconds // pause_seconds + 1)))
    return most
