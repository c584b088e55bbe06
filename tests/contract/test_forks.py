"""The contract for forks: a new session that is what another one was before a turn, as the model saw it."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from strands import Agent, tool
from strands.agent.conversation_manager import SlidingWindowConversationManager

from agent_sessions._objects.before_turn import MOST_BYTES
from agent_sessions.exceptions import NotForkableError, SessionExistsError, SessionNotFoundError
from agent_sessions.session_pages import Fork
from agent_sessions.session_store import FileSessionStore, S3SessionStore, SessionStore
from agent_sessions.types import Session, SessionType
from tests.contract.agents import add, conversation, model_of, open_agent, texts
from tests.contract.strands_features import needs_pins
from tests.contract.subjects import Subject
from tests.contract.test_interrupts import AskFirst, answers, asking
from tests.contract.test_redaction import BLOCKED, SECRET
from tests.doubles.scripted_model import tool_use


@tool(context=True)
def remember(word: str, tool_context: Any) -> str:
    """Remember a word.

    Args:
        word: The word.
    """
    tool_context.agent.state.set("words", [*(tool_context.agent.state.get("words") or []), word])
    return "Noted."


def store_of(subject: Subject) -> SessionStore:
    options = subject.options
    if "bucket" in options:
        return S3SessionStore(options["client"], options["bucket"], options["prefix"])
    return FileSessionStore(Path(options["storage_dir"]))


def open_with_memory(subject: Subject, *script: Any, session_id: str = "conversation", **options: Any) -> Agent:
    return open_agent(subject, *script, session_id=session_id, tools=[remember], **options)


def take_turns(subject: Subject, *words: str | None, **options: Any) -> list[int]:
    """One turn for each word, which it remembers, in a process of its own. Returns the turns' first messages."""
    firsts = []
    for number, word in enumerate(words):
        calls = [] if word is None else [tool_use("remember", word=word)]
        agent = open_with_memory(subject, *calls, f"Reply {number}.", **options)
        page = store_of(subject).messages("conversation", agent.agent_id, limit=1000).messages
        firsts.append(len(page))
        agent(f"Prompt {number}")
    return firsts


def seen_in(subject: Subject, session_id: str, **options: Any) -> tuple[Any, Any]:
    """What the model sees of a session when it is asked once more, and the state that tools see."""
    agent = open_with_memory(subject, "Again.", session_id=session_id, **options)
    state = agent.state.get()
    agent("Once more")
    return model_of(agent).requests[0].messages, state


def everything_below(subject: Subject, session_id: str) -> dict[str, bytes]:
    place = subject.stored
    return {key: place.read(key) for key in place.keys() if f"session_{session_id}/" in key}  # noqa: SIM118 - a method of Place


def test_a_fork_is_what_the_session_was_before_a_turn(our_stored_managers: Subject) -> None:
    subject = our_stored_managers
    first, second, third = take_turns(subject, "red", None, "blue")
    before = everything_below(subject, "conversation")

    fork = store_of(subject).fork("conversation", before_message=third, fork_id="other")

    assert fork == Fork("other", "conversation", "a1", third, third, "as then")
    assert everything_below(subject, "conversation") == before
    messages, state = seen_in(subject, "other")
    assert texts(messages) == ["Prompt 0", "Reply 0.", "Prompt 1", "Reply 1.", "Once more"]
    assert state == {"words": ["red"]}
    assert store_of(subject).fork("conversation", before_message=second).state == "as then"
    assert store_of(subject).fork("conversation", before_message=first).message_count == 0


def test_a_fork_before_the_first_turn_has_nothing_in_it(ours_stored: Subject) -> None:
    take_turns(ours_stored, "red")

    store_of(ours_stored).fork("conversation", before_message=0, fork_id="other")

    messages, state = seen_in(ours_stored, "other")
    assert texts(messages) == ["Once more"]
    assert state == {}


def test_a_fork_can_be_forked_and_used_like_any_session(our_stored_managers: Subject) -> None:
    subject = our_stored_managers
    _, second = take_turns(subject, "red", "blue")
    store_of(subject).fork("conversation", before_message=second, fork_id="other")
    seen_in(subject, "other")

    store_of(subject).fork("other", before_message=second, fork_id="third")

    messages, state = seen_in(subject, "third")
    assert texts(messages) == ["Prompt 0", "Reply 0.", "Once more"]
    assert state == {"words": ["red"]}
    assert texts(conversation(open_with_memory(subject, session_id="other")))[-2:] == ["Once more", "Again."]
    described = [store_of(subject).describe(each).fork for each in ("conversation", "other", "third")]
    assert [each and each.forked_from for each in described] == [None, "conversation", "other"]


@pytest.mark.parametrize("name", ["file", "s3"])
def test_strands_own_manager_opens_a_fork(name: str, make_subject: Any) -> None:
    subject, strands = make_subject(name), make_subject(f"strands-{name}")
    _, second = take_turns(subject, "red", "blue")

    store_of(subject).fork("conversation", before_message=second, fork_id="other")

    messages, state = seen_in(strands, "other")
    assert texts(messages) == ["Prompt 0", "Reply 0.", "Once more"]
    assert state == {"words": ["red"]}


@pytest.mark.parametrize("name", ["file", "s3"])
def test_a_session_of_strands_can_be_forked_and_its_state_is_unknown(name: str, make_subject: Any) -> None:
    subject, strands = make_subject(name), make_subject(f"strands-{name}")
    for number in range(2):
        open_with_memory(strands, tool_use("remember", word="red"), f"Reply {number}.")(f"Prompt {number}")

    fork = store_of(subject).fork("conversation", before_message=4, fork_id="other")

    assert (fork.message_count, fork.state) == (4, "unknown")
    messages, state = seen_in(subject, "other")
    assert texts(messages) == ["Prompt 0", "Reply 0.", "Once more"]
    assert state == {}


def test_what_was_redacted_stays_redacted(ours_stored: Subject) -> None:
    subject = ours_stored
    open_agent(subject, BLOCKED)(SECRET)
    open_agent(subject, "Hello.")("Hi")

    store_of(subject).fork("conversation", before_message=2, fork_id="other")

    assert texts(conversation(open_agent(subject, session_id="other"))) == ["[taken back]", "I cannot help with that."]
    assert not any(b"Zanzibar" in body for body in everything_below(subject, "other").values())


def test_a_window_is_what_it_was(our_stored_managers: Subject) -> None:
    def window() -> SlidingWindowConversationManager:
        return SlidingWindowConversationManager(window_size=3)

    subject = our_stored_managers
    seen = []
    for number in range(5):
        agent = open_agent(subject, f"Reply {number}.", conversation_manager=window())
        agent(f"Prompt {number}")
        seen.append(texts(model_of(agent).requests[0].messages))

    for number in range(5):
        store_of(subject).fork("conversation", before_message=2 * number, fork_id=f"before-{number}")
        again = open_agent(subject, "Other.", session_id=f"before-{number}", conversation_manager=window())
        again(f"Prompt {number}")
        assert texts(model_of(again).requests[0].messages) == seen[number]


def test_a_question_that_was_open_is_open_in_the_fork_and_can_be_answered_otherwise(ours_stored: Subject) -> None:
    asked = asking(ours_stored, tool_use("add", a=1, b=2))("1+2?")
    asking(ours_stored, "Done.")(answers(asked, "yes"))

    fork = store_of(ours_stored).fork("conversation", before_message=2, fork_id="other")

    assert (fork.message_count, fork.state) == (2, "as then")
    again = open_agent(ours_stored, "Refused.", session_id="other", tools=[add], hooks=[AskFirst()])
    again(answers(asked, "no"))
    told = model_of(again).requests[0].messages[-1]["content"][0]["toolResult"]
    assert told["content"][0]["text"] == "not approved: no"
    assert not asking(ours_stored)._interrupt_state.activated
    before = store_of(ours_stored).fork("conversation", before_message=0)
    first = open_agent(ours_stored, session_id=before.session_id, tools=[add], hooks=[AskFirst()])
    assert not first._interrupt_state.activated


@needs_pins
def test_pins_are_what_they_were(ours_stored: Subject) -> None:
    def window() -> SlidingWindowConversationManager:
        return SlidingWindowConversationManager(window_size=4, pin_first=1)

    for number in range(5):
        open_agent(ours_stored, f"r{number}", conversation_manager=window())(f"p{number}")

    store_of(ours_stored).fork("conversation", before_message=8, fork_id="other")

    agent = open_agent(ours_stored, "r4", session_id="other", conversation_manager=window())
    agent("p4")
    source = open_agent(ours_stored, conversation_manager=window())
    assert texts(conversation(agent)) == texts(conversation(source))
    assert texts(conversation(agent))[0] == "p0"


def test_another_agent_has_what_it_had_when_the_turn_began(ours_stored: Subject) -> None:
    subject = ours_stored
    for agent_id, prompt in [("a1", "1"), ("b2", "2"), ("a1", "3"), ("b2", "4"), ("c3", "5")]:
        open_with_memory(subject, tool_use("remember", word=prompt), "Yes.", agent_id=agent_id)(prompt)

    fork = store_of(subject).fork("conversation", "a1", before_message=4, fork_id="other")

    assert fork.agent_id == "a1"
    assert [agent.agent_id for agent in store_of(subject).describe("other").agents] == ["a1", "b2"]
    for agent_id, prompt in [("a1", "1"), ("b2", "2")]:
        agent = open_with_memory(subject, agent_id=agent_id, session_id="other")
        assert texts(conversation(agent)) == [prompt, "Yes."]
        assert agent.state.get() == {"words": [prompt]}


def test_a_state_that_is_too_large_is_not_kept(ours_stored: Subject) -> None:
    subject = ours_stored
    _, second, third, fourth = take_turns(subject, "x" * MOST_BYTES, None, None, "y")
    store = store_of(subject)

    assert store.fork("conversation", before_message=0).state == "as then"
    assert [store.fork("conversation", before_message=each).state for each in (second, third, fourth)] == [
        "unknown"
    ] * 3


def test_a_turn_that_changes_nothing_adds_a_few_bytes(ours_stored: Subject) -> None:
    take_turns(ours_stored, "x" * 1000, None, None)

    kits = [each.kit or {} for each in store_of(ours_stored).messages("conversation").messages]
    before = [kit["before"] for kit in kits if "before" in kit]
    assert [sorted(each) for each in before[1:]] == [
        ["_internal_state", "conversation_manager_state", "joined", "pinned", "state"],
        ["as"],
    ]


class TestRefused:
    @pytest.mark.parametrize("message_id", [1, 2, 3])
    def test_a_message_that_begins_no_turn(self, ours_stored: Subject, message_id: int) -> None:
        take_turns(ours_stored, "red", "blue")

        with pytest.raises(NotForkableError, match="begins no turn"):
            store_of(ours_stored).fork("conversation", before_message=message_id)

    def test_what_does_not_exist(self, ours_stored: Subject) -> None:
        take_turns(ours_stored, None)
        store = store_of(ours_stored)

        with pytest.raises(SessionNotFoundError, match="session_id=nobody"):
            store.fork("nobody", before_message=0)
        with pytest.raises(SessionNotFoundError, match="message_id=7"):
            store.fork("conversation", before_message=7)
        with pytest.raises(SessionNotFoundError, match="agent_id=b2"):
            store.fork("conversation", "b2", before_message=0)
        ours_stored.repository().create_session(Session("empty", SessionType.AGENT))
        with pytest.raises(SessionNotFoundError, match="session_id=empty, message_id=0"):
            store.fork("empty", before_message=0)

    def test_an_id_that_is_in_use(self, ours_stored: Subject) -> None:
        take_turns(ours_stored, None)
        open_agent(ours_stored, "Hello.", session_id="other")("Hi")

        with pytest.raises(SessionExistsError):
            store_of(ours_stored).fork("conversation", before_message=0, fork_id="other")

        assert texts(conversation(open_agent(ours_stored, session_id="other"))) == ["Hi", "Hello."]

    def test_no_agent_named_where_there_are_two(self, ours_stored: Subject) -> None:
        take_turns(ours_stored, None)
        take_turns(ours_stored, None, agent_id="b2")

        with pytest.raises(ValueError, match="2 agents"):
            store_of(ours_stored).fork("conversation", before_message=0)


def test_what_an_erased_forks_agent_writes_late_is_never_read_in_the_next_fork(ours_stored: Subject) -> None:
    """Both have one id, as those that are asked for with one key; and one source."""
    _, second = take_turns(ours_stored, "red", "blue")
    store = store_of(ours_stored)
    store.fork("conversation", before_message=second, fork_id="other")
    resident = open_with_memory(ours_stored, "Secret 0.", "Secret 1.", session_id="other")
    resident("Old 0")
    store.delete_session("other")
    store.fork("conversation", before_message=second, fork_id="other")
    with contextlib.suppress(ours_stored.session_exception):
        resident("Old 1")

    messages, _ = seen_in(ours_stored, "other")

    assert texts(messages) == ["Prompt 0", "Reply 0.", "Once more"]
    page = store.messages("other", resident.agent_id, limit=1000).messages
    assert not any("Secret" in str(each) or "Old" in str(each) for each in page)
    assert texts(conversation(open_with_memory(ours_stored, session_id="other")))[-2:] == ["Once more", "Again."]
