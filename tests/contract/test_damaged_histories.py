"""The contract for histories a crash, a lost message or another program left without their pairs."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strands.agent.conversation_manager import SlidingWindowConversationManager, SummarizingConversationManager

from tests.contract.agents import conversation, model_of, open_agent, stored, stored_ids, texts
from tests.contract.pairing import pairing_errors
from tests.contract.places import read_json
from tests.contract.subjects import Subject, custom_subject


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": text}]}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"text": text}]}


def calls(*ids: str, text: str | None = None) -> dict[str, Any]:
    blocks: list[Any] = [{"text": text}] if text else []
    return {
        "role": "assistant",
        "content": blocks + [{"toolUse": {"toolUseId": i, "name": "add", "input": {"a": 1, "b": 1}}} for i in ids],
    }


def results(*ids: str, text: str | None = None) -> dict[str, Any]:
    blocks: list[Any] = [
        {"toolResult": {"toolUseId": i, "status": "success", "content": [{"text": f"result {i}"}]}} for i in ids
    ]
    return {"role": "user", "content": blocks + ([{"text": text}] if text else [])}


DAMAGED = {
    "a call without its result": [user("p0"), calls("t1"), user("p1"), assistant("r1")],
    "one of two results missing": [user("p0"), calls("t1", "t2"), results("t1"), assistant("r1")],
    "a result of another call": [user("p0"), calls("t1"), results("t9"), assistant("r1")],
    "a result too many": [user("p0"), calls("t1"), results("t1", "t9"), assistant("r1")],
    "a result twice": [user("p0"), calls("t1"), results("t1", "t1"), assistant("r1")],
    "a result at the start": [results("t0"), assistant("r0"), user("p1"), assistant("r1")],
    "a result in the middle": [user("p0"), assistant("r0"), results("t1"), user("p1"), assistant("r1")],
    "a result at the end": [user("p0"), assistant("r0"), results("t1")],
    "a result with a text beside it": [user("p0"), assistant("r0"), results("t1", text="p1"), assistant("r1")],
    "calls one after the other": [user("p0"), calls("t1"), calls("t2"), calls("t3"), user("p1"), assistant("r1")],
    "a call with a text, unanswered": [user("p0"), calls("t1", text="thinking"), user("p1"), assistant("r1")],
    "a result of the call before last": [user("p0"), calls("t1"), user("p1"), results("t1"), assistant("r1")],
    "results of one id in two messages": [user("p0"), calls("t1"), results("t1"), results("t1"), assistant("r1")],
}


def store_history(subject: Subject, messages: list[dict[str, Any]]) -> None:
    """Put a history into storage as it is, the way a program without this kit could."""
    repository, types = subject.repository(), subject.types
    repository.create_session(types.Session(session_id="conversation", session_type=types.SessionType.AGENT))
    state = SlidingWindowConversationManager().get_state()
    agent = types.SessionAgent(agent_id="a1", state={}, conversation_manager_state=state)
    repository.create_agent("conversation", agent)
    for number, message in enumerate(messages):
        record = types.SessionMessage.from_message(copy.deepcopy(message), number)
        repository.create_message("conversation", "a1", record)


def said(messages: list[Any]) -> list[str]:
    """All texts a person or the model said, whatever became of tool results."""
    return [text for text in texts(messages) if text]


@pytest.fixture(params=("custom", "file", "s3-turn"))
def repairing(request: pytest.FixtureRequest, make_subject: Any) -> Subject:
    """One implementation for each way to write a repair back."""
    found: Subject = make_subject(request.param)
    return found


@pytest.mark.parametrize("history", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_history_is_restored_as_one_that_a_provider_accepts(repairing: Subject, history: Any) -> None:
    store_history(repairing, history)

    agent = open_agent(repairing, "Going on.")

    assert pairing_errors(conversation(agent)) == []
    assert said(conversation(agent)) == said(history)
    agent("Go on")
    assert pairing_errors(list(model_of(agent).requests[0].messages)) == []


def test_a_summary_in_front_hides_no_orphaned_result(our_managers: Subject) -> None:
    store_history(our_managers, [user("p0"), calls("t1"), results("t1"), assistant("r0")])
    repository, types = our_managers.repository(), our_managers.types
    state = SummarizingConversationManager().get_state() | {
        "removed_message_count": 2,
        "summary_message": {"role": "user", "content": [{"text": "A summary."}]},
    }
    cut = types.SessionAgent(agent_id="a1", state={}, conversation_manager_state=state)
    repository.update_agent("conversation", cut)

    agent = open_agent(our_managers, conversation_manager=SummarizingConversationManager())

    assert conversation(agent) == [user("A summary."), assistant("r0")]


@pytest.mark.parametrize("history", DAMAGED.values(), ids=DAMAGED.keys())
def test_no_record_of_a_damaged_history_is_inserted_deleted_or_renumbered(repairing: Subject, history: Any) -> None:
    store_history(repairing, history)
    before = {entry.message_id: entry.created_at for entry in stored(repairing)}

    open_agent(repairing, "Going on.")("Go on")

    after = stored(repairing)
    assert {entry.message_id: entry.created_at for entry in after[: len(history)]} == before
    assert [entry.message_id for entry in after] == list(range(len(after)))
    assert [entry.message["role"] for entry in after[: len(history)]] == [message["role"] for message in history]


@pytest.mark.parametrize("history", DAMAGED.values(), ids=DAMAGED.keys())
def test_every_later_process_restores_the_same(repairing: Subject, history: Any) -> None:
    store_history(repairing, history)
    first = open_agent(repairing, "Going on.")
    first("Go on")

    second = open_agent(repairing)

    assert pairing_errors(conversation(second)) == []
    assert said(conversation(second)) == said(conversation(first))


def test_a_missing_result_is_an_error_the_model_can_read(managers: Subject) -> None:
    store_history(managers, [user("p0"), calls("t1", "t2"), results("t2"), assistant("r1")])

    restored = conversation(open_agent(managers))

    by_id = {block["toolResult"]["toolUseId"]: block["toolResult"] for block in restored[2]["content"]}
    assert by_id["t1"]["status"] == "error"
    assert by_id["t1"]["content"][0]["text"]
    assert by_id["t2"] == {"toolUseId": "t2", "status": "success", "content": [{"text": "result t2"}]}


def test_what_is_whole_is_restored_untouched(managers: Subject) -> None:
    whole = [
        user("p0"),
        calls("t1", "t2"),
        results("t2", "t1"),
        assistant("r0"),
        user("p1"),
        calls("t3"),
        results("t3"),
    ]
    store_history(managers, whole)
    before = [entry.to_dict() for entry in stored(managers)]

    agent = open_agent(managers)

    assert conversation(agent) == whole
    assert [entry.to_dict() for entry in stored(managers)] == before


def test_a_call_at_the_end_is_left_to_the_agent_which_answers_it(managers: Subject) -> None:
    store_history(managers, [user("p0"), calls("t1")])

    agent = open_agent(managers, "Going on.")

    assert conversation(agent) == [user("p0"), calls("t1")]
    agent("Go on")
    assert pairing_errors(list(model_of(agent).requests[0].messages)) == []
    assert pairing_errors(conversation(open_agent(managers))) == []


def test_a_window_that_begins_in_a_pair_is_not_repaired_in_storage(our_managers: Subject) -> None:
    history = [user("p0"), calls("t1"), results("t1"), assistant("r0"), user("p1"), assistant("r1")]
    store_history(our_managers, history)
    repository, types = our_managers.repository(), our_managers.types
    window = SlidingWindowConversationManager(window_size=4).get_state() | {"removed_message_count": 2}
    cut = types.SessionAgent(agent_id="a1", state={}, conversation_manager_state=window)
    repository.update_agent("conversation", cut)

    agent = open_agent(our_managers, "Going on.", conversation_manager=SlidingWindowConversationManager(window_size=40))

    assert pairing_errors(conversation(agent)) == []
    agent("Go on")
    assert [entry.message for entry in stored(our_managers)[: len(history)]] == history


def without_copies(subject: Subject) -> None:
    """Take away what this kit derived from the messages: they alone are the truth."""
    for key in subject.stored.keys():  # noqa: SIM118 - a method of Place
        if key.endswith("/history.json"):
            subject.stored.remove(key)
        elif key.endswith("/agent.json"):
            record = read_json(subject.stored, key)
            record.pop("kit", None)
            subject.stored.write(key, json.dumps(record).encode())


@pytest.mark.parametrize("missing", [0, 3, 11, 23])
def test_a_gap_shifts_nothing_and_no_index_is_used_twice(ours_stored: Subject, missing: int) -> None:
    for turn in range(12):
        open_agent(ours_stored, f"r{turn}")(f"p{turn}")
    ours_stored.stored.remove(f"session_conversation/agents/agent_a1/messages/message_{missing}.json")
    without_copies(ours_stored)
    everything = [text for turn in range(12) for text in (f"p{turn}", f"r{turn}")]

    agent = open_agent(ours_stored, "r12")

    assert texts(conversation(agent)) == everything[:missing] + everything[missing + 1 :]
    agent("p12")
    numbers = stored_ids(ours_stored)
    # The last index of all is free again when nothing tells that it was ever used.
    assert len(set(numbers)) == len(numbers) == 25
    assert texts(conversation(open_agent(ours_stored)))[-2:] == ["p12", "r12"]


@pytest.mark.parametrize("missing", [0, 3, 11, 23])
def test_a_message_that_somebody_deleted_is_restored_in_its_place_or_not_at_all(
    ours_stored: Subject, missing: int
) -> None:
    for turn in range(12):
        open_agent(ours_stored, f"r{turn}")(f"p{turn}")
    ours_stored.stored.remove(f"session_conversation/agents/agent_a1/messages/message_{missing}.json")
    everything = [text for turn in range(12) for text in (f"p{turn}", f"r{turn}")]

    agent = open_agent(ours_stored, "r12")

    assert texts(conversation(agent)) in (everything, everything[:missing] + everything[missing + 1 :])
    agent("p12")
    numbers = stored_ids(ours_stored)
    assert len(set(numbers)) == len(numbers)
    assert texts(conversation(open_agent(ours_stored)))[-2:] == ["p12", "r12"]


def test_the_messages_alone_restore_the_conversation(ours_stored: Subject) -> None:
    for turn in range(12):
        agent = open_agent(ours_stored, f"r{turn}")
        agent(f"p{turn}")
    without_copies(ours_stored)

    restored = open_agent(ours_stored, "r12")

    assert conversation(restored) == conversation(agent)
    restored("p12")
    assert stored_ids(ours_stored) == list(range(26))


_ids = st.sampled_from(["t1", "t2", "t3"])
_message = st.one_of(
    st.builds(user, st.just("said")),
    st.builds(assistant, st.just("answered")),
    st.lists(_ids, min_size=1, max_size=3, unique=True).map(lambda ids: calls(*ids)),
    st.lists(_ids, min_size=1, max_size=3).map(lambda ids: results(*ids)),
    st.lists(_ids, min_size=1, max_size=2).map(lambda ids: results(*ids, text="beside")),
)


@settings(max_examples=150, deadline=None)
@given(history=st.lists(_message, max_size=9))
def test_any_history_is_restored_as_one_that_a_provider_accepts_and_nothing_said_is_lost(history: list[Any]) -> None:
    subject = custom_subject()
    store_history(subject, history)

    restored = conversation(open_agent(subject))

    assert pairing_errors(restored) == []
    assert said(restored) == said(history)
    assert stored_ids(subject) == list(range(len(history)))
