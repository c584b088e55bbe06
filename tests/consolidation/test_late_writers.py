"""What outlives its session, or races with its own last write, takes nothing from anybody."""

import contextlib
import json
import threading
from typing import Any

import pytest
from strands import Agent
from strands.types.exceptions import EventLoopException

from agent_sessions.exceptions import (
    SessionConflictError,
    SessionCorruptError,
    SessionException,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions.lease import SessionLease
from agent_sessions.s3_session_manager import S3SessionManager
from agent_sessions.session_store import S3SessionStore
from tests.consolidation.session import BUCKET, KitSession
from tests.doubles.s3.clock import SettableClock
from tests.doubles.s3.faults import Fault
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel


def test_an_agent_of_an_erased_life_does_not_overwrite_the_next_one(session: KitSession) -> None:
    session.turn("old question")
    resident = session.open("late reply")
    S3SessionManager("s1", BUCKET, client=session.client).delete_session("s1")
    session.turn("new question")
    session.turn("another new question")
    before = session.log()

    with pytest.raises(SessionConflictError):
        resident("late question")

    assert session.log() == before
    assert session.open().messages == before


def test_a_last_message_that_is_redacted_after_its_turn_is_not_left_in_the_tail(session: KitSession) -> None:
    session.turn("first")
    agent = session.open("SECRET reply", durability="turn")
    session.server.faults.add(Fault("delay", verb="PUT", key="*/message_3.json", seconds=0.2))
    agent("second")  # the agent's record leaves while the last message is on its way
    session.server.faults.clear()
    manager: Any = agent._session_manager

    manager.redact_latest_message({"role": "assistant", "content": [{"text": "[redacted]"}]}, agent)

    assert [key for key, body in session.objects().items() if b"SECRET" in body] == []
    assert session.open().messages[-1]["content"] == [{"text": "[redacted]"}]


def test_a_redaction_by_another_process_is_not_undone_by_a_resident_agent(session: KitSession) -> None:
    session.turn("SECRET question")
    session.turn_of_strands("second")
    resident = session.open("third reply")  # restored by listing: its memory holds the original
    manager = session.manager()
    record: Any = manager.read_message("s1", "default", 0)
    record.message = record.redact_message = {"role": "user", "content": [{"text": "[redacted]"}]}
    manager.update_message("s1", "default", record)

    with pytest.raises(SessionConflictError):
        resident("third")

    assert b"SECRET" not in session.objects()[f"{session.folder}/agent.json"]
    assert session.open().messages[0]["content"] == [{"text": "[redacted]"}]


def test_an_agent_stored_after_the_erasure_of_its_session_does_not_bring_it_back(session: KitSession) -> None:
    session.turn("first")
    manager = session.manager()
    manager.delete_session("s1")

    with pytest.raises(SessionNotFoundError):
        Agent(agent_id="second", model=ScriptedModel("late"), session_manager=manager)

    assert session.objects() == {}


def test_a_redaction_of_a_message_whose_answer_was_lost_reaches_storage(session: KitSession) -> None:
    session.turn("first")
    agent = session.open("unused", durability="turn")
    manager: Any = agent._session_manager
    manager.begin_turn(agent)
    session.server.faults.add(Fault("drop", verb="PUT", key="*/message_3.json", applied=True))
    for role, text in (("user", "second"), ("assistant", "SECRET")):
        message: Any = {"role": role, "content": [{"text": text}], "tracking_id": f"of the {role}"}
        agent.messages.append(message)
        manager.append_message(message, agent)

    with contextlib.suppress(SessionException):
        manager.redact_latest_message({"role": "assistant", "content": [{"text": "[redacted]"}]}, agent)
    with contextlib.suppress(SessionException):
        manager.end_turn(agent)

    assert [key for key, body in session.objects().items() if b"SECRET" in body] == []


FOREIGN = [
    pytest.param(b"{}", id="no message"),
    pytest.param(b"[]", id="no object"),
    pytest.param(b"\xff", id="no text"),
    pytest.param(b'{"message_id": 2, "message": {"role": "user", "content": [{"text": "x"}]}}', id="another message"),
    pytest.param(b'{"message_id": 4, "message": {"role": "user"}}', id="a message without content"),
    pytest.param(b'{"message_id": 4, "message": {"role": "user", "content": "x"}}', id="content that is no list"),
    pytest.param(
        b'{"message_id": 4, "message": {"role": "user", "content": []}, "redact_message": 1}', id="a strange redaction"
    ),
]


@pytest.mark.parametrize("body", FOREIGN)
def test_a_foreign_object_in_a_messages_place_is_named_by_whoever_meets_it(session: KitSession, body: bytes) -> None:
    session.turn("first")
    session.turn("second")
    before = session.objects()
    session.put("messages/message_4.json", body)
    store, manager = S3SessionStore(session.client, BUCKET), session.manager()
    record = before[f"{session.folder}/agent.json"]
    without_copies = json.dumps({name: value for name, value in json.loads(record).items() if name != "kit"}).encode()

    def listed() -> None:
        session.put("agent.json", without_copies)
        session.open()

    for meet in (
        lambda: session.turn("behind it"),
        lambda: store.messages("s1"),
        lambda: manager.read_message("s1", "default", 4),
        lambda: manager.list_messages("s1", "default"),
        listed,
    ):
        with pytest.raises(SessionCorruptError) as refusal:
            meet()
        assert refusal.value.key == f"{session.folder}/messages/message_4.json"

    # Put aside, it keeps nobody from going on.
    session.put("agent.json", record)
    manager.quarantine_message("s1", "default", 4)
    session.turn("third")
    assert [message["content"][0]["text"] for message in session.log()][4:] == ["third", "reply to third"]


@pytest.mark.parametrize("held", [True, False])
def test_only_who_still_holds_the_lease_goes_on_behind_what_another_has_begun(held: bool) -> None:
    clock = SettableClock()
    with S3Server(buckets=[BUCKET], clock=clock) as server:
        session = KitSession(server)
        session.turn("first")
        lease = SessionLease(S3SessionStore(session.client, BUCKET), "s1", holder="the paused one")
        if held:
            lease.acquire()
        manager = session.manager("turn", lease=lease)
        paused = Agent(model=ScriptedModel("late reply"), session_manager=manager, callback_handler=None)
        clock.advance(5)
        refused: list[Exception] = []

        def while_they_think(_: Any) -> str:
            try:
                paused("late question")
            except SessionConflictError as error:
                refused.append(error)
            return "their reply"

        theirs = session.open(while_they_think)
        with contextlib.suppress(SessionException, EventLoopException):
            theirs("their question")

        # With the lease the other turn is one that was cut off, and is gone on behind; without it, it is not.
        assert bool(refused) is not held
        lease.release()
        texts = [message["content"][0]["text"] for message in session.log()]
        assert texts[2:] == ["their question", *(("late question", "late reply") if held else ("their reply",))]


def test_who_goes_on_behind_a_prompt_that_is_then_redacted_leaves_no_copy_of_it(session: KitSession) -> None:
    def says(manager: Any, agent: Agent, role: str, text: str) -> Any:
        message: Any = {"role": role, "content": [{"text": text}], "tracking_id": f"of the {role}"}
        agent.messages.append(message)
        manager.append_message(message, agent)
        return message

    session.turn("z" * 1000)  # the next turn begins a base
    redactor = session.open(durability="turn")
    other: Agent
    first: Any = redactor._session_manager
    first.begin_turn(redactor)
    prompt = says(first, redactor, "user", "SECRET")
    other = session.open(durability="turn")
    second: Any = other._session_manager
    second.begin_turn(other)
    written = session.server.faults.add(Fault("call", verb="PUT", key="*/history.json", callback=lambda _: None))
    says(second, other, "user", "behind it")
    assert written.arrived.wait(10)

    prompt["content"] = [{"text": "[redacted]"}]
    first.redact_latest_message(prompt, redactor)
    for manager, agent in ((first, redactor), (second, other)):
        with contextlib.suppress(SessionException):
            says(manager, agent, "assistant", "an answer")
        with contextlib.suppress(SessionException):
            manager.end_turn(agent)

    assert [key for key, body in session.objects().items() if b"SECRET" in body] == []
    agent = session.turn("and then?")
    assert agent.messages == session.log()


def test_what_a_writer_of_an_erased_life_lands_late_is_swept_and_leaves_no_gap(session: KitSession) -> None:
    for turn in range(3):
        session.turn(f"old {turn}")
    stale = session.open("late reply")
    session.manager().delete_session("s1")
    session.turn("new 0")
    with contextlib.suppress(SessionException, EventLoopException):
        stale("too late")
    assert max(session.ids()) > 1
    record = json.loads(session.objects()[f"{session.folder}/agent.json"])
    del record["kit"]["log"]  # as a turn of Strands' manager leaves it: the messages are listed
    session.put("agent.json", json.dumps(record).encode())

    session.turn("new 1")

    assert session.ids() == [0, 1, 2, 3]
    assert [message["content"][0]["text"] for message in session.log()][::2] == ["new 0", "new 1"]


def test_a_last_message_too_large_for_a_copy_is_stored_before_the_record_that_refers_to_it(session: KitSession) -> None:
    session.turn("first", "turn")
    for verb_and_key in ("*/message_3.json", "*/agent.json"):
        agent = session.open("x" * 100_000, durability="turn")
        session.server.faults.add(Fault("drop", verb="PUT", key=verb_and_key, times=None))
        with contextlib.suppress(Exception):
            agent("a long story")
        session.server.faults.clear()
        after = session.turn("and then?", "turn")

        assert after.messages == session.log()
        assert session.ids() == list(range(len(session.log())))


def test_a_turn_without_a_message_of_its_own_is_fenced_before_its_model_is_called(session: KitSession) -> None:
    session.turn("first")
    session.server.faults.add(Fault("drop", verb="PUT", key="*/message_3.json", times=None))
    with contextlib.suppress(Exception):
        session.turn("second")  # its prompt is stored, and its answer is not
    session.server.faults.clear()
    quick, slow = session.open("an answer"), session.open("never said")
    for agent in (quick, slow):
        manager: Any = agent._session_manager
        manager.catch_up(agent)
    quick(None)

    with pytest.raises((SessionConflictError, EventLoopException)):
        slow(None)

    assert slow.model.requests == []  # type: ignore[attr-defined] # a scripted model
    assert [message["content"][0]["text"] for message in session.log()][2:] == ["second", "an answer"]


def test_a_base_that_could_not_be_read_is_gone_before_a_message_changes(session: KitSession) -> None:
    session.turn("x" * 40_000)
    session.turn("second")
    assert session.has_history()
    session.server.faults.add(Fault("error", verb="GET", key="*/history.json"))
    agent = session.open()
    session.server.faults.add(Fault("error", verb="PUT", key="*/messages/*", times=None))
    manager: Any = agent._session_manager

    with pytest.raises(SessionStorageError):
        manager.redact_latest_message({"role": "assistant", "content": [{"text": "taken back"}]}, agent)

    assert not session.has_history()


@pytest.mark.parametrize("begins_anew", [False, True])
def test_an_erasure_that_was_held_up_does_not_erase_the_next_life(session: KitSession, begins_anew: bool) -> None:
    session.turn("old")
    mark = session.server.faults.add(Fault("hold", verb="PUT", key="*/session.json"))
    late = threading.Thread(target=_delete, args=(session,))
    late.start()
    assert mark.arrived.wait(10)
    _delete(session)
    if begins_anew:
        session.turn("new")
    mark.release()
    late.join(10)

    if begins_anew:
        assert [message["content"][0]["text"] for message in session.log()] == ["new", "reply to new"]
    else:
        assert session.objects() == {}


def _delete(session: KitSession) -> None:
    with contextlib.suppress(SessionNotFoundError):
        S3SessionStore(session.client, BUCKET).delete_session("s1")
