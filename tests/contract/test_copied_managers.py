"""Managers can be copied and pickled, as Strands' own can: a copy goes on from where the original was."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from strands import Agent

from agent_sessions.lease import SessionLease
from agent_sessions.session_store import SessionStore
from tests.contract.agents import open_agent
from tests.contract.subjects import custom_subject, file_subject
from tests.doubles.scripted_model import ScriptedModel

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda it: pickle.loads(pickle.dumps(it)),  # noqa: S301 - our own
}


@pytest.fixture(params=list(COPIES))
def made_again(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return COPIES[request.param]


def test_a_copy_of_a_new_manager_opens_the_session(tmp_path: Any, made_again: Any) -> None:
    files = file_subject("file", tmp_path)

    manager = made_again(files.manager())
    Agent(agent_id="a1", model=ScriptedModel("Hi."), session_manager=manager, callback_handler=None)("Hello")

    assert len(open_agent(files, agent_id="a1").messages) == 2


def test_a_manager_that_has_stored_a_turn_can_be_copied(tmp_path: Any, made_again: Any) -> None:
    files = file_subject("file", tmp_path)
    agent = open_agent(files, "Hi.", agent_id="a1")
    agent("Hello")

    copied = made_again(agent._session_manager)

    assert copied.session_id == "conversation"
    assert [record.message_id for record in copied.list_messages("conversation", "a1")] == [0, 1]


def test_a_manager_over_a_custom_repository_is_copied_with_it(made_again: Any) -> None:
    agent = open_agent(custom_subject(), "Hi.", agent_id="a1")
    agent("Hello")

    copied = made_again(agent._session_manager)

    assert len(copied.session_repository.list_messages("conversation", "a1")) == 2


def test_a_copied_store_and_a_copied_lease_work(tmp_path: Any, made_again: Any) -> None:
    store = made_again(SessionStore.from_url(f"file://{tmp_path}/sessions"))
    lease = made_again(SessionLease(store, "s", holder="somebody"))

    with lease:
        assert lease.held

    assert store.sessions().session_ids == ()
