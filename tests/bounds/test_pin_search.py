"""The search for pins below the window of a session that Strands wrote: turns take it on, and nobody waits for it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from strands import Agent
from strands.agent.conversation_manager import SlidingWindowConversationManager
from strands.hooks import AfterInvocationEvent
from strands.session.s3_session_manager import S3SessionManager as StrandsS3SessionManager
from strands.types.exceptions import EventLoopException

from agent_sessions.exceptions import SessionException, SessionStorageError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.s3_session_manager import S3SessionManager
from tests.bounds.stored import DAY, session_objects
from tests.bounds.test_restoring import Ready
from tests.bounds.world import BUCKET, PREFIX, World
from tests.contract.agents import texts
from tests.contract.strands_features import needs_pins
from tests.doubles.s3.request_log import LogEntry
from tests.doubles.s3_server import Fault
from tests.doubles.scripted_model import ScriptedModel, tool_use

WINDOW = 40
AT_ONCE = 128
PINNED = 300
FOLDER = f"{PREFIX}/session_s/agents/agent_default"


@pytest.fixture
def taken_over(world: World) -> World:
    """A session of Strands' with a pin below the window, in which the kit has taken a turn."""
    world.put("s", messages=700, life=None, window=WINDOW, pinned=[PINNED])
    restore(world, "reply")("prompt")
    world.s3.log.take()
    return world


def restore(world: World, *script: Any, **options: Any) -> Agent:
    """A new process's agent."""
    return build(manager(world, **options), *script)


def manager(world: World, session_id: str = "s", **options: Any) -> S3SessionManager:
    options = {"client": world.client, "durability": "turn", **options}
    return S3SessionManager(session_id, BUCKET, PREFIX, **options)


def build(manager: Any, *script: Any) -> Agent:
    return Agent(
        model=ScriptedModel(*script),
        session_manager=manager,
        conversation_manager=SlidingWindowConversationManager(window_size=WINDOW),
        callback_handler=None,
    )


def searched(entries: list[LogEntry]) -> list[int]:
    """The messages below the window that have been read, in the order of the answers."""
    read = [re.search(r"/message_(\d+)\.json$", entry.key) for entry in entries if entry.verb == "GET"]
    return [number for found in read if found and (number := int(found[1])) < 700 - WINDOW]


def until_searched(world: World, most: int = AT_ONCE, session_id: str = "s") -> Callable[[Any], Any]:
    """A model that thinks until so many messages have been searched, or all."""
    last = kit(world, session_id).get("unsearched", [0, 0])[1] - 1

    def think(_: Any) -> Any:
        if "unsearched" in kit(world, session_id):
            assert world.s3.log.wait_for(lambda log: len(searched(log)) >= most or last in searched(log))
            for _ in range(5):  # time to receive the last answer
                world.client.head_object(Bucket=BUCKET, Key=f"{FOLDER}/agent.json")
        return "reply"

    return think


def kit(world: World, session_id: str = "s") -> dict[str, Any]:
    """What the agent's record says under ``kit``."""
    key = f"{PREFIX}/session_{session_id}/agents/agent_default/agent.json"
    found: dict[str, Any] = json.loads(world.s3.store.current_objects(BUCKET, key)[key].body)["kit"]
    return found


# --- beside the turns ---------------------------------------------------------------------------------------


def test_only_the_restore_that_takes_a_session_over_waits_for_a_search(taken_over: World) -> None:
    assert kit(taken_over)["unsearched"][0] >= AT_ONCE

    restore(taken_over)

    assert searched(taken_over.s3.log.take()) == []


@needs_pins
@pytest.mark.parametrize(("durability", "fence"), [("message", "model"), ("turn", "model"), ("turn", "effects")])
def test_a_pin_that_is_found_beside_a_turn_is_shown_by_the_next_restore_and_kept(
    taken_over: World, durability: str, fence: str
) -> None:
    world, shown, reads = taken_over, list[bool](), list[int]()

    # When: turns are taken
    for turn in range(9):
        agent = restore(world, until_searched(world), durability=durability, fence=fence)
        shown.append(str(PINNED) in texts(agent.messages))
        reads.append(len(searched(world.s3.log.take())))
        agent(f"prompt {turn}")
        assert len(searched(world.s3.log.take())) <= AT_ONCE

    # Then: it is there from one turn on, at the beginning, and was read once
    assert shown == sorted(shown)
    assert shown[:2] == [False] * 2
    assert shown[3:] == [True] * 6
    assert sorted(reads) == [*[0] * 8, 3]
    assert reads[shown.index(True)] == 3
    assert texts(restore(world).messages)[0] == str(PINNED)
    assert "unsearched" not in kit(world)
    assert kit(world)["pinned"] == [PINNED]


@needs_pins
def test_every_message_below_the_window_is_read_once_and_in_order(taken_over: World) -> None:
    first = kit(taken_over)["unsearched"][0]
    read: list[int] = []
    turns = 0
    while "unsearched" in kit(taken_over):
        agent = restore(taken_over, until_searched(taken_over))
        taken_over.s3.log.take()
        agent("prompt")
        read += searched(taken_over.s3.log.take())
        turns += 1
        assert turns < 40, "it does not come to an end"

    assert sorted(set(read)) == list(range(first, 700 - WINDOW - 1))
    assert len(read) - len(set(read)) <= turns, "only one that was on its way at a turn's end is read again"


def test_an_agent_that_goes_on_without_a_restore_searches_with_each_turn(taken_over: World) -> None:
    agent = restore(taken_over, *[until_searched(taken_over)] * 3)
    left = []
    for _ in range(3):
        taken_over.s3.log.take()
        agent("prompt")
        left.append(kit(taken_over)["unsearched"][0])

    assert [round(number / AT_ONCE) for number in left] == [2, 3, 4]
    assert kit(taken_over)["pinned"] == [PINNED]


def test_a_turn_does_not_wait_for_a_search(taken_over: World) -> None:
    # Given: a store that does not answer the search
    first = kit(taken_over)["unsearched"][0]
    hanging = Fault("hold", verb="GET", key=f"{FOLDER}/messages/message_{first + 5}.json", times=None)
    taken_over.s3.faults.add(hanging)

    def think(_: Any) -> str:
        assert hanging.arrived.wait(30)
        return "reply"

    # When
    try:
        restore(taken_over, think)("prompt")

        # Then: what was searched before is known, and no more
        assert kit(taken_over)["unsearched"][0] == first + 5
    finally:
        hanging.release()
        taken_over.s3.faults.clear()


def test_a_model_that_answers_at_once_is_no_failure(taken_over: World) -> None:
    before = kit(taken_over)["unsearched"]

    restore(taken_over, "reply")("prompt")

    after = kit(taken_over)["unsearched"]
    assert before[0] <= after[0] < before[0] + AT_ONCE
    assert texts(restore(taken_over).messages)[-1] == "reply"


def test_whoever_only_looks_searches_and_writes_nothing(taken_over: World) -> None:
    before = kit(taken_over)

    agent = restore(taken_over)
    agent._session_manager.sync_agent(agent)  # type: ignore[union-attr]

    assert kit(taken_over) == before
    assert searched(taken_over.s3.log.take()) == []


def test_the_turns_own_requests_go_first_where_there_is_one_thread(taken_over: World) -> None:
    # Given
    client = taken_over.s3.client(config=Config(retries={"total_max_attempts": 1}, max_pool_connections=1))
    calls: list[int] = []

    def think(_: Any) -> Any:
        assert taken_over.s3.log.wait_for(lambda log: len(searched(log)) >= 5)
        calls.append(len(taken_over.s3.log.entries))
        return tool_use("unknown")

    def think_on(_: Any) -> str:
        assert taken_over.s3.log.wait_for(lambda log: any(entry.verb == "PUT" for entry in log[calls[0] :]))
        return "reply"

    # When: a tool is called while the search goes on
    restore(taken_over, think, think_on, client=client)("prompt")

    # Then
    behind = taken_over.s3.log.take()[calls[0] :]
    stored = next(number for number, entry in enumerate(behind) if entry.verb == "PUT")
    assert "/message_" in behind[stored].key
    assert len(searched(behind[:stored])) <= 60, "not behind the rest of the search"


def test_a_turn_that_renews_does_not_search(taken_over: World) -> None:
    # Given
    before = kit(taken_over)["unsearched"]
    taken_over.s3.clock.advance(5 * DAY)

    def think(_: Any) -> str:
        renewed = "/messages/"
        assert taken_over.s3.log.wait_for(lambda log: sum(renewed in it.key for it in log if it.verb == "PUT") >= 200)
        return "reply"

    # When
    restore(taken_over, think, ttl_days=taken_over.ttl_days)("prompt")

    # Then
    assert kit(taken_over)["unsearched"] == before


# --- when something goes wrong ------------------------------------------------------------------------------


def test_a_search_that_fails_goes_on_with_the_next_turn(taken_over: World) -> None:
    # Given
    first = kit(taken_over)["unsearched"][0]
    failing = Fault("error", verb="GET", key=f"{FOLDER}/messages/message_{first + 5}.json", times=None)
    taken_over.s3.faults.add(failing)

    def think(_: Any) -> str:
        assert failing.arrived.wait(30)
        return "reply"

    # When
    restore(taken_over, think)("prompt")

    # Then
    assert kit(taken_over)["unsearched"][0] == first + 5
    taken_over.s3.faults.clear()
    taken_over.s3.log.take()
    restore(taken_over, until_searched(taken_over))("prompt")
    assert kit(taken_over)["unsearched"][0] >= first + 5 + AT_ONCE - 1


def test_a_damaged_message_below_the_window_is_passed_over(taken_over: World) -> None:
    first = kit(taken_over)["unsearched"][0]
    taken_over.s3.store.put(BUCKET, f"{FOLDER}/messages/message_{first + 5}.json", b"{")

    restore(taken_over, until_searched(taken_over))("prompt")

    assert kit(taken_over)["unsearched"][0] > first + 5


def test_a_turn_that_was_given_up_searches_no_more(taken_over: World) -> None:
    # Given
    agent: Agent

    def think(_: Any) -> str:
        assert taken_over.s3.log.wait_for(lambda log: len(searched(log)) >= 3)
        why = SessionStorageError("out of time", code="TimeOut")
        agent._session_manager.stop(why)  # type: ignore[union-attr]
        read = len(searched(taken_over.s3.log.entries))
        # Two round trips later: the search would have been heard of.
        for _ in range(2 * AT_ONCE):
            taken_over.client.head_object(Bucket=BUCKET, Key=f"{FOLDER}/agent.json")
        assert len(searched(taken_over.s3.log.entries)) <= read + 1
        return "reply"

    agent = restore(taken_over, think)
    before = kit(taken_over)

    # When
    with pytest.raises(EventLoopException, match="out of time"):
        agent("prompt")

    # Then
    assert kit(taken_over) == before


@needs_pins
def test_nothing_of_another_life_counts_as_searched(taken_over: World) -> None:
    # Given: while a turn searches, the session is erased, and another one of its id is put there
    def think(_: Any) -> str:
        assert taken_over.s3.log.wait_for(lambda log: len(searched(log)) >= 20)
        taken_over.repository().delete_session("s")
        taken_over.put("s", messages=700, life=None, window=WINDOW, pinned=[5, PINNED])
        assert taken_over.s3.log.wait_for(lambda log: len(searched(log)) >= 60)
        return "reply"

    # When
    with pytest.raises(SessionException):
        restore(taken_over, think)("prompt")
    agent = restore(taken_over, "reply")

    # Then: the new life is searched from its beginning
    assert texts(agent.messages)[0] == "5"
    agent("prompt")
    assert AT_ONCE <= kit(taken_over)["unsearched"][0] <= AT_ONCE + 32


def test_a_pin_that_another_life_has_left_there_is_none(taken_over: World) -> None:
    left = dict(session_objects("s", messages=141, life="another", pinned=[140]))
    name = "session_s/agents/agent_default/messages/message_140.json"
    taken_over.s3.store.put(BUCKET, f"{PREFIX}/{name}", left[name])

    restore(taken_over, until_searched(taken_over, 60))("prompt")

    assert kit(taken_over)["unsearched"][0] > 140
    assert "pinned" not in kit(taken_over)


@needs_pins
def test_a_redaction_leaves_what_was_found(taken_over: World) -> None:
    # Given: a turn that searches while a message of it is redacted
    def redact(event: AfterInvocationEvent) -> None:
        event.agent.messages[-2]["content"] = [{"text": "[redacted]"}]
        event.agent._session_manager.redact_latest_message(  # type: ignore[union-attr]
            event.agent.messages[-2], event.agent
        )

    for turn in range(3):
        agent = restore(taken_over, until_searched(taken_over))
        agent.hooks.add_callback(AfterInvocationEvent, redact)
        taken_over.s3.log.take()
        agent(f"secret {turn}")

    # Then
    assert kit(taken_over)["pinned"] == [PINNED]
    assert kit(taken_over)["unsearched"][0] >= PINNED
    agent = restore(taken_over)
    assert texts(agent.messages)[0] == str(PINNED)
    assert "secret" not in str(agent.messages)


# --- forks --------------------------------------------------------------------------------------------------


@needs_pins
def test_a_fork_shows_what_was_pinned_below_its_window_and_searches_the_rest(world: World) -> None:
    # Given: a session of Strands' that the kit has taken over, and has not searched to its end
    world.put("s", messages=700, life=None, window=WINDOW, pinned=[5, PINNED])
    for turn in range(2):
        restore(world, "reply")(f"prompt {turn}")
    assert kit(world)["pinned"] == [5]

    # When
    world.store.fork("s", before_message=700, fork_id="early")
    world.store.fork("s", before_message=702, fork_id="late")

    # Then
    for fork in ("early", "late"):
        assert kit(world, fork)["unsearched"] == [kit(world)["unsearched"][0], 700 - WINDOW - 2]
        assert texts(build(manager(world, fork)).messages)[0] == "5"
        for turn in range(2):
            world.s3.log.take()
            build(manager(world, fork), until_searched(world, session_id=fork))(f"prompt {turn}")
        assert texts(build(manager(world, fork)).messages)[:2] == ["5", str(PINNED)]


@needs_pins
def test_a_fork_shows_a_pin_that_was_found_after_its_turn(taken_over: World) -> None:
    for turn in range(3):
        taken_over.s3.log.take()
        restore(taken_over, until_searched(taken_over))(f"prompt {turn}")
    assert kit(taken_over)["pinned"] == [PINNED]

    taken_over.store.fork("s", before_message=702, fork_id="fork")

    assert texts(build(manager(taken_over, "fork")).messages)[0] == str(PINNED)


@needs_pins
def test_a_fork_of_what_strands_wrote_last_is_searched_from_its_beginning(taken_over: World) -> None:
    ready: Any = Ready(taken_over.client)
    build(StrandsS3SessionManager("s", BUCKET, PREFIX, boto_session=ready), "reply")("prompt")

    taken_over.store.fork("s", before_message=700, fork_id="fork")

    assert kit(taken_over, "fork")["unsearched"] == [0, 700 - WINDOW - 1]


# --- where there are no threads -----------------------------------------------------------------------------


def put_files(folder: Path) -> Path:
    """A session in a folder; returns its agent's record."""
    for key, body in session_objects("s", messages=300, life=None, window=WINDOW, pinned=[200]):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder / "session_s/agents/agent_default/agent.json"


@needs_pins
def test_in_a_folder_each_turn_searches_a_few(tmp_path: Path) -> None:
    # Given
    record = put_files(tmp_path)

    # When
    shown, left = [], []
    for turn in range(6):
        agent = build(FileSessionManager("s", str(tmp_path)), "reply")
        shown.append("200" in texts(agent.messages))
        agent(f"prompt {turn}")
        left.append(json.loads(record.read_bytes())["kit"].get("unsearched"))

    # Then: the first turn takes the session over, and searches, too
    assert left == [[160, 259], [192, 259], [224, 259], [256, 259], None, None]
    assert shown == [False, False, False, True, True, True]


def test_what_is_no_file_in_the_place_of_a_message_is_passed_over(tmp_path: Path) -> None:
    record = put_files(tmp_path)
    strange = record.parent / "messages/message_130.json"
    strange.unlink()
    strange.mkdir()

    build(FileSessionManager("s", str(tmp_path)), "reply")("prompt")

    assert json.loads(record.read_bytes())["kit"]["unsearched"][0] == AT_ONCE + 32
