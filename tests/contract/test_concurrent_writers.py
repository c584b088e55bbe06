"""The contract among writers of this kit: the later one of two is refused, and what it was refused leaves no trace."""

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from tests.contract.agents import conversation, model_of, open_agent, stored_ids, texts
from tests.contract.s3_answers import answering, s3_answer
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import tool_use


@pytest.fixture(params=("file", "s3", "s3-kms", "file-turn", "s3-turn"))
def shared(request: pytest.FixtureRequest, make_subject: Any) -> Subject:
    """Each implementation that promises to see other writers, in both durability modes."""
    found: Subject = make_subject(request.param)
    return found


def records(subject: Subject) -> dict[str, bytes]:
    return {key: subject.stored.read(key) for key in subject.stored.keys()}  # noqa: SIM118 - a method of Place


def test_creating_a_message_at_an_index_that_is_taken_is_refused(ours: Subject) -> None:
    repository, types = ours.repository(), ours.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    repository.create_agent("s1", types.SessionAgent(agent_id="a1", state={}, conversation_manager_state={}))

    def create(text: str) -> None:
        message = {"role": "user", "content": [{"text": text}]}
        repository.create_message("s1", "a1", types.SessionMessage.from_message(message, 0))

    create("first")
    with pytest.raises(ours.session_exception):
        create("second")

    assert repository.read_message("s1", "a1", 0).message["content"] == [{"text": "first"}]


def test_the_later_of_two_overlapping_turns_is_refused_before_its_model_is_called(shared: Subject) -> None:
    from agent_sessions.exceptions import SessionConflictError

    open_agent(shared, "Hi.")("Hello")
    winner, loser = open_agent(shared, "I won."), open_agent(shared, "never said")
    winner("First!")

    with pytest.raises(SessionConflictError) as caught:
        loser("Me too!")

    assert caught.value.session_id == "conversation"
    assert model_of(loser).requests == []
    assert texts(conversation(open_agent(shared))) == ["Hello", "Hi.", "First!", "I won."]


def test_a_turn_that_started_earlier_and_ends_later_is_refused_as_soon_as_it_writes(shared: Subject) -> None:
    open_agent(shared, "Hi.")("Hello")
    slow = open_agent(shared, lambda request: interrupt_with_another_turn(), "never said")

    def interrupt_with_another_turn() -> Any:
        # The slow turn's prompt is stored and fences: a process that opens the session now sees it.
        other = open_agent(shared, "In between.")
        other("Quick one")
        return tool_use("add", a=1, b=1)

    with pytest.raises(Exception):  # noqa: B017 - Strands wraps what a later append raises
        slow("Slow one")

    restored = texts(conversation(open_agent(shared)))
    assert restored == ["Hello", "Hi.", "Slow one", "Quick one", "In between."]
    assert stored_ids(shared) == list(range(5))


def test_after_a_conflict_the_loser_writes_nothing_more(shared: Subject) -> None:
    open_agent(shared, "Hi.")("Hello")
    winner, loser = open_agent(shared, "I won."), open_agent(shared, "never said", "never said")
    winner("First!")
    with pytest.raises(shared.session_exception):
        loser("Me too!")
    before = records(shared)

    loser.state.set("late", True)
    manager: Any = loser._session_manager
    with pytest.raises(shared.session_exception):
        manager.sync_agent(loser)
    with pytest.raises(shared.session_exception):
        loser("Again!")

    assert records(shared) == before


def test_the_loser_can_reload_and_go_on(shared: Subject) -> None:
    winner, loser = open_agent(shared, "I won."), open_agent(shared)
    winner("First!")
    with pytest.raises(shared.session_exception):
        loser("Me too!")

    open_agent(shared, "Now you.")("Me too!")

    assert texts(conversation(open_agent(shared))) == ["First!", "I won.", "Me too!", "Now you."]


def test_a_stale_state_is_refused_and_the_other_writers_state_stays(shared: Subject) -> None:
    open_agent(shared, "Hi.", state={"count": 0})("Hello")
    first, stale = open_agent(shared), open_agent(shared)
    for agent, count in ((first, 1), (stale, 2)):
        agent.state.set("count", count)
    first_manager: Any = first._session_manager
    stale_manager: Any = stale._session_manager
    first_manager.sync_agent(first)

    with pytest.raises(shared.session_exception):
        stale_manager.sync_agent(stale)

    assert open_agent(shared).state.get() == {"count": 1}


def test_a_state_that_was_changed_and_changed_back_is_not_mistaken_for_the_one_that_was_read(shared: Subject) -> None:
    open_agent(shared, "Hi.", state={"count": 0})("Hello")
    other, stale = open_agent(shared), open_agent(shared)
    other_manager: Any = other._session_manager
    stale_manager: Any = stale._session_manager
    for count in (1, 0):
        other.state.set("count", count)
        other_manager.sync_agent(other)
    stale.state.set("count", 5)

    with pytest.raises(shared.session_exception):
        stale_manager.sync_agent(stale)

    assert open_agent(shared).state.get() == {"count": 0}


def test_one_writer_never_conflicts_with_itself(shared: Subject) -> None:
    agent = open_agent(shared, *[f"r{turn}" for turn in range(5)], state={"turn": 0})
    for turn in range(5):
        agent.state.set("turn", turn)
        agent(f"p{turn}")
        agent.state.set("turn", 0)

    assert stored_ids(shared) == list(range(10))


def test_of_many_processes_that_open_a_new_session_at_once_every_one_gets_it(shared: Subject) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        managers = list(pool.map(lambda _: shared.manager("contested"), range(8)))

    assert len({manager.session.created_at for manager in managers}) == 1
    assert shared.manager("contested").session.created_at == managers[0].session.created_at


def test_of_many_overlapping_turns_each_is_whole_or_refused(shared: Subject) -> None:
    open_agent(shared, "Hi.")("Hello")
    agents = [open_agent(shared, tool_use("add", a=number, b=1), f"reply {number}") for number in range(6)]

    def take_turn(number: int) -> bool:
        try:
            agents[number](f"prompt {number}")
        except Exception:  # noqa: BLE001 - a refused turn raises what Strands makes of the conflict
            return False
        return True

    with ThreadPoolExecutor(max_workers=6) as pool:
        kept = [number for number, done in enumerate(pool.map(take_turn, range(6))) if done]

    assert len(kept) == 1
    assert texts(conversation(open_agent(shared))) == ["Hello", "Hi.", f"prompt {kept[0]}", f"reply {kept[0]}"]


@pytest.mark.parametrize("part_of_key", ["message_0.json", "message_1.json", "agent.json", "session.json"])
def test_a_write_whose_answer_was_lost_is_recognised_as_ones_own(ours_s3: Subject, part_of_key: str) -> None:
    lost: list[str] = []

    def lose_the_answer(request: Any) -> AWSResponse | None:
        if lost or part_of_key not in request.url:
            return None
        lost.append(request.url)
        headers = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
        }
        body = request.body.read() if hasattr(request.body, "read") else request.body
        applied = urllib.request.Request(request.url, data=body, headers=headers, method="PUT")  # noqa: S310 - loopback
        urllib.request.urlopen(applied).close()  # noqa: S310 - loopback
        if hasattr(request.body, "seek"):
            request.body.seek(0)
        return s3_answer(request, 500, "<Error><Code>InternalError</Code></Error>")

    with answering(ours_s3.place, "PutObject", lose_the_answer):
        open_agent(ours_s3, "Hi.", state={"x": 1})("Hello")

    assert lost
    assert texts(conversation(open_agent(ours_s3))) == ["Hello", "Hi."]


def test_a_redaction_of_a_message_that_another_writer_redacted_first_is_still_a_redaction(shared: Subject) -> None:
    first = open_agent(shared, "Hi.")
    first("my secret is Zanzibar")
    second = open_agent(shared)
    replacement: Any = {"role": "user", "content": [{"text": "[gone]"}]}
    for agent in (first, second):
        manager: Any = agent._session_manager
        manager.redact_latest_message(replacement, agent)

    assert not any(b"Hi." in body for key, body in records(shared).items() if key.endswith("message_1.json"))
