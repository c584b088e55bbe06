"""The contract for ids: nothing a caller sends can leave its session, and nothing is read or written for a bad id."""

from typing import Any

import pytest

from tests.contract.agents import open_agent
from tests.contract.subjects import Subject

ESCAPES = ["../other", "a/b", "/etc", "..\\other", "a\\b"]
OTHERS = ["", " ", "\t", ".", "..", "nul\x00byte", "line\nbreak", "\x7f", "x" * 241, "é" * 121]


def nothing_was_stored(subject: Subject) -> bool:
    return subject.place is None or all("/session_the-repository-itself/" in f"/{key}" for key in subject.place.keys())  # noqa: SIM118 - a method of Place


@pytest.mark.parametrize("session_id", ESCAPES[:2])
def test_a_session_id_with_a_path_separator_is_refused(subject: Subject, session_id: str) -> None:
    if subject.name == "custom":
        pytest.skip("what a custom repository refuses is its own affair; the manager above it is tested below")

    with pytest.raises(ValueError, match="path separators"):
        subject.repository().read_session(session_id)


@pytest.mark.parametrize("session_id", [*ESCAPES, *OTHERS])
def test_a_bad_session_id_is_refused_before_anything_is_stored(our_managers: Subject, session_id: str) -> None:
    from agent_sessions.exceptions import InvalidIdentifierError

    with pytest.raises(InvalidIdentifierError) as caught:
        our_managers.manager(session_id)

    assert isinstance(caught.value, ValueError)
    assert nothing_was_stored(our_managers)


@pytest.mark.parametrize("agent_id", [*ESCAPES, *OTHERS])
def test_a_bad_agent_id_is_refused(ours_stored: Subject, agent_id: str) -> None:
    repository, types = ours_stored.repository(), ours_stored.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    agent = types.SessionAgent(agent_id=agent_id, state={}, conversation_manager_state={})
    message = types.SessionMessage.from_message({"role": "user", "content": []}, 0)
    before = ours_stored.stored.keys()

    calls: tuple[Any, ...] = (
        lambda: repository.create_agent("s1", agent),
        lambda: repository.read_agent("s1", agent_id),
        lambda: repository.update_agent("s1", agent),
        lambda: repository.create_message("s1", agent_id, message),
        lambda: repository.read_message("s1", agent_id, 0),
        lambda: repository.update_message("s1", agent_id, message),
        lambda: repository.list_messages("s1", agent_id),
        lambda: repository.read_multi_agent("s1", agent_id),
    )
    for call in calls:
        with pytest.raises(ValueError, match="_id="):
            call()

    assert ours_stored.stored.keys() == before


@pytest.mark.parametrize("message_id", ["0", "../../secret", 1.0, None, True, -1, [0]])
def test_a_message_id_that_is_no_index_is_refused(ours_stored: Subject, message_id: Any) -> None:
    repository, types = ours_stored.repository(), ours_stored.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    repository.create_agent("s1", types.SessionAgent(agent_id="a1", state={}, conversation_manager_state={}))
    message = types.SessionMessage.from_message({"role": "user", "content": []}, message_id)

    calls: tuple[Any, ...] = (
        lambda: repository.read_message("s1", "a1", message_id),
        lambda: repository.create_message("s1", "a1", message),
        lambda: repository.update_message("s1", "a1", message),
    )
    for call in calls:
        with pytest.raises(ValueError, match="message id"):
            call()


@pytest.mark.parametrize("message_id", ["0", "../../secret", None])
def test_a_message_id_that_is_no_integer_is_refused_in_the_documented_words(subject: Subject, message_id: Any) -> None:
    if subject.name == "custom":
        pytest.skip("what a custom repository refuses is its own affair")

    with pytest.raises(ValueError, match="message id must be an integer"):
        subject.repository().read_message("the-repository-itself", "a1", message_id)


@pytest.mark.parametrize("session_id", ["x" * 240, "é" * 120, "…", "a b", "session_x", "agents", "%2e%2e", "~", "-"])
def test_an_unusual_but_harmless_id_works_with_an_agent(our_managers: Subject, session_id: str) -> None:
    open_agent(our_managers, "Hi.", session_id=session_id)("Hello")

    assert len(open_agent(our_managers, session_id=session_id).messages) == 2


def test_an_id_is_never_repaired_into_another(ours_stored: Subject) -> None:
    open_agent(ours_stored, "Hi.", session_id="ada")("Hello")

    for similar in ("ada ", " ada", "Ada", "ada.", "a\u0301da"):
        assert open_agent(ours_stored, session_id=similar).messages == []
