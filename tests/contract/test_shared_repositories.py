"""Managers over one repository object are writers of their own: what one has written refuses the other's older turn."""

import threading
from typing import Any

import pytest

from agent_sessions.conformance.conversations import agent_over, texts
from agent_sessions.exceptions import SessionConflictError
from tests.contract.subjects import Subject


def test_state_that_another_manager_has_written_since_is_not_overwritten(ours_stored: Subject) -> None:
    repository = ours_stored.repository()
    agent_over(repository, "Hello.")("Hi.")
    first, second = agent_over(repository), agent_over(repository)

    first.state.set("seat", "1")
    first._session_manager.sync_agent(first)
    second.state.set("seat", "2")

    with pytest.raises(SessionConflictError):
        second._session_manager.sync_agent(second)
    assert agent_over(repository).state.get("seat") == "1"


def test_a_turn_is_refused_though_its_restore_was_answered_after_the_other_ones_end(
    ours_stored: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a restore asks for beside itself may arrive late; then it shows who came after the restore."""
    repository = ours_stored.repository()
    agent_over(repository, "Hello.")("Hi.")
    first = agent_over(repository, "To the first.")
    answered, objects = threading.Event(), type(repository.objects)
    get = objects.get

    def late(self: Any, key: str) -> Any:
        if key.endswith("message_2.json") and threading.current_thread() is not threading.main_thread():
            answered.wait(10)
        return get(self, key)

    monkeypatch.setattr(objects, "get", late)
    second = agent_over(repository, "To the second.")
    monkeypatch.setattr(objects, "get", get)
    first("The first turn.")
    answered.set()

    with pytest.raises(SessionConflictError):
        second("The second turn.")
    expected = ["user: Hi.", "assistant: Hello.", "user: The first turn.", "assistant: To the first."]
    assert texts(agent_over(repository).messages) == expected
