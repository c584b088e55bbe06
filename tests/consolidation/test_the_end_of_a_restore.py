"""What copies cannot tell of a conversation's end is asked for beside the turn, and decides before its model runs."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config

from agent_sessions.exceptions import SessionConflictError, SessionStorageError
from agent_sessions.turn_request import TurnRequest
from tests.consolidation.session import BUCKET, KitSession
from tests.doubles.s3.clock import SettableClock
from tests.doubles.s3.faults import Fault
from tests.doubles.s3_server import S3Server


@pytest.fixture
def session() -> Iterator[KitSession]:
    """A session whose storage lives in one second: nothing here may depend on its clock."""
    with S3Server(buckets=[BUCKET], clock=SettableClock()) as server:
        yield KitSession(server)


def texts(session: KitSession) -> list[str]:
    return [message["content"][0]["text"] for message in session.log()]


def test_a_stale_caller_is_refused_before_its_model_is_called_however_soon_it_comes(session: KitSession) -> None:
    session.turn("first")
    stale = session.open("never said")
    refused: list[Exception] = []

    def meanwhile(_: Any) -> str:
        with pytest.raises(SessionConflictError) as caught:
            stale("me too")
        refused.append(caught.value)
        return "reply to second"

    session.open(meanwhile)("second")

    assert len(refused) == 1
    assert stale.model.requests == []  # type: ignore[attr-defined] # a scripted model
    assert texts(session) == ["first", "reply to first", "second", "reply to second"]


def test_who_was_restored_in_the_middle_of_a_turn_that_was_then_concluded_is_refused(session: KitSession) -> None:
    session.turn("first")
    restored: list[Any] = []

    def meanwhile(_: Any) -> str:
        restored.append(session.open("never said"))
        return "reply to second"

    session.open(meanwhile)("second")
    with pytest.raises(SessionConflictError):
        restored[0]("me too")

    assert restored[0].model.requests == []
    assert texts(session) == ["first", "reply to first", "second", "reply to second"]


def test_after_a_turn_that_was_cut_off_the_next_one_works_however_soon_it_comes(session: KitSession) -> None:
    session.turn("first")
    session.server.faults.add(Fault("drop", verb="PUT", nth=2, times=None))
    with contextlib.suppress(Exception):
        session.turn("second")
    session.server.faults.clear()

    agent = session.turn("third")

    assert texts(session) == ["first", "reply to first", "second", "third", "reply to third"]
    assert agent.messages == session.log()


def test_a_restore_does_not_wait_for_what_is_asked_for_beside_it(session: KitSession) -> None:
    for turn in range(3):
        session.turn(f"prompt {turn}", "turn")
    behind = session.server.faults.add(Fault("hold", verb="GET", key="*/message_6.json"))
    session.server.log.take()

    restored = session.open()

    assert len(restored.messages) == 6
    assert behind.arrived.wait(10)
    answered = {(entry.verb, entry.key.rpartition("/")[2]) for entry in session.server.log.take()}
    assert answered >= {("GET", "agent.json"), ("GET", "session.json")}
    session.server.faults.clear()


def test_a_short_conversation_is_restored_without_waiting_for_the_base_it_has_not(session: KitSession) -> None:
    session.turn("first", "turn")
    asked = session.server.faults.add(Fault("hold", verb="GET", key="*/history.json"))

    restored = session.open()

    assert len(restored.messages) == 2
    assert asked.arrived.wait(10)
    session.server.faults.clear()


def test_the_model_does_not_wait_for_the_background_read(session: KitSession) -> None:
    session.turn("first", "turn")
    asked = session.server.faults.add(Fault("hold", verb="GET", key="*/history.json"))

    def reply(_: Any) -> str:
        asked.release()
        return "reply to second"

    agent = session.open(reply, durability="turn")
    agent("second")

    assert texts(session) == ["first", "reply to first", "second", "reply to second"]


def test_with_a_single_connection_a_stale_caller_is_still_refused(
    session: KitSession,
) -> None:
    session.turn("first")
    other = KitSession(session.server)
    other.client = session.server.client(config=Config(max_pool_connections=1))
    session.server.faults.add(Fault("delay", verb="GET", key="*/history.json", seconds=1))
    late = other.open("reply to late")  # over its only connection the base is asked for first

    session.turn("in time")

    with pytest.raises(SessionConflictError):
        late("late")
    assert texts(session) == ["first", "reply to first", "in time", "reply to in time"]


def test_a_base_that_nobody_asked_the_restore_for_is_swept_when_the_turn_begins(session: KitSession) -> None:
    session.turn("first", "turn")
    session.put("history.json", b"{}")

    session.turn("second", "turn")

    assert not session.has_history()


def test_the_first_message_does_not_wait_for_the_last_ones_confirmation_and_the_model_does(session: KitSession) -> None:
    session.turn_whose_last_message_leaves_with_the_record(1, "first")
    asked = session.server.faults.add(Fault("hold", verb="GET", key="*/message_1.json"))
    stored = session.server.faults.add(Fault("call", verb="PUT", key="*/message_2.json", callback=lambda _: None))
    called = threading.Event()

    def reply(_: Any) -> str:
        called.set()
        return "reply to second"

    agent = session.open(reply, durability="turn")
    turn = threading.Thread(target=agent, args=("second",))
    turn.start()

    assert stored.arrived.wait(10)
    assert asked.arrived.wait(10)
    assert not called.is_set()
    session.server.faults.clear()
    turn.join(10)
    assert called.is_set()
    assert texts(session) == ["first", "reply to first", "second", "reply to second"]


def test_a_last_message_that_is_missing_is_written_before_the_model_is_called(session: KitSession) -> None:
    session.turn("first", "turn")
    session.turn_cut_off_in_its_last_round(3, "second")
    assert session.ids() == [0, 1, 2]
    seen: list[list[int]] = []

    def reply(_: Any) -> str:
        seen.append(session.ids())
        return "reply to third"

    session.open(reply, durability="turn")("third")

    assert seen == [[0, 1, 2, 3, 4]]
    assert texts(session)[2:] == ["second", "reply to second", "third", "reply to third"]


def test_a_process_that_dies_before_it_writes_the_missing_message_leaves_it_to_the_next(session: KitSession) -> None:
    session.turn("first", "turn")
    session.turn_cut_off_in_its_last_round(3, "second")
    session.server.faults.add(Fault("drop", verb="PUT", key="*/message_3.json", times=None))
    with pytest.raises(SessionStorageError):  # its own message is stored, and the missing one is not
        session.turn("third", "turn")
    session.server.faults.clear()
    assert session.ids() == [0, 1, 2, 4]

    agent = session.turn("fourth", "turn")

    assert texts(session)[2:] == ["second", "reply to second", "third", "fourth", "reply to fourth"]
    assert agent.messages == session.log()


@pytest.mark.parametrize("fence", ["model", "effects"])
@pytest.mark.parametrize("key", [None, "key"])
def test_who_finds_another_message_in_the_last_ones_place_goes_on_behind_it(
    session: KitSession, key: str | None, fence: Any
) -> None:
    session.turn("first", "turn")
    session.turn_cut_off_in_its_last_round(3, "second")
    manager = session.manager("turn", fence=fence)
    agent = session.open_with(manager, *["reply to third"] * 2)  # restored with a last message that is not stored
    manager.answer_request(agent, TurnRequest("turn", key, "body"))
    guest = session.open_with_strands("unheard")
    guest_manager: Any = guest._session_manager
    session.server.faults.add(Fault("drop", verb="PUT", key="*/agent.json", times=None))
    with contextlib.suppress(Exception):  # it dies after its message
        message: Any = {"role": "user", "content": [{"text": "a guest"}]}
        guest.messages.append(message)
        guest_manager.append_message(message, guest)
        guest_manager.sync_agent(guest)
    session.server.faults.clear()

    agent("third")

    assert texts(session)[2:] == ["second", "a guest", "third", "reply to third"]
    assert agent.messages == session.log()
    assert session.open().messages == session.log()
