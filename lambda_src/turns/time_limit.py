"""How long a turn may take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lambda_src.answers import errors


@dataclass(frozen=True)
class TimeLimit:
    """How long a turn may take, counted from its start.

    Attributes:
        seconds: When the agent is asked to stop, in good order.
        hard_seconds: When it is stopped wherever it is, should it not have listened.
        last_seconds: When nobody waits for it any more, should it not even have been stoppable: something outside,
            a storage that does not answer, keeps its thread.
    """

    seconds: float
    hard_seconds: float
    last_seconds: float = math.inf

    @classmethod
    def within(cls, remaining_seconds: float, margin_seconds: float) -> TimeLimit:
        """What is left of the function's time, less the margin; half of the margin is for the orderly stop."""
        return cls(
            remaining_seconds - margin_seconds,
            remaining_seconds - margin_seconds / 2,
            remaining_seconds - margin_seconds / 4,
        )


def out_of_time() -> errors.OutOfTimeError:
    """What a caller is told whose turn took longer than the function may."""
    return errors.OutOfTimeError("The function's time ran out. What was done so far is kept; the next turn goes on.")
