"""The standing of a session that somebody wants to use: it lives, it has ended, it lost its record, or it is new.

A caller that finds or begins a session first classifies what lies there, then acts:

| what lies there                                  | standing             | what is done                            |
|--------------------------------------------------|----------------------|-----------------------------------------|
| a record, used within the ttl                    | ``Lives``            | it is used                              |
| a record that has expired or is marked as erased | ``HasEnded``         | what is left is swept; a new life       |
| no record, and messages of a life that has ended | ``HasEnded``         | likewise                                |
| no record, and an agent's that is still used     | ``HasLostItsRecord`` | the record is written; the life goes on |
| nothing, but perhaps a lease                     | ``IsNew``            | one conditional write                   |

Everything here is a value: nothing reads or writes.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from agent_sessions._life.session_age import stated_ttl
from agent_sessions._records.record_format import incarnation_of, is_erased
from agent_sessions.expiry import is_expired

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from agent_sessions._records.record_format import Record
    from agent_sessions.object_store import ListedObject, StoredObject


class Lives(NamedTuple):
    """The session lives.

    Attributes:
        record: Its record.
        last_used: When it was used last, or an earlier time within the ttl.
    """

    record: Record
    last_used: datetime


class HasEnded(NamedTuple):
    """A life has ended, and something of it may be left.

    Attributes:
        found: Its record; ``None`` when that is gone and other objects are left.
    """

    found: StoredObject | None


class HasLostItsRecord(NamedTuple):
    """The session's record alone was deleted, by a lifecycle rule or by somebody. The rest is still the session.

    Attributes:
        incarnation: The life that goes on.
        oldest: When the oldest of its objects was written.
    """

    incarnation: str
    oldest: datetime


class IsNew(NamedTuple):
    """Nothing of a session lies there."""


Standing = Lives | HasEnded | HasLostItsRecord | IsNew


def by_record(record: Record, *, last_used: datetime, ttl_days: float) -> Lives | HasEnded:
    """The standing of a session that has a record.

    Args:
        record: The session's record.
        last_used: When the session was used last, or an earlier time within the ttl.
        ttl_days: Days after its last use at which a session expires; 0 for never.
    """
    if is_erased(record) or is_expired(last_used, record.stored.read_at, ttl_days):
        return HasEnded(record.stored)
    return Lives(record, last_used)


def by_remains(remains: Sequence[ListedObject], survivor: Record | None) -> Standing:
    """The standing of a session that has no record.

    Args:
        remains: What lies below the session's folder, without its lease: a caller that begins may hold it already.
        survivor: The first of the records there that :func:`goes_on` is true for.
    """
    if survivor is not None:
        # Records that Strands wrote say nothing of lives.
        incarnation = incarnation_of(survivor.content) or uuid.uuid4().hex
        return HasLostItsRecord(incarnation, min(entry.last_modified for entry in remains))
    return HasEnded(None) if remains else IsNew()


def goes_on(record: Record, *, is_head: bool, used: datetime, ttl_days: float) -> bool:
    """Whether a record shows that its session still lives, although ``session.json`` is gone.

    Args:
        record: The record.
        is_head: Whether it is an agent's or an orchestrator's record. Messages alone were written late, for an erased
            life, unless Strands wrote them.
        used: When the session was used last. If that is longer ago than the ttl, or than the ttl that its last turn
            stated, the session has expired, whatever is left of it.
        ttl_days: Days after its last use at which a session expires; 0 for never.
    """
    if is_erased(record) or any(is_expired(used, record.stored.read_at, ttl) for ttl in (ttl_days, stated_ttl(record))):
        return False
    return is_head or incarnation_of(record.content) is None
