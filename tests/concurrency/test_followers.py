"""Every order of the requests of the endpoint's turn, of those who follow it and of one who cancels it.

A follower never sees what is not stored, and sees it in the log's order; ``AGENT_SESSIONS_SEEDS=5000`` tries more.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from strands import Agent
from strands.agent.conversation_manager import NullConversationManager

from agent_sessions._objects.cancelling import ask_to_cancel, is_asked_to_cancel
from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.lease import SessionLease
from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.turn_reader import TurnReader
from lambda_src.agent.tools import calculator
from lambda_src.answers.errors import EndpointError
from lambda_src.contract import TurnBody
from lambda_src.turn_resource.following import FollowedTurn
from lambda_src.turns.repeats import Asked
from lambda_src.turns.time_limit import TimeLimit
from lambda_src.turns.turn import fold, stream_turn
from lambda_src.turns.turn_events import MessageStored
from tests.concurrency import machine_loop
from tests.concurrency.interleaving import Process
from tests.concurrency.test_interleavings import World, held, world_of  # noqa: F401 - a fixture
from tests.doubles.scripted_model import Pause, ScriptedModel, tool_use

SEEDS = int(os.environ.get("AGENT_SESSIONS_SEEDS", "60"))
TURN_ID = "the-turn"


@dataclass
class Seen:
    """What a follower was told."""

    ids: list[int] = field(default_factory=list)
    ended: str | None = None


def sleep(world: World, seconds: float) -> None:
    world.machine.now += seconds
    world.machine.pause("sleep")


def take_turn(world: World, rounds: int) -> dict[str, Any]:
    """Take the turn as the endpoint does: its agent uses a tool so often, and looks whether it is to stop."""
    calls: list[Any] = [
        [Pause(0.7), "Let me see. ", tool_use("calculator", expression=f"{number}+1")] for number in range(rounds)
    ]
    model = ScriptedModel(*calls, otherwise=[Pause(0.7), "It is ", Pause(0.7), "done."])

    def build(manager: RepositorySessionManager) -> Agent:
        return Agent(
            agent_id="default",
            model=model,
            tools=[calculator],
            session_manager=manager,
            conversation_manager=NullConversationManager(),
            callback_handler=None,
        )

    # Nobody renews it here, and the machine's clock is faster than its work: it must not run out meanwhile.
    lease = SessionLease(
        world.place, "chat", holder="turn", renew_seconds=None, duration_seconds=900, clock=lambda: world.machine.now
    )
    body = TurnBody.model_validate({"prompt": "Work it out."})
    with held(lease, wait_seconds=0):
        turn = stream_turn(
            lambda: world.manager("turn", lease),
            build,
            body,
            TimeLimit(seconds=1e6, hard_seconds=2e6),
            Asked.of("key", body, default_agent_id="default", turn_id=TURN_ID),
            partial(is_asked_to_cancel, world.place.objects, world.place.layout, "chat"),
        )
        return machine_loop.run(world.machine, fold("chat", turn))


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


def stored_of(world: World) -> list[Any]:
    """The session's messages, of which none is missing."""
    try:
        records = ObjectSessionRepository(world.place.objects, world.place.layout).list_messages("chat", "default")
    except SessionNotFoundError:
        return []
    assert [record.message_id for record in records] == list(range(len(records))), "a gap"
    return [record.message for record in records]


def assert_any_model_accepts(messages: list[Any]) -> None:
    """Roles alternate, and a tool's result answers the call before it."""
    for message, following in pairwise(messages):
        assert message["role"] != following["role"], messages
        calls = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        results = [block["toolResult"]["toolUseId"] for block in following["content"] if "toolResult" in block]
        assert calls == results, messages


def start(world: World, rounds: int, followers: list[Seen]) -> tuple[Process, list[Process]]:
    """Start the turn, those who follow it, and often one who cancels it."""
    turn = world.machine.start("turn", partial(take_turn, world, rounds))
    others = [world.machine.start("follower", partial(follow, world, seen)) for seen in followers]
    if world.machine.random.random() < 0.5:
        place = world.place
        cancel = partial(ask_to_cancel, place.objects, place.layout, "chat", "default", TURN_ID)
        others.append(world.machine.start("canceller", cancel))
    for other in others:
        other.mortal = False
    return turn, others


def assert_goes_on(world: World, rounds: int, stored: list[Any], begin: int) -> None:
    """Send the request of a turn that died again, when its lease has run out."""
    world.machine.now += 1000
    again = take_turn(world, rounds)
    assert again["stop_reason"] in {"end_turn", "cancelled"}
    after = stored_of(world)[begin:]
    assert after[: len(stored)] == stored, f"{stored} became {after}"
    assert_any_model_accepts(after)


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
        rounds, begin = draw.choice((0, 1, 2)), 2 * len(world.turns)
        followers = [Seen() for _ in range(draw.choice((1, 2)))]
        turn, others = start(world, rounds, followers)
        world.machine.kills = kills
        try:
            world.machine.run()
            world.machine.kills = 0
            stored = stored_of(world)[begin:]
            assert_any_model_accepts(stored)
            for process in (turn, *others):
                assert process.dead or process.error is None, repr(process.error)
            for seen, process in zip(followers, others, strict=False):
                if seen.ended is None:
                    continue  # the turn had not begun while anybody looked for it
                assert not process.dead
                assert seen.ids == list(range(begin, begin + len(seen.ids))), f"{seen.ids} from {begin}"
                assert len(seen.ids) <= len(stored), f"{seen.ids} of {stored}"
                if not turn.dead:
                    assert len(seen.ids) == len(stored), f"{seen.ids} of {stored}"
                    assert seen.ended in {"end_turn", "cancelled"}, seen.ended
                endings[seen.ended] = endings.get(seen.ended, 0) + 1
            if turn.dead:
                assert_goes_on(world, rounds, stored, begin)
        except AssertionError as error:
            raise AssertionError(
                f"seed {seed} at {world.machine.now}: {error}\n" + "\n".join(world.machine.history)
            ) from error

    assert {"end_turn", "cancelled"} <= set(endings)
    assert ("turn-cut-off" in endings) is bool(kills)
