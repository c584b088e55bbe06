"""What a key belongs to is known from the layout that made it, whatever its text looks like."""

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import Layout, is_head, message_id_below
from agent_sessions.exceptions import SessionException, SessionNotFoundError
from agent_sessions.object_store import Key
from agent_sessions.types import Session, SessionAgent, SessionMessage, SessionType
from tests.concurrency.memory_objects import MemoryObjects

PREFIXES = [
    "",
    "session_x",
    "session_chat",
    "mysession_chat",
    "p/session_chat",
    "session_chat/agents",
    "session_other/agents/agent_a1/messages",
    "session_",
    "a b/ü",
]
"""Some look like the folders of sessions."""


def keys_of(layout: Layout, session_id: str) -> list[Key]:
    return [
        layout.session_folder(session_id),
        layout.session(session_id),
        layout.lease(session_id),
        layout.agent_folder(session_id, "session_other"),
        layout.agent(session_id, "session_other"),
        layout.history(session_id, "a1"),
        layout.messages_folder(session_id, "a1"),
        layout.message(session_id, "a1", 7),
        layout.quarantine(session_id, "a1", 7, "x"),
        layout.multi_agent(session_id, "session_other"),
    ]


IDS = st.text(min_size=1, max_size=20).filter(
    lambda text: text.strip() and not {"/", "\\"} & set(text) and text not in {".", ".."} and text.isprintable()
)


@given(prefix=st.sampled_from(PREFIXES), session_id=IDS)
def test_every_key_knows_its_session_whatever_the_prefix_looks_like(prefix: str, session_id: str) -> None:
    for key in keys_of(Layout(prefix), session_id):
        assert key.session_id == session_id
        assert key.startswith(Layout(prefix).session_folder(session_id))
        assert SessionException("x", key=key).session_id == session_id


def test_a_key_is_text_to_everybody_else() -> None:
    key = Layout("p").session("chat")

    assert key == "p/session_chat/session.json"
    assert hash(key) == hash("p/session_chat/session.json")
    assert json.dumps({"key": key}) == '{"key": "p/session_chat/session.json"}'
    for again in (copy.deepcopy(key), pickle.loads(pickle.dumps(key))):  # noqa: S301 - our own
        assert (again, again.session_id) == (key, "chat")
    assert SessionException("x", key="session_chat/session.json").session_id is None
    assert SessionException("x", key=key, session_id="other").session_id == "other"


@pytest.mark.parametrize(
    ("below", "index"),
    [
        ("messages/message_7.json", 7),
        ("messages/message_07.json", None),
        ("notes/message_7.json", None),
        ("quarantine/message_7.json", None),
        ("messages/old/message_7.json", None),
        ("message_7.json", None),
    ],
)
def test_only_what_lies_in_a_messages_place_is_a_message(below: str, index: int | None) -> None:
    assert message_id_below(below) == index


def test_only_what_lies_in_its_place_is_an_agents_record() -> None:
    assert is_head("agents/agent_a1/agent.json")
    assert is_head("multi_agents/multi_agent_g/multi_agent.json")
    for foreign in (
        "agent.json",
        "notes/agent.json",
        "agents/agent_a1/backup/agent.json",
        "agents/agent_a1/history.json",
    ):
        assert not is_head(foreign)


class Sessions:
    """A session with one of each record, opened by a repository of its own."""

    def __init__(self, prefix: str) -> None:
        self.objects = MemoryObjects(lambda: 1_000_000.0)
        self.layout = Layout(prefix)
        self.repository().create_session(Session("chat", SessionType.AGENT))
        self.repository().create_agent("chat", agent("a1"))
        self.repository().create_message("chat", "a1", message(0))
        self.repository().create_multi_agent("chat", Graph())

    def repository(self) -> ObjectSessionRepository:
        return ObjectSessionRepository(self.objects, self.layout)

    def damage(self, key: str, body: bytes = b"{") -> None:
        self.objects.bodies[key] = (body, self.objects.bodies[key][1])


class Graph:
    id = "g"

    def serialize_state(self) -> dict[str, Any]:
        return {"status": "completed"}


def agent(agent_id: str) -> SessionAgent:
    return SessionAgent(agent_id=agent_id, state={}, conversation_manager_state={})


def message(number: int) -> SessionMessage:
    return SessionMessage(message={"role": "user", "content": [{"text": "Hi"}]}, message_id=number)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_session_lives_below_any_prefix(prefix: str) -> None:
    sessions = Sessions(prefix)

    assert sessions.repository().read_agent("chat", "a1") is not None
    assert [found.message_id for found in sessions.repository().list_messages("chat", "a1")] == [0]
    sessions.repository().delete_session("chat")
    assert sessions.objects.bodies == {}


READS: dict[str, Any] = {
    "session": (lambda layout: layout.session("chat"), lambda them: them.read_session("chat")),
    "agent": (lambda layout: layout.agent("chat", "a1"), lambda them: them.read_agent("chat", "a1")),
    "message": (lambda layout: layout.message("chat", "a1", 0), lambda them: them.read_message("chat", "a1", 0)),
    "messages": (lambda layout: layout.message("chat", "a1", 0), lambda them: them.list_messages("chat", "a1")),
    "multi_agent": (lambda layout: layout.multi_agent("chat", "g"), lambda them: them.read_multi_agent("chat", "g")),
    # what is asked for on the way to something else
    "session, for its agent": (lambda layout: layout.session("chat"), lambda them: them.read_agent("chat", "a1")),
    "session, for a message": (
        lambda layout: layout.session("chat"),
        lambda them: them.create_message("chat", "a1", message(1)),
    ),
    "agent, for an update": (
        lambda layout: layout.agent("chat", "a1"),
        lambda them: them.update_agent("chat", agent("a1")),
    ),
}


@pytest.mark.parametrize("prefix", ["", "session_other"])
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff"])
@pytest.mark.parametrize("what", READS)
def test_a_damaged_record_is_reported_under_its_own_key(what: str, damage: bytes, prefix: str) -> None:
    sessions = Sessions(prefix)
    key_of, read = READS[what]
    key = key_of(sessions.layout)
    sessions.damage(key, damage)

    with pytest.raises(SessionException) as reported:
        read(sessions.repository())

    assert (reported.value.key, reported.value.session_id) == (key, "chat")
    assert key in str(reported.value)


@pytest.mark.parametrize(
    "write",
    [
        lambda them: them.create_agent("chat", agent("a2")),
        lambda them: them.create_message("chat", "a1", message(1)),
    ],
    ids=["an agent", "a message over one of an earlier life"],
)
def test_a_session_record_that_is_damaged_meanwhile_is_named_and_not_what_was_being_written(write: Any) -> None:
    # Given: a repository that knows the session, and what an earlier life has left in the message's place
    sessions = Sessions("")
    repository = sessions.repository()
    assert repository.read_session("chat") is not None
    left = {**message(1).to_dict(), "kit": {"incarnation": "an earlier life", "nonce": "n"}}
    sessions.objects.bodies["session_chat/agents/agent_a1/messages/message_1.json"] = (
        json.dumps(left).encode(),
        sessions.objects._now(),
    )

    sessions.damage("session_chat/session.json")

    with pytest.raises(SessionException) as reported:
        write(repository)
    assert (reported.value.key, reported.value.session_id) == ("session_chat/session.json", "chat")


def test_a_session_that_is_not_there_is_named_with_its_records_key() -> None:
    sessions = Sessions("p")

    for read in (
        lambda: sessions.repository().create_agent("nobody", agent("a1")),
        lambda: sessions.repository().delete_session("nobody"),
        lambda: sessions.repository().list_messages("nobody", "a1"),
    ):
        with pytest.raises(SessionNotFoundError) as reported:
            read()
        assert (reported.value.key, reported.value.session_id) == ("p/session_nobody/session.json", "nobody")


def test_somebodys_file_that_is_called_like_an_agents_record_does_not_bring_a_session_back() -> None:
    # Given: a foreign object below a session that has no record of its own
    sessions = Sessions("")
    sessions.objects.bodies.clear()
    sessions.objects.bodies["session_chat/notes/agent.json"] = (b'{"kit": {}}', sessions.objects._now())

    session, is_new = sessions.repository().life.find_or_begin("chat")

    assert (session.session_id, is_new) == ("chat", True)
