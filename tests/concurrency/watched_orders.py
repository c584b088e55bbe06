"""Two callers of one session take a turn each, and it is looked at each effect whether its fence is stored."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from strands import Agent
from strands.agent.conversation_manager import NullConversationManager
from strands.agent.state import AgentState

from agent_sessions._objects.read_ahead import ReadAhead
from agent_sessions._records.layout import Layout
from agent_sessions.exceptions import SessionBusyError, SessionConflictError, SessionNotFoundError, SessionStorageError
from agent_sessions.lease import SessionLease
from tests.concurrency.test_interleavings import Turn, World, check, held, texts_of
from tests.doubles.scripted_model import ScriptedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from tests.concurrency.greenlets import GreenletMachine, Observed

CALLERS = ("a", "b")


@dataclass(frozen=True)
class Case:
    """What two callers do: each takes a turn, or one takes a turn while the other erases the session.

    Attributes:
        mode: How a turn's messages are waited for: one of :data:`MODES`.
        leased: Whether each takes the lease first.
        past: Whether the session has a conversation with a base already; else both begin it.
        ahead: Whether what is restored is asked for while the lease is being taken.
        erases: Whether the second of them erases the session: see :mod:`erased_orders`.
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


@dataclass(frozen=True)
class Place:
    """Where the session is kept."""

    objects: Observed
    layout: Layout


@dataclass(eq=False)
class WatchedWorld(World):
    """Callers that look, at each effect of a turn, whether its first message is stored.

    Attributes:
        case: What they do.
        before: What was said before.
    """

    machine: GreenletMachine
    place: Place  # type: ignore[assignment] # a place all the same

    def __init__(self, case: Case, machine: GreenletMachine, objects: Observed) -> None:
        super().__init__(machine, Place(objects, Layout()))  # type: ignore[arg-type] # as above
        self.case = case
        self.before = said_in(objects.bodies)
        a_fresh_agent()  # made here, so that none of the callers draws for it

    def work(self) -> dict[str, Callable[[], object]]:
        """What each of the processes does, by its name."""
        return {name: partial(self.take_watched_turn, name) for name in CALLERS}

    def check(self) -> None:
        """See what holds when everybody has come to an end."""
        check(self)

    def outcome(self) -> Sequence[object]:
        """What is left of the callers that have begun: what :meth:`check` asks of them."""
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
        name, first = turn.name, turn.texts[0]

        def see(bodies: dict[str, Any]) -> None:
            assert first in said_in(bodies), f"{name} has an effect before its first message is stored"

        self.place.objects.look(see)

    def say(self, turn: Turn, number: int, agent: Agent, manager: RepositorySessionManager) -> None:
        """Add a message of a turn, as an agent's loop does."""
        message: Any = {"role": ("user", "assistant")[number], "content": [{"text": turn.texts[number]}]}
        agent.messages.append(message)
        manager.append_message(message, agent)
        manager.sync_agent(agent)

    def take_watched_turn(self, name: str) -> None:
        """Take a turn of two messages as the endpoint does: restore, say, answer."""
        case, turn = self.case, Turn(name, [f"{name}.0", f"{name}.1"])
        self.turns.append(turn)
        lease = SessionLease(
            self.place, "chat", holder=name, renew_seconds=None, clock=lambda: self.machine.now, sleep=self._sleep
        )
        try:
            ahead = ReadAhead(self.place.objects, self.place.layout, "chat") if case.ahead else None
            with held(lease, wait_seconds=40) if case.leased else contextlib.nullcontext():
                try:
                    agent, manager = self.begin(turn, lease, ahead)
                except SessionConflictError:
                    if ahead is None:
                        raise
                    agent, manager = self.begin(turn, lease, None)
                turn.shown = texts_of(agent)
                self.show(turn)
                self.say(turn, 1, agent, manager)
                agent.state.set("turns", [*(agent.state.get("turns") or []), name])
                manager.end_turn(agent)
            turn.replied = True
        except (SessionConflictError, SessionBusyError, SessionNotFoundError, SessionStorageError) as error:
            turn.refused = error

    def begin(self, turn: Turn, lease: SessionLease, ahead: ReadAhead | None) -> tuple[Agent, RepositorySessionManager]:
        """Restore, and say the turn's first message: it is known what became of it when this returns."""
        manager = self.manager(self.case.mode, lease if self.case.leased else None, ahead)
        agent = self.agent(manager)
        turn.restored = texts_of(agent)
        manager.begin_turn(agent)
        self.say(turn, 0, agent, manager)
        if manager.awaits_fence(agent):
            manager._stored(agent).settle_fence()  # what the model's first word waits for
        return agent, manager

    def _sleep(self, seconds: float) -> None:
        """Wait for the lease to change hands, or for time to pass."""
        self.place.objects.wait_for_change(self.place.layout.lease("chat"))


def stored_in(bodies: dict[str, Any]) -> list[Any]:
    """The records of the messages that are stored, in order up to the first gap."""
    folder = Layout().messages_folder("chat", "default")
    found: list[Any] = []
    while (held := bodies.get(f"{folder}message_{len(found)}.json")) is not None:
        found.append(json.loads(held[0]))
    return found


def said_in(bodies: dict[str, Any]) -> list[str]:
    """What the messages say that are stored, in order up to the first gap."""
    return [record["message"]["content"][0]["text"] for record in stored_in(bodies)]


@cache
def a_fresh_agent() -> Agent:
    """An agent that nobody has used."""
    return Agent(model=ScriptedModel(), callback_handler=None)
