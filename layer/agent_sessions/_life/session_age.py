"""How old a session is, and how old the objects in it can be.

The session's record says the second, under ``kit``:

* ``renewed_at``: the age mark. No object of the session is older.
* ``ages``: the same by ranges of keys, if objects are of different ages; see ``object_ages``.
* ``adopting``: Strands' managers have kept the session, and turns have not caught up with renewing it yet.
* ``used_at``: the record has been rewritten since by somebody who did not use the session, as for another title. Its
  use was then, whatever the record's own age.
* ``used_until``: what was written after this moment is no use of the session. It stands there while there are objects
  older than the slack: a turn that finds some says so before it writes, and takes it back when it has renewed them.
  Should it fail or die before, the session ends before a lifecycle rule can reach those objects, and not in pieces.

If there is no age mark, and this kit created the record, every other object is younger, and the record's own age is the
answer. A record that Strands created says nothing: it may have replaced one that a lifecycle rule had removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent_sessions._life.object_ages import UNKNOWN, ObjectAges

if TYPE_CHECKING:
    from agent_sessions._records.record_format import Record

MARK = "renewed_at"
"""The mark's name under ``kit``."""

USED_UNTIL = "used_until"
"""See the module."""

USED_AT = "used_at"
"""See the module."""


@dataclass
class SessionAge:
    """What a process knows of a session's age, by the storage's clock.

    Attributes:
        oldest: No object of the session is older than this; ``None`` when nobody has said so yet.
        last_used: A turn wrote then, and perhaps later.
        seen_at: The storage's time when this was learned.
        adopted: Whether the kit has kept the session from its beginning, or has caught up with renewing it.
        used_until: Writes after this moment are no use of the session; see the module. ``None`` when all are.
    """

    oldest: datetime | None
    last_used: datetime
    seen_at: datetime
    adopted: bool = True
    used_until: datetime | None = None

    @classmethod
    def of(cls, record: Record, last_used: datetime) -> SessionAge:
        """What a session's record says."""
        until = used_until(record)
        counts = until is None or last_used > until  # then Strands' managers have gone on with it
        return cls(oldest_in(record), last_used, record.stored.read_at, is_adopted(record), None if counts else until)

    def counted(self, at: datetime) -> datetime:
        """The last use, if the last write was at this time."""
        return at if self.used_until is None else min(at, self.used_until)


def oldest_in(record: Record) -> datetime | None:
    """The time since when all objects of the session were written, by its record; see the module."""
    stated = record.kit.get(MARK)
    if stated is None:
        return record.stored.last_modified if record.kit.get("incarnation") else None
    at = _moment(stated)
    # If the age mark is younger than its record, somebody has copied or edited the record.
    return min(at, record.stored.last_modified) if at else None


def record_used(record: Record) -> datetime:
    """The use of the session that its record shows: when it was written, unless that was no use."""
    at = _moment(record.kit.get(USED_AT))
    return record.stored.last_modified if at is None else min(at, record.stored.last_modified)


def used_until(record: Record) -> datetime | None:
    """The moment after which nothing counts as a use of the session; ``None`` when everything does."""
    at, oldest = _moment(record.kit.get(USED_UNTIL)), oldest_in(record)
    # An older kit that has renewed everything leaves this moment in the record.
    return at if at and (oldest is None or oldest < at) else None


def with_used_until(kit: dict[str, Any], at: datetime, oldest: datetime) -> dict[str, Any]:
    """The ``kit`` of a record in which nothing written after a moment is a use.

    Args:
        kit: What stands there.
        at: The moment.
        oldest: What :func:`oldest_in` says of the record. Writing the record makes the record itself younger.
    """
    return {**kit, MARK: oldest.astimezone(UTC).isoformat(), USED_UNTIL: at.astimezone(UTC).isoformat()}


def _moment(stated: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(stated)  # type: ignore[arg-type] # anything may stand in a record
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def is_adopted(record: Record) -> bool:
    """Whether every object of the session is known to be no older than the kit allows."""
    return oldest_in(record) is not None and not record.kit.get("adopting")


def ages_in(record: Record) -> ObjectAges:
    """How old the objects of the session can be, by ranges, according to the session's record."""
    oldest = oldest_in(record) or UNKNOWN
    ages = ObjectAges.from_json(record.kit.get("ages"))
    if ages is None:
        return ObjectAges.all_since(oldest)
    # An older kit renews everything, and moves only the age mark.
    return ages.not_older_than(oldest).not_younger_than(record.stored.last_modified)


def with_ages(kit: dict[str, Any], ages: ObjectAges, *, adopted: bool = True, too_old: bool = False) -> dict[str, Any]:
    """The ``kit`` of a record when the objects are of these ages.

    Args:
        kit: What stands there.
        ages: The ages.
        adopted: See the module.
        too_old: Whether some are older than the slack.
    """
    dropped = {MARK, "ages", "adopting", USED_AT} | (set() if too_old else {USED_UNTIL})
    kept = {name: value for name, value in kit.items() if name not in dropped}
    short = ages.shortened()
    by_ranges = {"ages": short.to_json()} if len(short.ranges) > 1 else {}
    return {
        **kept,
        MARK: short.oldest.astimezone(UTC).isoformat(),
        **by_ranges,
        **({} if adopted else {"adopting": True}),
    }


def stated_ttl(record: Record) -> float:
    """The ttl in days with which an agent's or an orchestrator's record was written; ``0`` when it does not say."""
    stated = record.kit.get("ttl_days")
    return float(stated) if isinstance(stated, int | float) else 0.0
