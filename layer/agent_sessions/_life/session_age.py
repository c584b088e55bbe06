"""How old a session is, and how old the oldest object in it can be.

The second stands in the session's record: no object of the session is older than ``kit.renewed_at``. Where it does not
stand, the record was created by this kit before every other object, and its own age is the answer; a record that
Strands created says nothing, for it may have replaced one that a lifecycle rule had removed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_sessions._records.records import Record

MARK = "renewed_at"
"""The mark's name under ``kit``."""


@dataclass
class SessionAge:
    """What a process knows of a session's age, by the storage's clock.

    Attributes:
        marked_at: No object of the session is older than this; ``None`` when nobody has said so yet.
        last_used: A turn wrote then, and perhaps later.
    """

    marked_at: datetime | None
    last_used: datetime


def marked_at(record: Record) -> datetime | None:
    """The mark in a session's record; see the module."""
    stated = record.kit.get(MARK)
    if isinstance(stated, str):
        with contextlib.suppress(ValueError):
            at = datetime.fromisoformat(stated)
            # A mark cannot be younger than the record it stands in: then somebody has copied or edited it.
            return min(at if at.tzinfo else at.replace(tzinfo=UTC), record.stored.last_modified)
    elif record.kit.get("incarnation"):
        return record.stored.last_modified
    return None


def stated_ttl(record: Record) -> float:
    """The ttl in days under which an agent's or an orchestrator's record was written; ``0`` when it does not say."""
    stated = record.kit.get("ttl_days")
    return float(stated) if isinstance(stated, int | float) else 0.0


def with_mark(kit: dict[str, Any], at: datetime) -> dict[str, Any]:
    """What stands under ``kit`` with another mark."""
    return {**kit, MARK: at.astimezone(UTC).isoformat()}
