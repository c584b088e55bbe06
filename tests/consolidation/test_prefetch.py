"""A session that is being read while its agent is being built is the same session, opened a moment later."""

import threading
from typing import Any

import pytest
from strands import Agent

from agent_sessions.exceptions import SessionCorruptError, SessionException
from agent_sessions.file_session_manager import FileSessionManager
from tests.consolidation.session import KitSession
from tests.contract.dict_repository import DictRepository
from tests.doubles.s3.faults import Fault
from tests.doubles.scripted_model import ScriptedModel


def agent_with(manager: Any, *script: Any) -> Agent:
    return Agent(model=ScriptedModel(*script), session_manager=manager, callback_handler=None)


def test_the_constructor_waits_for_nothing_and_the_agent_for_everything(session: KitSession) -> None:
    session.turn("first")
    held = session.server.faults.add(Fault("hold", key="*.json", times=None))

    manager = session.manager(prefetch=True)

    assert held.arrived.wait(10)
    agents: list[Agent] = []
    building = threading.Thread(target=lambda: agents.append(agent_with(manager, "reply to second")))
    building.start()
    building.join(0.05)
    assert not agents
    session.server.faults.clear()
    building.join(10)
    agents[0]("second")
    assert [message["content"][0].get("text") for message in session.log()] == [
        *("first", "reply to first"),
        *("second", "reply to second"),
    ]


@pytest.mark.parametrize("prefetch", [False, True])
def test_each_name_is_asked_for_once(session: KitSession, prefetch: bool) -> None:
    session.turn("first")
    session.server.log.take()

    agent_with(session.manager(prefetch=prefetch), "reply")("question")

    gets = [entry.key.rpartition("/")[2] for entry in session.server.log.take() if entry.verb == "GET"]
    assert sorted(gets) == ["agent.json", "history.json", "message_2.json", "session.json"]


def test_a_new_session_is_made_when_its_agent_is_built(session: KitSession) -> None:
    manager = session.manager(prefetch=True)

    agent_with(manager, "reply")("hello")

    assert manager.session.session_id == "s1"
    assert len(session.log()) == 2


def test_a_session_that_cannot_be_opened_is_refused_when_its_agent_is_built(session: KitSession) -> None:
    session.turn("first")
    session.client.put_object(Bucket="sessions", Key="session_s1/session.json", Body=b"nonsense")

    manager = session.manager(prefetch=True)

    with pytest.raises(SessionCorruptError):
        agent_with(manager)


def test_a_session_erased_meanwhile_is_a_new_one(session: KitSession) -> None:
    session.turn("first")
    late = session.manager(prefetch=True)
    early = session.manager()
    early.delete_session("s1")

    with pytest.raises(SessionException):
        agent_with(late, "never said")("second")

    agent_with(session.manager(prefetch=True), "reply")("anew")
    assert len(session.log()) == 2


@pytest.mark.parametrize("kind", ["folder", "custom"])
def test_where_there_is_nothing_to_wait_for_it_is_opened_when_the_agent_is_built(kind: str, tmp_path: Any) -> None:
    from agent_sessions.repository_session_manager import RepositorySessionManager

    def manager(repository: Any) -> RepositorySessionManager:
        if kind == "folder":
            return FileSessionManager("s1", str(tmp_path), prefetch=True)
        return RepositorySessionManager("s1", repository, prefetch=True)

    repository = DictRepository()
    agent_with(manager(repository), "reply")("question")

    assert len(agent_with(manager(repository)).messages) == 2
