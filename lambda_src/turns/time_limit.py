"""How long a turn may take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lambda_src.answers import errors


@dataclass(frozen=True)
class TimeLimit:
    """How long a turn may take, counted from its start.

    Attributes:
        seconds: After so long the agent is asked to stop, in good order.
        hard_seconds: After so long it is stopped wherever it is, if it did not listen.
        last_seconds: After so long nobody waits for it, if it could not be stopped: a storage that does not answer,
            for example, keeps its thread.
    """

    seconds: float
    hard_seconds: float
    last_seconds: float = math.inf

    @classmethod
    def within(cls, remaining_seconds: float, margin_seconds: float) -> TimeLimit:
        """The function's time that is left, less the margin. Half of the margin is for the orderly stop."""
        return cls(
            remaining_seconds - margin_seconds,
            remaining_seconds - margin_seconds / 2,
            remaining_seconds - margin_seconds / 4,
        )


def out_of_time() -> errors.OutOfTimeError:
    """The error for a turn that took longer than the function may."""
    return errors.OutOfTimeError("The function's time ran out. What was done so far is kept; the next turn goes on.")
