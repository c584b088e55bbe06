"""Restoring an agent: it costs what the agent gets back, however long the session is and whoever wrote it."""

import json
from collections import Counter
from typing import Any

import pytest
from strands import Agent
from strands.agent.conversation_manager import (
    ConversationManager,
    NullConversationManager,
    SlidingWindowConversationManager,
)
from strands.session.s3_session_manager import S3SessionManager as StrandsS3SessionManager

from agent_sessions.exceptions import SessionBusyError
from agent_sessions.s3_session_manager import S3SessionManager
from tests.bounds.stored import session_objects
from tests.bounds.world import BUCKET, PREFIX, World
from tests.contract.agents import texts
from tests.contract.strands_features import needs_pins
from tests.doubles.s3_server import Fault
from tests.doubles.scripted_model import ScriptedModel

LONG = 8_000
"""More than what is listed whole. `make bench-bounds` measures 20,000."""
WINDOW = 40
AGENT = "agents/agent_default"


@pytest.fixture(scope="module")
def filled(worlds: World) -> World:
    """A long session that Strands' manager wrote, whose agent has a window."""
    world = World(worlds.s3, worlds.client)
    world.put("s", messages=LONG, life=None, window=WINDOW)
    return world


@pytest.fixture
def long(filled: World) -> World:
    """The same, and nothing has been asked yet."""
    filled.s3.log.take()
    return filled


def restore(
    world: World, *script: Any, window: int | None = WINDOW, agent_id: str = "default", **options: Any
) -> Agent:
    """A new process's agent."""
    manager = S3SessionManager("s", BUCKET, PREFIX, client=world.client, durability="turn", **options)
    return build(manager, script, window, agent_id)


def restore_with_strands(world: World, *script: Any, window: int | None = WINDOW) -> Agent:
    """An agent restored by Strands' own manager."""
    ready: Any = Ready(world.client)
    return build(StrandsS3SessionManager("s", BUCKET, PREFIX, boto_session=ready), script, window)


def build(manager: Any, script: tuple[Any, ...], window: int | None, agent_id: str = "default") -> Agent:
    keep: ConversationManager = (
        NullConversationManager() if window is None else SlidingWindowConversationManager(window_size=window)
    )
    return Agent(
        model=ScriptedModel(*script),
        agent_id=agent_id,
        session_manager=manager,
        conversation_manager=keep,
        callback_handler=None,
    )


class Ready:
    """A boto3 session that hands out the client there is."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def client(self, **_: Any) -> Any:
        return self._client


def said(first: int, end: int) -> list[str]:
    return [str(number) for number in range(first, end)]


def key(name: str) -> str:
    return f"{PREFIX}/session_s/{AGENT}/{name}"


def remove(world: World, name: str) -> None:
    world.s3.store.delete(BUCKET, key(name))


def read(world: World, name: str) -> Any:
    return json.loads(world.s3.store.current_objects(BUCKET, key(name))[key(name)].body)


def messages_read(world: World) -> int:
    return sum(entry.verb == "GET" and "/message_" in entry.key for entry in world.s3.log.take())


# --- a session that Strands' manager wrote ------------------------------------------------------------------


def test_the_first_restore_of_a_long_strands_session_reads_the_window_and_lists_one_page(
    long: World,
) -> None:
    # When
    agent = restore(long)

    # Then
    asked = long.asked()
    assert asked["LIST"] == 1
    assert asked["GET"] <= 3 + 64 + 130, "the window, and some of the first messages, which may be pinned"
    assert asked["HEAD"] <= 80, "one look behind the last message"
    assert asked.keys() == {"LIST", "GET", "HEAD"}
    assert texts(agent.messages) == said(LONG - WINDOW, LONG)
    assert agent.messages == restore_with_strands(long).messages


def test_after_the_first_turn_on_a_strands_session_a_restore_asks_for_a_fixed_number_of_names(
    world: World,
) -> None:
    # Given
    world.put("s", messages=1_500, life=None, window=WINDOW)
    restore(world, "reply")("prompt")
    world.s3.log.take()

    # When
    agent = restore(world)

    # Then
    asked = world.asked()
    assert asked["LIST"] == asked["HEAD"] == 0
    assert asked["GET"] <= 4, "the search for pins is none of its business"
    assert texts(agent.messages) == [*said(1_462, 1_500), "prompt", "reply"]


def test_a_turn_of_strands_in_between_costs_a_window_again(world: World) -> None:
    world.put("s", messages=1_500, life=None, window=WINDOW)
    restore(world, "reply")("prompt")
    restore_with_strands(world, "reply of Strands")("prompt")
    world.s3.log.take()

    agent = restore(world)

    assert sum(world.asked().values()) <= 1 + 3 + 64 + 130 + 80
    assert texts(agent.messages)[-4:] == ["prompt", "reply", "prompt", "reply of Strands"]
    assert len(agent.messages) == WINDOW


@pytest.mark.parametrize("window", [0, 1, 63, 64, 65, 300])
def test_windows_of_every_size_are_restored_whole(world: World, window: int) -> None:
    world.put("s", messages=1_400, life=None, window=window)
    world.s3.log.take()

    agent = restore(world, "reply", window=max(1, window))

    assert sum(world.asked().values()) <= 3 * window + 1 + 3 + 64 + 130 + 80
    assert texts(agent.messages) == said(1_400 - window, 1_400)
    agent("prompt")
    assert world.keys("s").count(f"{AGENT}/messages/message_1401.json") == 1


def test_messages_that_are_missing_from_the_window_are_passed_over(world: World) -> None:
    world.put("s", messages=1_400, life=None, window=200)
    gone = {1_200, 1_201, 1_290, *range(1_300, 1_390), 1_399}
    for number in gone:
        remove(world, f"messages/message_{number}.json")

    agent = restore(world, "reply", window=200)

    kept = [number for number in range(1_200, 1_400) if number not in gone]
    assert [text for text in texts(agent.messages) if text.isdigit()] == [str(number) for number in kept]
    agent("prompt")
    assert f"{AGENT}/messages/message_1399.json" in world.keys("s")


def test_what_an_earlier_life_left_in_the_window_is_not_restored(world: World) -> None:
    world.put("s", messages=1_400, window=WINDOW, states_end=False)
    old = dict(session_objects("s", messages=1_460, life="another"))
    for number in (*range(1_400, 1_403), 1_450):
        name = f"messages/message_{number}.json"
        world.s3.store.put(BUCKET, key(name), old[f"session_s/{AGENT}/{name}"])

    agent = restore(world, "reply")

    assert texts(agent.messages) == said(1_360, 1_400)
    agent("prompt")
    assert texts(restore(world).messages)[-2:] == ["prompt", "reply"]


# --- pins ---------------------------------------------------------------------------------------------------


@needs_pins
def test_the_pinned_first_messages_of_a_session_of_strands_are_restored_at_once(world: World) -> None:
    world.put("s", messages=1_500, life=None, window=WINDOW, pinned=[0, 1])

    agent = restore(world)

    assert texts(agent.messages) == ["0", "1", *said(1_460, 1_500)]


@needs_pins
def test_what_was_pinned_does_not_make_the_copies_grow_with_the_conversation(world: World) -> None:
    sizes = []
    for turn in range(60):
        agent = restore(world, f"reply {turn} " + "x" * 3_000, window=6)
        agent(f"prompt {turn} " + "x" * 3_000)
        if turn == 0:
            agent = restore(world, window=6)
            agent.messages[0]["metadata"] = {"custom": {"pinned": True}}
            agent._session_manager.sync_agent(agent)  # type: ignore[union-attr]
        stored = world.s3.store.current_objects(BUCKET, f"{PREFIX}/session_s/{AGENT}/")
        copies = [stored[key(name)] for name in ("agent.json", "history.json") if key(name) in stored]
        sizes.append(sum(len(item.body) for item in copies))

    assert max(sizes) < 150_000, "the whole conversation has 360,000 bytes"
    assert texts(restore(world, window=6).messages)[0].startswith("prompt 0")


# --- copies that are not there, or another's ----------------------------------------------------------------


def grown(world: World) -> None:
    """A long session that the kit has used, and which has a base."""
    world.put("s", messages=1_500, life=None, window=WINDOW, text=" " + "x" * 1_000)
    for turn in range(2):
        restore(world, f"reply {turn}")(f"prompt {turn}")
    assert f"{AGENT}/history.json" in world.keys("s")


@pytest.mark.parametrize("harm", ["deleted", "another's", "damaged"])
def test_without_its_base_the_window_is_read_by_its_names(world: World, harm: str) -> None:
    # Given
    grown(world)
    whole = restore(world).messages
    body = world.s3.store.current_objects(BUCKET, key("history.json"))[key("history.json")].body
    if harm == "deleted":
        remove(world, "history.json")
    elif harm == "damaged":
        world.s3.store.put(BUCKET, key("history.json"), body[:-9])
    else:
        other = body.replace(read(world, "history.json")["nonce"].encode(), b"0" * 32)
        world.s3.store.put(BUCKET, key("history.json"), other)
    world.s3.log.take()

    # When
    agent = restore(world, "reply")

    # Then
    asked = world.asked()
    assert agent.messages == whole
    assert asked["LIST"] == 0
    assert asked["GET"] <= 4 + WINDOW

    # And: a turn makes the copies whole again
    agent("prompt")
    world.s3.log.take()
    again = restore(world)
    assert texts(again.messages) == texts(agent.messages)
    assert sum(world.asked().values()) <= 5


def test_a_turn_that_was_cut_off_is_found_behind_a_conversation_without_its_base(world: World) -> None:
    grown(world)
    remove(world, "history.json")
    cut_off = dict(session_objects("s", messages=1_505, life=None))[f"session_s/{AGENT}/messages/message_1504.json"]
    world.s3.store.put(BUCKET, key("messages/message_1504.json"), cut_off)

    agent = restore(world, "reply")
    agent("prompt")

    assert texts(agent.messages)[-3:] == ["1504", "prompt", "reply"]


def test_going_on_behind_a_turn_that_was_cut_off_costs_the_same_in_a_long_session(world: World) -> None:
    # Given
    grown(world)
    late = dict(session_objects("s", messages=1_506, life=None))
    for number in (1_504, 1_505):
        name = f"messages/message_{number}.json"
        world.s3.store.put(BUCKET, key(name), late[f"session_s/{AGENT}/{name}"])
    agent = restore(world, "reply")
    world.s3.log.take()

    # When
    assert agent._session_manager is not None
    assert agent._session_manager.catch_up(agent)  # type: ignore[attr-defined]

    # Then
    asked = world.asked()
    assert texts(agent.messages)[-2:] == ["1504", "1505"]
    assert asked["LIST"] <= 1
    assert sum(asked.values()) <= 1 + 1 + 64 + 80


def test_a_session_without_its_agents_record_is_taken_over_from_its_messages(world: World) -> None:
    world.put("s", messages=1_200)
    remove(world, "agent.json")

    assert texts(restore(world, window=None).messages) == said(0, 1_200)


# --- a conversation that is longer than a request -----------------------------------------------------------


def test_without_a_window_everything_is_restored_as_strands_does(world: World) -> None:
    world.put("s", messages=2_300, life=None, manager=NullConversationManager().get_state())

    agent = restore(world, window=None)

    assert texts(agent.messages) == said(0, 2_300)
    assert agent.messages == restore_with_strands(world, window=None).messages


def test_what_does_not_fit_into_a_request_goes_on_in_the_next_one(world: World) -> None:
    # Given: a store that takes a second for ten messages
    world.put("s", messages=5_000, life=None)
    passed: list[object] = []
    world.s3.faults.add(Fault("call", verb="GET", key="*/message_*", times=None, callback=passed.append))
    world.s3.log.take()

    # When: whoever waits has 200 seconds, each time
    refused: list[SessionBusyError] = []
    read_each_time: list[int] = []
    agent = None
    while agent is None:
        passed.clear()
        try:
            agent = restore(world, "reply", window=None, time_left=lambda: 200.0 - len(passed) / 10)
        except SessionBusyError as busy:
            refused.append(busy)
        log = world.s3.log.take()
        asked = Counter(entry.verb for entry in log)
        read_each_time.append(sum("/message_" in entry.key for entry in log if entry.verb == "GET"))
        assert asked["LIST"] <= 6
        assert asked["PUT"] <= 1
        assert len(read_each_time) < 9, "it does not come to an end"

    # Then: each time goes on where the one before has ended
    assert len(refused) >= 3
    assert max(read_each_time) <= 1_800
    assert sum(read_each_time) == 5_000, "nothing is read twice"
    assert "left" in str(refused[0])
    assert texts(agent.messages) == said(0, 5_000)

    # And: with the turn the session is the kit's, and restored from its copies
    agent("prompt")
    world.s3.faults.clear()
    world.s3.log.take()
    assert texts(restore(world, window=None).messages) == [*said(0, 5_000), "prompt", "reply"]
    assert sum(world.asked().values()) <= 5


def test_a_message_that_changes_meanwhile_is_restored_as_it_is_then(world: World) -> None:
    world.put("s", messages=2_500, life=None)
    with pytest.raises(SessionBusyError):
        restore(world, window=None, time_left=iter([2.0, *[0.0] * 9]).__next__)
    kept = read(world, "history.json")
    assert len(kept["messages"]) >= 500
    changed = dict(session_objects("s", messages=2_500, life=None, text=" changed"))
    last = "messages/message_2499.json"
    world.s3.store.put(BUCKET, key(last), changed[f"session_s/{AGENT}/{last}"])

    agent = restore(world, window=None)

    assert texts(agent.messages)[-2:] == ["2498", "2499 changed"]


# --- another agent ------------------------------------------------------------------------------------------


def test_a_request_is_looked_for_with_other_agents_without_listing_their_messages(world: World) -> None:
    world.put("s", messages=1_100, agent_ids=("default", "other"), life=None, window=WINDOW)
    agent = restore(world, agent_id="third")
    world.s3.log.take()

    assert agent._session_manager is not None
    assert agent._session_manager.find_turn(agent, "digest") is None  # type: ignore[attr-defined]

    asked = world.asked()
    assert asked["LIST"] == 1
    assert asked["GET"] <= 3
