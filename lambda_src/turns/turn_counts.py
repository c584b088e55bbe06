"""Adds a turn to the metrics of its request: that it has begun, and how it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_src.answers import errors
from lambda_src.metrics import recorded, table
from lambda_src.turns.turn_events import Completed, Restored

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_src.metrics.recorded import Recorded
    from lambda_src.turns.repeats import Turn
    from lambda_src.turns.turn_events import TurnEvent

_CUTS_OFF = (
    errors.OutOfTimeError,
    errors.StorageFailedError,
    errors.StorageRefusedError,
    errors.TurnConflictError,
)
"""What cuts a turn off that has begun."""


def count_failure(answer: errors.EndpointError) -> None:
    """Add a turn that has ended without a reply."""
    if isinstance(answer, _CUTS_OFF):
        recorded.note_cut_off()


def tell_counted(tell: Callable[[TurnEvent], object], turn: Turn, record: Recorded | None, event: TurnEvent) -> None:
    """Tell an event. That a turn has begun, or was cancelled, is added to the metrics of its request.

    Events are told when a message is stored, which a thread says that knows of no request: so the record is given.
    """
    if record is not None and isinstance(event, Restored):  # told when the turn's fence is written: it counts
        record.add(table.TURNS)
        record.add(table.TURNS_CONTINUED, turn.continues)
        record.add(table.RESTORED_MESSAGES, event.restored_messages)
        record.name(turn_id=event.turn_id)
    elif record is not None and isinstance(event, Completed):
        record.add(table.TURNS_CANCELLED, event.stop_reason == "cancelled")
        record.name(stop_reason=event.stop_reason)
    tell(event)
