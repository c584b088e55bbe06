"""The life of an agent's base, as values: what is known of the ``history.json`` that is stored, and what changes it.

::

                    seen: nothing
    UNSEEN ────────────────────────────► ABSENT ◄──────── removed, from anywhere
      │  │  seen: something                │
      │  └──────────────► STRAY            │ written
      │ read failed         │ ▲            ▼
      │             believed│ │let go   UNNAMED ◄── written, from anywhere
      ▼                     ▼ │            │
    UNKNOWN ◄── write failed  NAMED ◄──────┘ named: the agent's record has been written
                                             (let go meanwhile: STRAY)

A base is derived, so that whatever happens to it loses nothing. What it must not do is to hold a message that has been
redacted. So a base that no record names is removed: one that was found (``STRAY``) by the next turn, one of our own
(``UNNAMED``) when our record was refused. Where it is not known what is stored (``UNKNOWN``), whatever is there goes
before a message changes.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from agent_sessions._objects.tail_and_base import Base


class Phase(Enum):
    """What is known of the stored base."""

    UNSEEN = "It has been asked for, or not, and nobody has looked at the answer."
    ABSENT = "None is stored."
    STRAY = "One is stored that does not go with the agent's record, as far as this writer knows it."
    NAMED = "One is stored, and the agent's record names it."
    UNNAMED = "This writer has written one, and no record names it yet."
    UNKNOWN = "Reading or writing it has failed: something may be stored that nobody has seen."


class BaseState(NamedTuple):
    """What one writer knows of an agent's base.

    Attributes:
        phase: See :class:`Phase`.
        etag: The version that is stored, as far as it is known.
        base: The base that goes with the tail in memory; ``None`` when the tail is everything. In ``UNKNOWN`` it is the
            one before.
    """

    phase: Phase = Phase.UNSEEN
    etag: str | None = None
    base: Base | None = None

    # --- transitions ------------------------------------------------------------------------------------

    def seen(self, etag: str | None) -> BaseState:
        """What is stored has been looked at: a version, or nothing."""
        return BaseState(Phase.STRAY, etag) if etag else BaseState(Phase.ABSENT)

    def read_failed(self) -> BaseState:
        """The storage could not say what is stored."""
        return self._replace(phase=Phase.UNKNOWN)

    def believed(self, base: Base) -> BaseState:
        """What is stored goes with the agent's record."""
        return self._replace(phase=Phase.NAMED, base=base)

    def let_go(self) -> BaseState:
        """Nobody wants its messages any more: the next record does not name it."""
        phase = Phase.STRAY if self.phase is Phase.NAMED else self.phase
        return self._replace(phase=phase, base=None)

    def written(self, base: Base, etag: str) -> BaseState:
        """A new one stands in its place."""
        return BaseState(Phase.UNNAMED, etag, base)

    def write_failed(self) -> BaseState:
        """Whether a new one stands in its place nobody knows."""
        return self._replace(phase=Phase.UNKNOWN)

    def named(self) -> BaseState:
        """The agent's record has been written, and names what goes with the tail."""
        if self.phase is not Phase.UNNAMED:
            return self
        return self._replace(phase=Phase.NAMED if self.base is not None else Phase.STRAY)

    def removed(self) -> BaseState:
        """Nothing is stored any more, by this writer's doing."""
        return BaseState(Phase.ABSENT)

    # --- questions --------------------------------------------------------------------------------------

    @property
    def may_be_swept(self) -> bool:
        """Whether the next turn may remove what is stored: nobody's record names it."""
        return self.phase in {Phase.UNSEEN, Phase.STRAY} and self.base is None

    @property
    def to_withdraw(self) -> str | None:
        """The version to remove when the record that was to name it has been refused."""
        return self.etag if self.phase is Phase.UNNAMED else None

    def has_to_go_before(self, message_id: int) -> bool:
        """Whether what is stored holds a message that is about to change, or may hold it."""
        if self.base is not None and message_id > self.base.last_id:
            return self.phase is Phase.UNKNOWN
        return self.phase is not Phase.ABSENT
