"""Every order of the requests of several callers, as far as a few hundred seeds go: nothing is lost, mixed or missing.

``AGENT_SESSIONS_SEEDS=5000`` tries more of them.
"""

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from strands import Agent
from strands.agent.conversation_manager import NullConversationManager

from agent_sessions._objects import ordered_writer as write_behind
from agent_sessions._objects import tail_and_base as history
from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._objects.read_ahead import ReadAhead
from agent_sessions._records import background
from agent_sessions._records.layout import message_id_of
from agent_sessions.exceptions import SessionBusyError, SessionConflictError, SessionException, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.repository_session_manager import RepositorySessionManager
from tests.concurrency.interleaving import InterleavedPlace, Machine
from tests.conftest import TOTAL
from tests.doubles.scripted_model import ScriptedModel

MODES = ("message", "turn", "effects")
"""``effects`` is ``durability="turn"`` with ``fence="effects"``."""

SEEDS = int(os.environ.get("AGENT_SESSIONS_SEEDS", "200"))


@dataclass(eq=False)
class Turn:
    """A turn somebody takes, and what became of it."""

    name: str
    texts: list[str]
    replied: bool = False
    refused: BaseException | None = None
    restored: list[str] | None = None
    shown: list[str] | None = None  # to the model, when it is called for the first time
    redacted: bool = False  # what was said first has been taken back


@dataclass(eq=False)
class World:
    """A session, and callers of it."""

    machine: Machine
    place: InterleavedPlace
    turns: list[Turn] = field(default_factory=list)

    def manager(
        self, durability: Any, lease: SessionLease | None = None, ahead: ReadAhead | None = None
    ) -> RepositorySessionManager:
        """A manager of one of :data:`MODES`."""
        fence: Any = "effects" if durability == "effects" else "model"
        durability = "turn" if durability == "effects" else durability
        repository = ObjectSessionRepository(
            *(self.place.objects, self.place.layout),
            durability=durability,
            fence=fence,
            consolidates=True,
            lease=lease,
            read_ahead=ahead,
        )
        return RepositorySessionManager("chat", repository)

    def agent(self, manager: RepositorySessionManager) -> Agent:
        return Agent(
            model=ScriptedModel(),
            session_manager=manager,
            conversation_manager=NullConversationManager(),
            callback_handler=None,
        )

    def take_turn(
        self, name: str, durability: Any, messages: int, *, leased: bool = False, redacts: bool = False
    ) -> Turn:
        """Restore, and say so many things one after the other, as an agent's loop does.

        Who redacts says a secret first, and takes it back.
        """
        turn = Turn(name, [f"{name}.{number}" for number in range(messages)])
        self.turns.append(turn)
        lease = SessionLease(
            self.place, "chat", holder=name, renew_seconds=None, clock=lambda: self.machine.now, sleep=self._sleep
        )
        try:
            with held(lease, wait_seconds=40) if leased else contextlib.nullcontext():
                manager = self.manager(durability, lease if leased else None)
                agent = self.agent(manager)
                turn.restored = texts_of(agent)
                manager.begin_turn(agent)
                for number, text in enumerate(turn.texts):
                    said = f"secret {name}" if redacts and number == 0 else text
                    message: Any = {"role": ("user", "assistant")[number % 2], "content": [{"text": said}]}
                    agent.messages.append(message)
                    manager.append_message(message, agent)
                    manager.sync_agent(agent)
                    if manager.awaits_fence(agent):
                        self.machine.pause("ask the model")
                        manager._stored(agent).settle_fence()  # what the model's first word waits for
                        self._check_fence(turn, agent)
                    if said != text:
                        message["content"] = [{"text": text}]
                        manager.redact_latest_message(message, agent)
                        turn.redacted = True
                    turn.shown = turn.shown or texts_of(agent)
                agent.state.set("turns", [*(agent.state.get("turns") or []), name])
                manager.end_turn(agent)
            turn.replied = True
        except (SessionConflictError, SessionBusyError, SessionStorageError) as error:
            turn.refused = error
        return turn

    def _check_fence(self, turn: Turn, agent: Agent) -> None:
        """An effect follows: what fences it is stored, behind exactly what the model has been shown."""
        own = next(index for index, message in enumerate(agent.messages) if _said(message) == turn.texts[0])
        folder = self.place.layout.messages_folder("chat", "default")
        bodies = [self.place.objects.bodies.get(f"{folder}message_{number}.json") for number in range(own + 1)]
        assert bodies[own] is not None, f"{turn.name} has an effect before its fence"
        said = [_said(json.loads(body[0])["message"]) for body in bodies if body is not None]
        assert said == texts_of(agent)[: own + 1], f"{turn.name}: {said}"

    def _sleep(self, seconds: float) -> None:
        until = self.machine.now + seconds
        while self.machine.now < until:
            self.machine.now += 0.05
            self.machine.pause("sleep")

    def stored(self) -> list[str]:
        records = ObjectSessionRepository(self.place.objects, self.place.layout).list_messages("chat", "default")
        assert [record.message_id for record in records] == list(range(len(records))), "a gap"
        return [_said(record.message) for record in records]


@contextlib.contextmanager
def held(lease: SessionLease, wait_seconds: float) -> Any:
    lease.acquire(wait_seconds=wait_seconds)
    try:
        yield
    except SessionException as error:
        lease.release(whole=not isinstance(error, SessionStorageError))
        raise
    lease.release()


def texts_of(agent: Agent) -> list[str]:
    return [_said(message) for message in agent.messages]


def _said(message: Any) -> str:
    """A message's text; a secret counts as what it is to be replaced with."""
    text: str = message["content"][0]["text"]
    return f"{text.removeprefix('secret ')}.0" if text.startswith("secret ") else text


@pytest.fixture
def world_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    # A base after every other turn, so that its writing takes part.
    monkeypatch.setattr(history, "SMALLEST_BASE_BYTES", 400)
    monkeypatch.setattr(history, "TAIL_PER_ROOT", 1)

    def make(seed: int, **chances: float) -> World:
        machine = Machine(seed, **chances)
        monkeypatch.setattr(write_behind, "Condition", machine.condition)
        monkeypatch.setattr(write_behind, "Event", machine.event)
        monkeypatch.setattr(background, "threading", SimpleNamespace(Event=machine.event))
        return World(machine, InterleavedPlace(machine))

    return make


CASES = [
    pytest.param(False, 0.0, 0.0, id="callers that live"),
    pytest.param(False, 0.02, 0.0, id="callers that die"),
    pytest.param(False, 0.0, 0.03, id="answers that are lost"),
    pytest.param(True, 0.0, 0.0, id="callers with the lease that live"),
    pytest.param(True, 0.02, 0.03, id="callers with the lease that die, and lost answers"),
]


@pytest.mark.parametrize(("leased", "kills", "lost_answers"), CASES)
def test_in_any_order_of_requests_every_turn_is_whole_or_refused(
    leased: bool,
    kills: float,
    lost_answers: float,
    world_of: Callable[..., World],
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    replied = refused = died = steps = 0
    for seed in range(SEEDS):
        world = world_of(seed)
        draw = world.machine.random
        for number in range(draw.randrange(3)):
            world.take_turn(f"before{number}", draw.choice(MODES), 2)
        world.machine.kills, world.machine.lost_answers = kills, lost_answers

        def caller(name: str) -> Callable[[], None]:
            plans = [
                (draw.choice(MODES), draw.choice((2, 4)), draw.random() < 0.25)  # noqa: B023 - called now
                for _ in range(draw.choice((1, 1, 2)))  # noqa: B023 - called now
            ]

            def work() -> None:
                for number, (durability, messages, redacts) in enumerate(plans):
                    world.take_turn(f"{name}{number}", durability, messages, leased=leased, redacts=redacts)  # noqa: B023 - run before the next seed

            return work

        processes = [world.machine.start(name, caller(name)) for name in "abc"[: draw.choice((2, 2, 3))]]
        try:
            world.machine.run()
            check(world)
            for process in processes:
                assert process.dead or process.error is None, repr(process.error)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(world.machine.history)) from error
        replied += sum(turn.replied for turn in world.turns)
        refused += sum(turn.refused is not None for turn in world.turns)
        died += sum(process.dead for process in processes)
        steps += len(world.machine.history)
    assert replied > SEEDS
    assert (died > 0) is (kills > 0)
    case = request.node.callspec.id
    for what, value in (
        ("orders", SEEDS),
        ("requests and waits", steps),
        ("turns kept", replied),
        ("refused", refused),
    ):
        record_property(f"{TOTAL}interleavings, {case}: {what}", value)
    record_property(f"{TOTAL}interleavings, {case}: turns lost or mixed", 0)


def check_gaps(world: World) -> None:
    """No message is missing in the middle, but one whose copy the agent's record says may have to be stored yet."""
    folder = world.place.layout.messages_folder("chat", "default")
    ids = {message_id_of(key) for key in world.place.objects.bodies if key.startswith(folder)}
    missing = set(range(len(ids))) - ids
    found = world.place.objects.stored(world.place.layout.agent("chat", "default"))
    log = (json.loads(found.body)["kit"].get("log") if found else None) or {}
    assert missing <= ({log["next_id"] - 1} if log.get("unconfirmed") else set()), f"a gap: {missing}"


def check(world: World) -> None:
    """What holds when everybody has come to an end, and after one more turn of somebody who is alone."""
    check_gaps(world)
    world.machine.now += 60  # a lease that was left behind has run out
    world.machine.lost_answers = 0
    settled = world.take_turn("after", "turn", 2, leased=True)
    assert settled.replied, f"the session does not go on: {settled.refused!r}"
    stored = world.stored()
    assert stored[-2:] == settled.texts

    for turn in world.turns:
        there = [text for text in stored if text in turn.texts]
        first = stored.index(there[0]) if there else 0
        assert stored[first : first + len(there)] == there, f"not in one piece: {turn.texts} in {stored}"
        assert there == turn.texts[: len(there)], f"not from its beginning: {turn.texts} in {stored}"
        assert not turn.replied or there == turn.texts, f"lost: {turn.texts} in {stored}"
        # The model is shown what happened; a restore, too, but for the last message of a turn that was refused for it.
        assert turn.shown is None or turn.shown == stored[: len(turn.shown)], f"{turn.shown} of {stored}"
        if turn.restored and turn.restored != stored[: len(turn.restored)]:
            refused = [text for other in world.turns if not other.replied for text in other.texts[1:]]
            assert turn.restored[-1] in refused, f"{turn.restored} of {stored}"
            assert turn.restored[:-1] == stored[: len(turn.restored) - 1], f"{turn.restored} of {stored}"
    for turn in world.turns:
        held = [key for key, (body, _) in world.place.objects.bodies.items() if f"secret {turn.name}".encode() in body]
        assert not (turn.redacted and held), f"{turn.name} was redacted, and is left in {held}"
    last = world.agent(world.manager("message"))
    assert texts_of(last) == stored
    # Each turn adds its name to the agent's state: one that wrote over another's would show.
    counted = [name for name in last.state.get("turns") or [] if any(t.name == name and t.replied for t in world.turns)]
    assert counted == sorted(
        (turn.name for turn in world.turns if turn.replied), key=lambda name: stored.index(f"{name}.0")
    )
