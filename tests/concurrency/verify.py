"""Two callers of one session, one turn each, in every order of their requests, with one death at every point.

``make verify`` tries them all and prints how many there were; ``make verify ARGS="--runs 200 --seed 7"`` a part.
"""

import argparse
import contextlib
import copy
import json
import logging
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from strands import Agent
from strands.agent.conversation_manager import NullConversationManager
from strands.agent.state import AgentState

from agent_sessions._objects import ordered_writer, tail_and_base
from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._objects.read_ahead import ReadAhead
from agent_sessions._records import background
from agent_sessions.exceptions import SessionBusyError, SessionConflictError, SessionNotFoundError, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.sweeps import Choose, ListedVersion, Swept
from tests.concurrency.every_order import ChosenMachine, ObservedObjects, Orders, SeenBeforeError, Untried
from tests.concurrency.interleaving import InterleavedObjects, Machine
from tests.concurrency.keyed_orders import KeyedCallers
from tests.concurrency.test_interleavings import MODES, Turn, World, check, held, texts_of
from tests.doubles.scripted_model import ScriptedModel

CALLERS = ("a", "b")

TOLD_EVERY_SECONDS = 60


@dataclass(frozen=True)
class Case:
    """What two callers do: each takes a turn, or one takes a turn while the other erases the session.

    Attributes:
        mode: How a turn's messages are waited for: one of :data:`MODES`.
        leased: Whether each takes the lease first.
        past: Whether the session has a conversation with a base already; else both begin it.
        ahead: Whether what is restored is asked for while the lease is being taken.
        erases: Whether the second of them erases the session.
        keyed: Whether both send the same request with the same Idempotency-Key: see :mod:`keyed_orders`.
        deaths: How many of them may die.
    """

    mode: str
    leased: bool
    past: bool
    ahead: bool = False
    erases: bool = False
    keyed: bool = False
    deaths: int = 1

    def __str__(self) -> str:
        lease = "read beside the lease" if self.ahead else "with the lease" if self.leased else "no lease"
        session = "a session with a past" if self.past else "a new session"
        key = ", one key" if self.keyed else ""
        return f"{self.mode}, {lease}, {'an erased session' if self.erases else session}{key}"


CASES = [Case(mode, leased, past) for mode in MODES for leased in (False, True) for past in (False, True)]
CASES += [Case(mode, leased=True, past=past, ahead=True) for mode in MODES for past in (False, True)]
CASES += [Case(mode, leased=ahead, past=True, ahead=ahead, erases=True) for mode in MODES for ahead in (False, True)]
CASES += [
    Case(mode, leased=True, past=past, ahead=ahead, keyed=True)
    for mode in ("effects", "turn")
    for ahead in (False, True)
    for past in (False, True)
]


class ChosenPlace:
    """Where the session is kept."""

    def __init__(self, machine: ChosenMachine) -> None:
        from agent_sessions._records.layout import Layout

        self.objects = ObservedObjects(machine)
        self.layout = Layout()


class WatchedWorld(World):
    """Callers that look, at each effect of a turn, whether its first message is stored."""

    effects = 0

    def callers(self, case: Case) -> dict[str, Callable[[], object]]:
        """What each of the processes does, by its name."""
        return {name: partial(self.take_watched_turn, name, case) for name in CALLERS}

    def check(self) -> None:
        """See what holds when everybody has come to an end."""
        check(self)

    def outcome(self) -> object:
        """What is left of the callers that have ended: what :meth:`check` asks of them."""
        return [
            (turn.name, turn.replied, type(turn.refused).__name__, turn.restored, turn.shown) for turn in self.turns
        ]

    def agent(self, manager: RepositorySessionManager) -> Agent:
        """A new agent, restored. To copy a fresh one takes a tenth of the time it takes to make one."""
        agent = copy.copy(a_fresh_agent())
        agent.messages = []
        agent.state = AgentState()
        agent.conversation_manager = NullConversationManager()
        agent._interrupt_state = copy.deepcopy(agent._interrupt_state)
        manager.initialize(agent)
        return agent

    def show(self, turn: Turn) -> None:
        """Have the turn's first effect."""
        key = self.place.layout.messages_folder("chat", "default")
        said = f'"{turn.texts[0]}"'.encode()
        assert any(name.startswith(key) and said in body for name, (body, _) in self.place.objects.bodies.items()), (
            f"{turn.name} has an effect before its first message is stored"
        )
        self.effects += 1

    def say(self, turn: Turn, number: int, agent: Agent, manager: RepositorySessionManager) -> None:
        """Add a message of a turn, as an agent's loop does."""
        message: Any = {"role": ("user", "assistant")[number], "content": [{"text": turn.texts[number]}]}
        agent.messages.append(message)
        manager.append_message(message, agent)
        manager.sync_agent(agent)

    def take_watched_turn(self, name: str, case: Case) -> None:
        """Take a turn of two messages as the endpoint does: restore, say, answer."""
        turn = Turn(name, [f"{name}.0", f"{name}.1"])
        self.turns.append(turn)
        lease = SessionLease(
            self.place, "chat", holder=name, renew_seconds=None, clock=lambda: self.machine.now, sleep=self._sleep
        )
        try:
            ahead = ReadAhead(self.place.objects, self.place.layout, "chat") if case.ahead else None
            with held(lease, wait_seconds=40) if case.leased else contextlib.nullcontext():
                try:
                    agent, manager = self.begin(turn, case, lease, ahead)
                except SessionConflictError:
                    if ahead is None:
                        raise
                    agent, manager = self.begin(turn, case, lease, None)
                turn.shown = texts_of(agent)
                self.show(turn)
                self.say(turn, 1, agent, manager)
                agent.state.set("turns", [*(agent.state.get("turns") or []), name])
                manager.end_turn(agent)
            turn.replied = True
        except (SessionConflictError, SessionBusyError, SessionNotFoundError, SessionStorageError) as error:
            turn.refused = error

    def begin(
        self, turn: Turn, case: Case, lease: SessionLease, ahead: ReadAhead | None
    ) -> tuple[Agent, RepositorySessionManager]:
        """Restore, and say the turn's first message: it is known what became of it when this returns."""
        manager = self.manager(case.mode, lease if case.leased else None, ahead)
        agent = self.agent(manager)
        turn.restored = texts_of(agent)
        manager.begin_turn(agent)
        self.say(turn, 0, agent, manager)
        if manager.awaits_fence(agent):
            manager._stored(agent).settle_fence()  # what the model's first word waits for
        return agent, manager

    def _sleep(self, seconds: float) -> None:
        """Wait for the lease to change hands, or for time to pass."""
        objects, key = self.place.objects, self.place.layout.lease("chat")
        assert isinstance(objects, ObservedObjects)
        before = objects.versions.get(key)
        self.machine.pause("sleep", lambda: objects.versions.get(key) != before)


class ErasersObjects(ObservedObjects):
    """Objects that an eraser asks for one after the other, and deletes with one request, as it does on S3."""

    executor = None  # type: ignore[assignment] # nothing goes beside the caller

    @classmethod
    def of(cls, objects: InterleavedObjects) -> "ErasersObjects":
        """The same objects."""
        same = cls.__new__(cls)
        same.__dict__ = objects.__dict__
        return same

    def sweep(self, prefix: str, choose: Choose, *, still: Callable[[], bool] | None = None, behind: str = "") -> Swept:
        listed, _ = self.list_versions(prefix, behind=behind)
        doomed = choose(listed)
        if not doomed or (still is not None and not still()):
            return Swept(())
        named = " ".join(entry.key.rpartition("/")[2] for entry in doomed)  # by which the machine knows who reads them
        return self._write(f"DELETE {named}", lambda: self._delete_listed(doomed))

    def _delete_listed(self, doomed: Sequence[ListedVersion]) -> Swept:
        fates = [(entry, self.stored(entry.key)) for entry in doomed]
        gone = [entry for entry, found in fates if found is not None and found.etag == entry.etag]
        self._delete([entry.key for entry in gone])
        return Swept(gone, changed=any(found is not None and found.etag != entry.etag for entry, found in fates))


class KeyedWorld(KeyedCallers, WatchedWorld):
    """Both callers send one request with one key."""


class ErasedWorld(WatchedWorld):
    """One caller takes a turn while another erases the session."""

    was_erased = False  # the erasure has come to its end
    came_too_late = False  # and it had, when the turn's caller had the lease

    def callers(self, case: Case) -> dict[str, Callable[[], object]]:
        taking, erasing = CALLERS
        return {taking: partial(self.take_watched_turn, taking, case), erasing: self.erase}

    def erase(self) -> None:
        """Erase the session, and say so when it is gone."""
        ObjectSessionRepository(ErasersObjects.of(self.place.objects), self.place.layout).delete_session("chat")
        self.was_erased = True

    def begin(self, *arguments: Any) -> tuple[Agent, RepositorySessionManager]:
        self.came_too_late = self.was_erased
        return super().begin(*arguments)

    def show(self, turn: Turn) -> None:
        """Have the turn's first effect: never behind what had been erased when the turn began."""
        assert turn.restored is not None
        assert not (self.came_too_late and turn.restored), f"{turn.name} has an effect behind {turn.restored}"
        self.effects += 1

    def check(self) -> None:
        """See that what was erased is gone, that nothing is left of half a life, and that the session goes on."""
        self.machine.now += 60  # a lease that was left behind has run out
        store = ObjectSessionRepository(self.place.objects, self.place.layout)
        stored = self.stored() if store.read_session("chat") is not None else []
        before = past_of(a_past())
        lives = not self.was_erased and stored[: len(before)] == before
        assert lives or not set(before) & set(stored), f"erased, and still there: {stored}"
        after = self.take_turn("after", "turn", 2, leased=True)
        assert after.replied, f"the session does not go on: {after.refused!r}"
        assert after.shown is not None
        assert after.shown[: len(stored)] == stored, f"{after.shown} of {stored}"
        assert self.stored() == [*after.shown[:-1], *after.texts]


@contextlib.contextmanager
def threads_of(machine: Machine) -> Iterator[None]:
    """Have the session library wait as the machine does. A base is written after every other turn."""
    with (
        patch.object(tail_and_base, "SMALLEST_BASE_BYTES", 400),
        patch.object(tail_and_base, "TAIL_PER_ROOT", 1),
        patch.object(ordered_writer, "Condition", machine.condition),
        patch.object(ordered_writer, "Event", machine.event),
        patch.object(background, "threading", SimpleNamespace(Event=machine.event)),
    ):
        yield


@cache
def a_fresh_agent() -> Agent:
    """An agent that nobody has used."""
    return Agent(model=ScriptedModel(), callback_handler=None)


@cache
def a_past(*, keyed: bool = False) -> dict[str, Any]:
    """What a session holds after three turns. The turns of the endpoint say which requests they have answered."""
    machine = Machine(0)
    with threads_of(machine):
        if keyed:
            known = KeyedWorld(machine, ChosenPlace(ChosenMachine(Untried([], 1.0), Orders())))  # type: ignore[arg-type] # a place all the same
            known.live_through(Case("turn", leased=True, past=True), [f"past{number}" for number in range(3)])
            return dict(known.place.objects.bodies)
        world = World(machine, ChosenPlace(ChosenMachine(Untried([], 1.0), Orders())))  # type: ignore[arg-type] # a place all the same
        for number in range(3):
            assert world.take_turn(f"past{number}", "turn", 2).replied
    return dict(world.place.objects.bodies)


def past_of(bodies: dict[str, Any]) -> list[str]:
    """What was said in a past session."""
    said = [
        json.loads(body)["message"]["content"][0]["text"] for key, (body, _) in bodies.items() if "/message_" in key
    ]
    return sorted(said)


def run_once(case: Case, plan: Untried, orders: Orders) -> int:
    """Run the callers along the beginning of a run, and on.

    Returns:
        How many effects were seen.
    """
    delays = 1 if case.leased else 0
    machine = ChosenMachine(plan, orders, deaths=case.deaths, delays=delays, alike=not case.erases)
    place = ChosenPlace(machine)
    kind = ErasedWorld if case.erases else KeyedWorld if case.keyed else WatchedWorld
    world = kind(machine, place)  # type: ignore[arg-type] # a place all the same
    machine.outcome = world.outcome
    with threads_of(machine):
        if case.past:
            place.objects.begin_with(a_past(keyed=True) if case.keyed else a_past())
        processes = [machine.start(name, work) for name, work in world.callers(case).items()]
        try:
            with contextlib.suppress(SeenBeforeError):
                machine.run()
            for process in processes:
                assert process.dead or process.error is None, repr(process.error)
            if machine.is_new_end:
                world.check()
        except AssertionError as error:
            raise AssertionError(f"{case}; plan {machine.taken}: {error}\n" + "\n".join(machine.history)) from error
    return world.effects


def verify(case: Case, *, runs: int | None = None, seed: int = 0, seconds: float = math.inf) -> tuple[Orders, int]:
    """Try every order, or so many runs of them, drawn by a seed, or as many as there is time for.

    Returns:
        What was tried, and how many effects were seen.
    """
    orders, draw, effects = Orders(), random.Random(seed), 0
    told = began = time.monotonic()
    while orders.untried and (runs is None or orders.runs < runs) and time.monotonic() - began < seconds:
        if time.monotonic() - told > TOLD_EVERY_SECONDS:
            told = time.monotonic()
            sys.stderr.write(f"{case!s:52} {orders.runs:7,} runs, about {orders.share_tried:.2%} of all orders\n")
        which = draw.randrange(len(orders.untried)) if runs is not None else -1
        effects += run_once(case, orders.untried.pop(which), orders)
    return orders, effects


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make verify", description=__doc__)
    parser.add_argument("--runs", type=int, help="try so many runs of each case, drawn by the seed; all without it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="try no longer than this at each case")
    parser.add_argument("--case", type=int, choices=range(len(CASES)), help="only this case, counted from 0")
    parser.add_argument("--deaths", type=int, default=1, help="how many of the two may die (1)")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # cut-off turns and refusals are what this is about
    say(f"{'case':52} {'runs':>7} {'states':>8} {'ends':>6} {'deaths':>7} {'effects':>8} {'left':>6} {'s':>6}")
    for case in CASES if arguments.case is None else [CASES[arguments.case]]:
        started = time.monotonic()
        orders, effects = verify(
            replace(case, deaths=arguments.deaths),
            runs=arguments.runs,
            seed=arguments.seed,
            seconds=60 * arguments.minutes,
        )
        say(
            f"{case!s:52} {orders.runs:7,} {orders.states:8,} {orders.ends:6,} {orders.deaths:7,} {effects:8,}"
            f" {len(orders.untried):6,} {time.monotonic() - started:6.0f}",
        )
    say("0 turns lost, 0 mixed, 0 effects before their fence")


if __name__ == "__main__":
    main()
