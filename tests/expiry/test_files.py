"""Expiry of sessions in a folder: the same definition, no rule that removes anything, and so no renewal."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from strands import Agent

from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.session_store import SessionStore
from tests.doubles.scripted_model import ScriptedModel
from tests.expiry.world import exchange, texts

TTL = 7.0


def agent_in(folder: Path, ttl_days: float = TTL) -> Agent:
    session = FileSessionManager("chat", str(folder), ttl_days=ttl_days)
    model = ScriptedModel(otherwise="Hello from default.")
    return Agent(agent_id="default", session_manager=session, model=model, callback_handler=None)


def store_of(folder: Path, ttl_days: float = TTL) -> SessionStore:
    return SessionStore.from_url(folder.as_uri(), ttl_days=ttl_days)


def age_by(folder: Path, days: float, pattern: str = "*.json") -> None:
    """Make files as old as if so many days had passed."""
    for path in folder.rglob(pattern):
        found = path.stat()
        os.utime(path, (found.st_atime, found.st_mtime - days * 86_400))


def test_use_in_time_keeps_the_session(tmp_path: Path) -> None:
    for number in range(4):
        agent_in(tmp_path)(f"Turn {number}")
        age_by(tmp_path, 6.9)

    assert texts(agent_in(tmp_path)) == exchange(*(f"Turn {number}" for number in range(4)))


def test_an_unused_session_is_gone_and_its_id_begins_afresh(tmp_path: Path) -> None:
    agent_in(tmp_path)("Once")
    age_by(tmp_path, 7.1)

    with pytest.raises(SessionNotFoundError):
        store_of(tmp_path).describe("chat")
    assert store_of(tmp_path).sessions().session_ids == ()
    fresh = agent_in(tmp_path)
    assert texts(fresh) == []
    assert not list(tmp_path.rglob("message_*.json"))
    fresh("Anew")
    assert texts(agent_in(tmp_path)) == exchange("Anew")


def test_the_last_message_counts_wherever_it_is(tmp_path: Path) -> None:
    agent_in(tmp_path)("Once")
    age_by(tmp_path, 20)
    newest = next(tmp_path.rglob("message_1.json"))
    used = datetime.now(UTC) - timedelta(days=6)
    os.utime(newest, (used.timestamp(), used.timestamp()))

    described = store_of(tmp_path).describe("chat")

    assert texts(agent_in(tmp_path)) == exchange("Once")
    assert described.last_used_at is not None
    assert described.expires_at is not None
    ends = datetime.fromisoformat(described.expires_at)
    assert ends - datetime.fromisoformat(described.last_used_at) == timedelta(days=TTL)


def test_a_resident_agent_that_was_idle_for_too_long_is_refused(tmp_path: Path) -> None:
    resident = agent_in(tmp_path)
    resident("Once")
    age_by(tmp_path, 8)
    # It believes what it has seen itself; a process that slept for eight days would have seen the clock go on.
    life = resident._session_manager.life  # type: ignore[union-attr] # the manager is ours
    life.age("chat").last_used -= timedelta(days=8)

    with pytest.raises(SessionNotFoundError, match="expired"):
        resident("Again")

    assert texts(agent_in(tmp_path)) == []


def test_another_lifetime_holds_for_sessions_written_before(tmp_path: Path) -> None:
    agent_in(tmp_path)("Once")
    age_by(tmp_path, 8)

    with pytest.raises(SessionNotFoundError):
        store_of(tmp_path).describe("chat")
    assert store_of(tmp_path, 30).describe("chat").session_id == "chat"
    assert store_of(tmp_path, 0).describe("chat").expires_at is None


@pytest.mark.parametrize("ttl_days", [-1, float("nan"), float("inf")])
def test_a_lifetime_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, ttl_days: float) -> None:
    with pytest.raises(ValueError, match="ttl_days"):
        FileSessionManager("chat", str(tmp_path), ttl_days=ttl_days)
    with pytest.raises(ValueError, match="ttl_days"):
        store_of(tmp_path, ttl_days)

    assert not list(tmp_path.rglob("*.json"))
