"""What outlives its session, or races with its own last write, takes nothing from anybody."""

from typing import Any

import pytest

from agent_sessions.exceptions import SessionConflictError
from agent_sessions.s3_session_manager import S3SessionManager
from tests.consolidation.session import BUCKET, KitSession
from tests.doubles.s3.faults import Fault


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
