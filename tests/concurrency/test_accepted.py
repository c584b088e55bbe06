"""Every order of the requests of those who promise a turn, take it, wait for it and cancel it.

It is taken once, whoever is told that it will be cancelled is told the truth, and its record is gone when it is over.
``AGENT_SESSIONS_SEEDS=5000`` tries more.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent_sessions.accepted_turns import AcceptedTurn
from agent_sessions.exceptions import SessionException, SessionNotFoundError
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import ObjectSessionStore
from agent_sessions.turn_request import TurnRequest
from lambda_src.answers.errors import EndpointError
from lambda_src.turn_resource.accepted import AwaitedTurn, find_turn, is_over
from lambda_src.turn_resource.taking import TakenTurn
from lambda_src.turns.turn_events import MessageStored, Restored
from tests.concurrency.test_followers import sleep
from tests.concurrency.test_interleavings import World, held, world_of  # noqa: F401 - a fixture

SEEDS = int(os.environ.get("AGENT_SESSIONS_SEEDS", "100"))
TURN_ID, KEY = "the-turn", "key"
PROMISE = AcceptedTurn(TURN_ID, "default", "body", time.time())


@dataclass
class Scene:
    """What the callers know of each other's doings."""

    world: World
    promising: int = 1
    promised: int = 0
    taken: list[str] = field(default_factory=list)
    wishes: int = 0
    seen: list[int] = field(default_factory=list)
    ended: str | None = None

    @property
    def store(self) -> ObjectSessionStore:
        return ObjectSessionStore(self.world.place.objects, self.world.place.layout.prefix)

    def wait_until_promised(self) -> None:
        while self.promising and self.world.machine.now < 1_000_100:
            sleep(self.world, 0.2)


def promise(scene: Scene) -> None:
    _, is_new = scene.store.accepted_turns("chat").accept(PROMISE, begins_session=True, replaces=is_over)
    scene.promised += is_new
    scene.promising -= 1


def take(scene: Scene, name: str) -> None:
    """Take the turn as the endpoint does: with the lease, once, looking whether it is to stop."""
    scene.wait_until_promised()
    world = scene.world
    lease = SessionLease(
        world.place,
        "chat",
        holder=name,
        renew_seconds=None,
        duration_seconds=900,
        clock=lambda: world.machine.now,
        sleep=partial(sleep, world),
    )
    taken = TakenTurn(scene.store, "chat", "default", TURN_ID, lambda: math.inf)
    with contextlib.suppress(EndpointError, SessionException), taken, held(lease, wait_seconds=200):
        taken.look_up()
        manager = taken.checked(world.manager("turn", lease))
        agent = world.agent(manager)
        manager.catch_up(agent)
        if manager.find_turn(agent, KEY) is not None:
            taken.note(Restored("default", 0, TURN_ID))  # the reply is sent again
            return
        manager.answer_request(agent, TurnRequest(TURN_ID, KEY, "body"))
        manager.begin_turn(agent)
        is_cancelled = taken.is_cancelled("default", TURN_ID)
        for number, role in enumerate(("user", "assistant")):
            message: Any = {"role": role, "content": [{"text": f"turn.{number}"}]}
            agent.messages.append(message)
            manager.append_message(message, agent)
            manager.sync_agent(agent)
            taken.note(Restored("default", 0, TURN_ID))
            is_cancelled = is_cancelled or taken.is_cancelled("default", TURN_ID)
        stop_reason = "cancelled" if is_cancelled else "end_turn"
        reply = {"stop_reason": stop_reason, "interrupts": [], "usage": {}, "restored_messages": 0}
        manager.conclude_turn(agent, {"reply": reply})
        manager.end_turn(agent)
        scene.taken.append(stop_reason)


def cancel(scene: Scene) -> None:
    scene.wait_until_promised()
    turn = find_turn(scene.store, "chat", "default", TURN_ID)
    if isinstance(turn, AwaitedTurn):
        scene.wishes += turn.cancel()


def follow(scene: Scene) -> None:
    scene.wait_until_promised()
    turn = find_turn(scene.store, "chat", "default", TURN_ID)

    def watch(event: Any) -> None:
        if isinstance(event, MessageStored):
            scene.seen.append(event.message_id)

    try:
        scene.ended = str(turn.follow(watch, sleep=partial(sleep, scene.world))["stop_reason"])
    except EndpointError as error:
        scene.ended = error.slug


def test_in_any_interleaving_an_accepted_turn_is_taken_once_and_no_wish_is_lost(
    world_of: Callable[..., World],  # noqa: F811 - the fixture
) -> None:
    wishes = ends = 0
    for seed in range(SEEDS):
        world = world_of(seed)
        scene = Scene(world)
        draw, machine = world.machine.random, world.machine
        scene.promising = draw.choice((1, 2))
        processes = [machine.start("promise", partial(promise, scene)) for _ in range(scene.promising)]
        takers = ("one", "two")[: draw.choice((1, 2))]
        processes += [machine.start(f"take {name}", partial(take, scene, name)) for name in takers]
        if draw.random() < 0.7:
            processes.append(machine.start("cancel", partial(cancel, scene)))
        processes.append(machine.start("follow", partial(follow, scene)))
        try:
            machine.run()
            for process in processes:
                assert process.error is None, repr(process.error)
            assert scene.promised == 1
            assert len(scene.taken) == 1, scene.taken
            assert world.stored() == ["turn.0", "turn.1"]
            assert not scene.wishes or scene.taken == ["cancelled"], "a wish was lost"
            assert (scene.seen, scene.ended) == ([0, 1], scene.taken[0])
            assert scene.store.accepted_turns("chat").read(TURN_ID) is None
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(machine.history)) from error
        wishes += scene.wishes
        ends += not scene.wishes

    assert min(wishes, ends) > SEEDS / 10


def test_in_any_interleaving_an_erased_session_does_not_get_the_turn(
    world_of: Callable[..., World],  # noqa: F811 - the fixture
) -> None:
    def erase(scene: Scene) -> None:
        scene.wait_until_promised()
        with contextlib.suppress(SessionNotFoundError):
            scene.store.delete_session("chat")

    for seed in range(SEEDS):
        world = world_of(seed)
        scene = Scene(world)
        machine = world.machine
        processes = [
            machine.start("promise", partial(promise, scene)),
            machine.start("erase", partial(erase, scene)),
            machine.start("take", partial(take, scene, "one")),
        ]
        try:
            machine.run()
            for process in processes:
                assert process.error is None, repr(process.error)
            keys = list(world.place.objects.bodies)
            assert not [key for key in keys if "message_" in key or "turn_" in key], keys
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(machine.history)) from error
