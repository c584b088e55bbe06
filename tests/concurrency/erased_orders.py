"""One caller takes a turn while another erases the session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agent_sessions._objects.object_repository import ObjectSessionRepository
from tests.concurrency.greenlets import Observed
from tests.concurrency.watched_orders import CALLERS, WatchedWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands import Agent

    from agent_sessions._objects.read_ahead import ReadAhead
    from agent_sessions.lease import SessionLease
    from agent_sessions.repository_session_manager import RepositorySessionManager
    from tests.concurrency.test_interleavings import Turn

# Notes that the test leaves beside the session, at the moment when something is so. No caller reads them.
ERASED = "the erasure has come to its end"
TOO_LATE = "it had, when the turn's caller had the lease"
NOTHING = (b"", None)


class ErasedWorld(WatchedWorld):
    """One caller takes a turn while another erases the session."""

    def work(self) -> dict[str, Callable[[], object]]:
        """What each of the processes does, by its name."""
        taking, erasing = CALLERS
        return {taking: partial(self.take_watched_turn, taking), erasing: self.erase}

    def erase(self) -> None:
        """Erase the session, and say so when it is gone."""
        objects = self.place.objects
        ObjectSessionRepository(ErasersObjects.of(objects), self.place.layout).delete_session("chat")
        objects.look(lambda bodies: bodies.update({ERASED: NOTHING}))

    def begin(self, turn: Turn, lease: SessionLease, ahead: ReadAhead | None) -> tuple[Agent, RepositorySessionManager]:
        """Begin the turn, and note whether the erasure had come to its end before."""

        def note(bodies: dict[str, Any]) -> None:
            bodies.pop(TOO_LATE, None)
            if ERASED in bodies:
                bodies[TOO_LATE] = NOTHING

        self.place.objects.look(note)
        return super().begin(turn, lease, ahead)

    def show(self, turn: Turn) -> None:
        """Have the turn's first effect: never behind what had been erased when the turn began."""
        name, restored = turn.name, turn.restored
        assert restored is not None

        def see(bodies: dict[str, Any]) -> None:
            assert not (restored and TOO_LATE in bodies), f"{name} has an effect behind {restored}"

        self.place.objects.look(see)

    def check(self) -> None:
        """See that what was erased is gone, that nothing is left of half a life, and that the session goes on."""
        self.machine.now += 60  # a lease that was left behind has run out
        was_erased = self.place.objects.bodies.pop(ERASED, None) is not None
        self.place.objects.bodies.pop(TOO_LATE, None)
        store = ObjectSessionRepository(self.place.objects, self.place.layout)
        stored = self.stored() if store.read_session("chat") is not None else []
        lives = not was_erased and stored[: len(self.before)] == self.before
        assert lives or not set(self.before) & set(stored), f"erased, and still there: {stored}"
        after = self.take_turn("after", "turn", 2, leased=True)
        assert after.replied, f"the session does not go on: {after.refused!r}"
        assert after.shown is not None
        assert after.shown[: len(stored)] == stored, f"{after.shown} of {stored}"
        assert self.stored() == [*after.shown[:-1], *after.texts]


class ErasersObjects(Observed):
    """Objects that an eraser asks for one after the other, as it does on S3."""

    executor = None  # type: ignore[assignment] # nothing goes beside the caller

    @classmethod
    def of(cls, objects: Observed) -> Observed:
        """The same objects."""
        kind: Any = type(cls.__name__, (cls, type(objects)), {})
        same: Observed = kind.__new__(kind)
        same.__dict__ = objects.__dict__
        return same
