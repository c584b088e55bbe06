"""The contract of a manager with a real agent: the next process goes on exactly where the last one stopped."""

from typing import Any

import pytest
from strands import Agent, ToolContext, tool
from strands.agent.conversation_manager import NullConversationManager
from strands.types.exceptions import ModelThrottledException

from tests.contract.agents import add, conversation, image, model_of, open_agent, stored, stored_ids, texts
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import ScriptedModel, reasoning, tool_use


def test_the_next_process_has_the_same_conversation_and_sends_it_to_the_model(managers: Subject) -> None:
    first = open_agent(managers, "Hello Ada.")
    first("I am Ada.")

    second = open_agent(managers, "Ada.")

    assert conversation(second) == conversation(first)
    second("Who am I?")
    assert model_of(second).requests[0].texts == ["I am Ada.", "Hello Ada.", "Who am I?"]


def test_messages_are_numbered_without_gaps_over_many_processes(managers: Subject) -> None:
    for turn in range(7):
        open_agent(managers, f"reply {turn}")(f"prompt {turn}")

    expected = [text for turn in range(7) for text in (f"prompt {turn}", f"reply {turn}")]
    assert stored_ids(managers) == list(range(14))
    assert texts([entry.to_message() for entry in stored(managers)]) == expected


def test_several_turns_of_one_process_are_all_there(managers: Subject) -> None:
    first = open_agent(managers, "one", "two", "three")
    for prompt in ("1", "2", "3"):
        first(prompt)

    assert conversation(open_agent(managers)) == conversation(first)


def test_tool_calls_and_their_results_are_restored(managers: Subject) -> None:
    first = open_agent(managers, ["Let me see.", tool_use("add", a=2, b=3), tool_use("add", a=4, b=5)], "5 and 9.")
    first("2+3 and 4+5?")

    second = open_agent(managers, "You are welcome.")

    assert conversation(second) == conversation(first)
    assert len(second.messages) == 4
    second("Thanks.")
    assert stored_ids(managers) == list(range(6))


def test_images_and_reasoning_are_restored(managers: Subject) -> None:
    first = open_agent(managers, [reasoning("hm", signature="sig"), "A cat."])
    prompt: Any = [{"text": "What is it?"}, image()]
    first(prompt)

    second = open_agent(managers)

    assert conversation(second) == conversation(first)
    assert second.messages[0]["content"][1] == image()


def test_the_agents_state_is_restored(managers: Subject) -> None:
    first = open_agent(managers, "ok", state={"from": "the start"})
    first("Hi")
    first.state.set("added", {"deep": [1, None, "é"]})
    first.messages.clear()
    sync(first)

    second = open_agent(managers, state={"ignored": True})

    assert second.state.get() == {"from": "the start", "added": {"deep": [1, None, "é"]}}


def sync(agent: Agent) -> None:
    manager: Any = agent._session_manager
    manager.sync_agent(agent)


def test_state_that_a_tool_sets_is_stored_with_the_turn(managers: Subject) -> None:
    @tool(context=True)
    def remember(value: str, tool_context: ToolContext) -> str:
        """Remember a value."""
        tool_context.agent.state.set("remembered", value)
        return "done"

    open_agent(managers, tool_use("remember", value="blue"), "ok", tools=[remember])("My colour is blue.")

    assert open_agent(managers).state.get("remembered") == "blue"


def test_a_state_that_was_taken_back_is_gone(managers: Subject) -> None:
    first = open_agent(managers, "ok", "ok", state={"a": 1, "b": 2})
    first("Hi")
    first.state.delete("a")
    first("Hi again")

    assert open_agent(managers).state.get() == {"b": 2}


def test_messages_an_agent_starts_with_are_stored(managers: Subject) -> None:
    start: list[Any] = [
        {"role": "user", "content": [{"text": "Be brief."}]},
        {"role": "assistant", "content": [{"text": "Yes."}]},
    ]
    first = open_agent(managers, "Hi.", messages=start)
    first("Hello")

    assert stored_ids(managers) == [0, 1, 2, 3]
    assert texts(conversation(open_agent(managers))) == ["Be brief.", "Yes.", "Hello", "Hi."]


def test_a_stored_conversation_replaces_the_messages_an_agent_starts_with(managers: Subject) -> None:
    open_agent(managers, "Hi.")("Hello")

    second = open_agent(managers, messages=[{"role": "user", "content": [{"text": "something else"}]}])

    assert texts(conversation(second)) == ["Hello", "Hi."]
    assert stored_ids(managers) == [0, 1]


def test_an_agent_that_never_spoke_can_be_restored(managers: Subject) -> None:
    open_agent(managers, state={"x": 1})

    second = open_agent(managers, "Hi.")

    assert second.messages == []
    assert second.state.get() == {"x": 1}
    second("Hello")
    assert stored_ids(managers) == [0, 1]


def test_two_agents_of_one_id_in_one_manager_are_refused(managers: Subject) -> None:
    manager = managers.manager()
    Agent(model=ScriptedModel(), agent_id="twin", session_manager=manager)

    with pytest.raises(managers.session_exception, match=r"The `agent_id` of an agent must be unique in a session\."):
        Agent(model=ScriptedModel(), agent_id="twin", session_manager=manager)


def test_several_agents_share_a_session_and_keep_their_own_conversations(managers: Subject) -> None:
    manager = managers.manager()
    first = open_agent(managers, "I am one.", agent_id="one", session_manager=manager)
    second = open_agent(managers, "I am two.", agent_id="two", session_manager=manager)
    first("Who?")
    second("Who?")

    again = managers.manager()
    restored = {
        agent_id: texts(conversation(open_agent(managers, agent_id=agent_id, session_manager=again)))
        for agent_id in ("one", "two")
    }

    assert restored == {"one": ["Who?", "I am one."], "two": ["Who?", "I am two."]}


def test_another_session_knows_nothing(managers: Subject) -> None:
    open_agent(managers, "Hi.", session_id="user1")("Hello")

    assert open_agent(managers, session_id="user10").messages == []
    assert open_agent(managers, session_id="user").messages == []


def test_a_model_that_keeps_the_conversation_gets_no_messages_but_numbering_goes_on(managers: Subject) -> None:
    first = open_agent(managers, model=ScriptedModel("one", stateful=True))
    first("1")
    assert first._model_state == {"response_id": "resp_1"}

    second = open_agent(managers, model=ScriptedModel("two", stateful=True))

    assert second.messages == []
    assert second._model_state == {"response_id": "resp_1"}
    second("2")
    assert model_of(second).requests[0].model_state == {"response_id": "resp_1"}
    assert stored_ids(managers) == [0, 1, 2, 3]


def test_after_a_model_error_the_prompt_is_kept_and_the_next_turn_works(managers: Subject) -> None:
    first = open_agent(managers, RuntimeError("the model fell over"))
    with pytest.raises(Exception, match="the model fell over"):
        first("Hello?")

    second = open_agent(managers, "Back again.")

    assert texts(conversation(second)) == ["Hello?"]
    second("Still there?")
    assert texts(conversation(open_agent(managers))) == ["Hello?", "Still there?", "Back again."]


def test_the_models_error_reaches_the_caller_as_it_is(managers: Subject) -> None:
    agent = open_agent(managers, ModelThrottledException("slow down"), retry_strategy=None)

    with pytest.raises(ModelThrottledException, match="slow down"):
        agent("Hello?")


def test_an_agent_cancelled_in_a_turn_leaves_a_session_that_goes_on(managers: Subject) -> None:
    @tool
    def stop_everything() -> str:
        """Cancel the agent."""
        first.cancel()
        return "cancelled"

    first = open_agent(managers, tool_use("stop_everything"), "never said", tools=[stop_everything])
    first("Go")

    second = open_agent(managers, "Going on.", tools=[stop_everything])

    assert conversation(second) == conversation(first)
    second("Go on")
    assert texts(conversation(open_agent(managers)))[-2:] == ["Go on", "Going on."]


def test_a_direct_tool_call_is_part_of_the_conversation(managers: Subject) -> None:
    first = open_agent(managers, "Hi.")
    first("Hello")
    first.tool.add(a=1, b=2)

    second = open_agent(managers)

    assert len(first.messages) > 2
    assert conversation(second) == conversation(first)


def test_the_demo_of_the_documentation_two_agents_one_session_id(managers: Subject) -> None:
    first = Agent(
        model=ScriptedModel("Hi!"), tools=[add], session_manager=managers.manager("demo"), callback_handler=None
    )
    first("Hello, what is 2 + 2?")

    def answer(request: Any) -> str:
        return f"You asked: {request.texts[0]}"

    second = Agent(model=ScriptedModel(answer), session_manager=managers.manager("demo"), callback_handler=None)

    assert str(second("What did I just ask you?")).strip() == "You asked: Hello, what is 2 + 2?"


def test_a_null_conversation_manager_is_restored(managers: Subject) -> None:
    first = open_agent(managers, "Hi.", conversation_manager=NullConversationManager())
    first("Hello")

    second = open_agent(managers, conversation_manager=NullConversationManager())

    assert conversation(second) == conversation(first)


def test_a_manager_is_never_falsy_and_is_a_session_manager_to_strands(our_managers: Subject) -> None:
    from strands.session import SessionManager

    agent = open_agent(our_managers)

    assert bool(agent._session_manager) is True
    assert isinstance(agent._session_manager, SessionManager)


def test_an_agent_without_an_id_is_refused(our_managers: Subject) -> None:
    agent = open_agent(our_managers)
    agent.agent_id = None  # type: ignore[assignment] # what a duck-typed agent may do

    with pytest.raises(ValueError, match="agent_id needs to be defined"):
        our_managers.types.SessionAgent.from_agent(agent)


def test_what_happens_to_a_message_after_its_hook_does_not_reach_storage(our_managers: Subject) -> None:
    from strands.hooks import AfterModelCallEvent, BeforeModelCallEvent

    agent = open_agent(our_managers, "Hi.")

    def deface(event: BeforeModelCallEvent | AfterModelCallEvent) -> None:
        event.agent.messages[0]["content"] = [{"text": "defaced"}]

    agent.hooks.add_callback(BeforeModelCallEvent, deface)
    agent.hooks.add_callback(AfterModelCallEvent, deface)
    agent("Hello")

    assert texts([entry.to_message() for entry in stored(our_managers)]) == ["Hello", "Hi."]


def test_a_turn_that_changes_no_state_writes_no_agent_record() -> None:
    from tests.contract.subjects import custom_subject

    subject = custom_subject()
    open_agent(subject, "Hi.")("Hello")
    agent = open_agent(subject, tool_use("add", a=1, b=1), "2", conversation_manager=NullConversationManager())
    written: list[Any] = []
    repository = subject.repository()
    repository.update_agent = lambda session_id, session_agent, **kwargs: written.append(session_agent)
    agent("1+1?")
    first_turn = len(written)
    sync(agent)
    sync(agent)

    assert first_turn <= 1  # the first sync of a process may write: it has nothing to compare with but what it read
    assert len(written) == first_turn
