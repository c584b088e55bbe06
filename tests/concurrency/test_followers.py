"""Every order of the requests of a turn, of those who follow it and of one who cancels it.

A follower never sees what is not stored, and sees it in the log's order; ``AGENT_SESSIONS_SEEDS=5000`` tries more.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from agent_sessions._objects.cancelling import ask_to_cancel, is_asked_to_cancel
from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.lease import SessionLease
from agent_sessions.turn_reader import TurnReader
from agent_sessions.turn_request import TurnRequest
from lambda_src.answers.errors import EndpointError
from lambda_src.turn_resource.following import FollowedTurn
from lambda_src.turns.turn_events import MessageStored
from tests.concurrency.test_interleavings import World, _held, world_of  # noqa: F401 - a fixture

SEEDS = int(os.environ.get("AGENT_SESSIONS_SEEDS", "100"))
TURN_ID = "the-turn"


@dataclass
class Seen:
    """What a follower was told."""

    ids: list[int] = field(default_factory=list)
    ended: str | None = None


def sleep(world: World, seconds: float) -> None:
    world.machine.now += seconds
    world.machine.pause("sleep")


def take_turn(world: World, messages: int) -> None:
    """Take the turn, as the endpoint does; it looks whether it is to stop behind each message."""
    # Nobody renews it here, and the machine's clock is faster than its work: it must not run out meanwhile.
    lease = SessionLease(
        world.place, "chat", holder="turn", renew_seconds=None, duration_seconds=900, clock=lambda: world.machine.now
    )
    with _held(lease, wait_seconds=0):
        manager = world.manager("turn", lease)
        agent = world.agent(manager)
        manager.answer_request(agent, TurnRequest(TURN_ID, "key", "body"))
        manager.begin_turn(agent)
        stop_reason = "end_turn"
        for number in range(messages):
            content: list[Any] = [{"text": f"turn.{number}"}]
            if number % 2 and number + 1 < messages:
                content.append({"toolUse": {"toolUseId": f"call-{number}", "name": "tool", "input": {}}})
            elif number % 2 == 0 and number:
                content.append({"toolResult": {"toolUseId": f"call-{number - 1}", "status": "success", "content": []}})
            message: Any = {"role": ("user", "assistant")[number % 2], "content": content}
            agent.messages.append(message)
            manager.append_message(message, agent)
            manager.sync_agent(agent)
            if number % 2 and is_asked_to_cancel(world.place.objects, world.place.layout, "chat", "default", TURN_ID):
                stop_reason = "cancelled"
                break
        usage: Any = {}
        reply = {"stop_reason": stop_reason, "interrupts": [], "usage": usage, "restored_messages": 0}
        manager.conclude_turn(agent, {"reply": reply})
        manager.end_turn(agent)


def follow(world: World, seen: Seen) -> None:
    """Find the turn, follow it, and check at each message that it is stored at that moment."""
    while world.machine.now < 1_000_200:
        sleep(world, 0.5)
        repository = ObjectSessionRepository(world.place.objects, world.place.layout)
        try:
            reader = TurnReader(repository, "chat")
        except SessionNotFoundError:
            continue
        found = reader.find("default", lambda turn: turn.turn_id == TURN_ID)
        if found is None:
            continue
        lease = SessionLease(world.place, "chat", holder="follower", clock=lambda: world.machine.now)
        turn = FollowedTurn(reader, found, lease)

        def watch(event: Any) -> None:
            if isinstance(event, MessageStored):
                key = world.place.layout.message("chat", "default", event.message_id)
                assert world.place.objects.stored(key) is not None, f"{event.message_id} is not stored"
                seen.ids.append(event.message_id)

        try:
            seen.ended = str(turn.follow(watch, sleep=lambda seconds: sleep(world, seconds))["stop_reason"])
        except EndpointError as error:
            seen.ended = error.slug
        return


@pytest.mark.parametrize("kills", [0.0, 0.02], ids=["a turn that lives", "a turn that may die"])
def test_in_any_interleaving_followers_see_each_stored_message_once_in_order_and_the_end(
    kills: float,
    world_of: Callable[..., World],  # noqa: F811 - the fixture
) -> None:
    endings: dict[str, int] = {}
    for seed in range(SEEDS):
        world = world_of(seed)
        draw = world.machine.random
        for number in range(draw.randrange(3)):
            world.take_turn(f"before{number}", "turn", 2)
        messages, begin = draw.choice((2, 4, 6)), 2 * len(world.turns)
        followers = [Seen() for _ in range(draw.choice((1, 2)))]
        turn = world.machine.start("turn", partial(take_turn, world, messages))
        others = [world.machine.start("follower", partial(follow, world, seen)) for seen in followers]
        if draw.random() < 0.5:
            place = world.place
            cancel = partial(ask_to_cancel, place.objects, place.layout, "chat", "default", TURN_ID)
            others.append(world.machine.start("canceller", cancel))
        for other in others:
            other.mortal = False
        world.machine.kills = kills
        try:
            world.machine.run()
            world.machine.kills = 0
            stored = world.stored()[begin:] if not turn.dead else []
            for process in (turn, *others):
                assert process.dead or process.error is None, repr(process.error)
            for seen, process in zip(followers, others, strict=False):
                if seen.ended is None:
                    continue  # the turn had not begun while anybody looked for it
                assert not process.dead
                assert seen.ids == list(range(begin, begin + len(seen.ids))), f"{seen.ids} from {begin}"
                if not turn.dead:
                    assert len(seen.ids) == len(stored), f"{seen.ids} of {stored}"
                    assert seen.ended in {"end_turn", "cancelled"}, seen.ended
                endings[seen.ended] = endings.get(seen.ended, 0) + 1
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}\n" + "\n".join(world.machine.history)) from error

    assert {"end_turn", "cancelled"} <= set(endings)
    assert ("turn-cut-off" in endings) is bool(kills)
