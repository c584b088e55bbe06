"""The contract for messages whose objects callers use again: what was said is stored, as it was said, in order."""

import copy
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strands.agent.conversation_manager import NullConversationManager, SlidingWindowConversationManager
from strands.hooks import AfterInvocationEvent, BeforeModelCallEvent

from tests.contract.agents import add, conversation, model_of, open_agent, stored, stored_ids, texts
from tests.contract.pairing import pairing_errors
from tests.contract.strands_features import has_module
from tests.contract.subjects import Subject, custom_subject, file_subject, s3_subject
from tests.doubles.scripted_model import Redact, Stop, tool_use

needs_continuations = pytest.mark.skipif(
    not has_module("strands.agent._continuation"),
    reason="this version of Strands does not add to a message while the agent works",
)


def said(messages: list[Any]) -> list[str]:
    """Who said what, in order, however it is divided into messages."""
    return [f"{m['role'][0]}:{block['text']}" for m in messages for block in m["content"] if "text" in block]


def user(text: str) -> Any:
    return {"role": "user", "content": [{"text": text}]}


def alternates(messages: list[Any]) -> bool:
    return all(before["role"] != after["role"] for before, after in itertools.pairwise(messages))


def open_null(subject: Subject, *script: Any, **options: Any) -> Any:
    """An agent that never removes a message of its own accord."""
    return open_agent(subject, *script, conversation_manager=NullConversationManager(), **options)


@pytest.mark.parametrize("cleared", [True, False])
def test_one_dictionary_for_many_prompts_is_many_messages(our_managers: Subject, cleared: bool) -> None:
    ask: Any = {"role": "user", "content": []}
    agent = open_agent(our_managers, "Paris", "Rome", "Bern")
    for question in ("France?", "Italy?", "Switzerland?"):
        ask["content"] = [{"text": question}]
        if cleared:
            agent.messages.clear()
        agent([ask])

    expected = ["u:France?", "a:Paris", "u:Italy?", "a:Rome", "u:Switzerland?", "a:Bern"]
    assert said([entry.to_message() for entry in stored(our_managers)]) == expected
    assert said(conversation(open_agent(our_managers))) == expected


def test_a_dictionary_that_was_made_from_a_used_one_is_another_message(our_managers: Subject) -> None:
    ask: Any = user("France?")
    agent = open_agent(our_managers, RuntimeError("the model fell over"), "Paris")
    with pytest.raises(Exception, match="the model fell over"):
        agent([ask])

    again: Any = {**ask, "content": [*ask["content"], {"text": "The capital!"}]}
    agent.messages.pop()
    agent([again])

    assert [entry.message_id for entry in stored(our_managers)] == [0, 1, 2]
    restored = conversation(open_agent(our_managers))
    assert said(restored) == ["u:France?", "u:France?", "u:The capital!", "a:Paris"]
    assert alternates(restored)


def test_a_history_that_is_sent_again_is_said_again(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "Paris", "Rome")
    agent("France?")
    history = [*agent.messages, user("Italy?")]
    agent.messages.clear()
    agent(history)

    expected = ["u:France?", "a:Paris", "u:France?", "a:Paris", "u:Italy?", "a:Rome"]
    assert said(conversation(open_agent(our_managers))) == expected
    assert said(agent.messages) == expected[2:]


def test_copies_of_a_history_are_said_again_too(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "Paris", "Rome")
    agent("France?")
    agent([*copy.deepcopy(agent.messages), user("Italy?")])

    expected = ["u:France?", "a:Paris", "u:France?", "a:Paris", "u:Italy?", "a:Rome"]
    assert said(conversation(open_agent(our_managers))) == expected


def test_a_restored_history_that_is_sent_again_is_said_again(our_managers: Subject) -> None:
    open_agent(our_managers, "Paris")("France?")
    agent = open_agent(our_managers, "Rome")
    restored = list(agent.messages)
    agent.messages.clear()
    agent([*restored, user("Italy?")])

    expected = ["u:France?", "a:Paris", "u:France?", "a:Paris", "u:Italy?", "a:Rome"]
    assert said(conversation(open_agent(our_managers))) == expected


def test_a_conversation_that_was_cut_short_or_replaced_goes_on_in_storage(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "one", "two", "three", "four")
    agent("1")
    agent("2")
    agent.messages = agent.messages[:2]
    agent("3")
    agent.messages = [user("something the agent was never told"), {"role": "assistant", "content": [{"text": "hm"}]}]
    agent("4")

    expected = ["u:1", "a:one", "u:2", "a:two", "u:3", "a:three", "u:4", "a:four"]
    assert said(conversation(open_agent(our_managers))) == expected


def test_tool_results_that_a_caller_sends_again_keep_their_pairs(our_managers: Subject) -> None:
    agent = open_agent(our_managers, tool_use("add", a=1, b=1), "2", "again 2", tools=[add])
    agent("1+1?")
    history = [*agent.messages, user("Sure?")]
    agent.messages.clear()
    agent(history)

    restored = conversation(open_agent(our_managers))
    assert pairing_errors(restored) == []
    assert said(restored)[-2:] == ["u:Sure?", "a:again 2"]
    assert len(restored) == 10


def test_a_prompt_that_failed_and_was_taken_back_leaves_roles_that_alternate(our_managers: Subject) -> None:
    agent = open_agent(our_managers, RuntimeError("no"), RuntimeError("no"), "Hello.")
    for _ in range(2):
        with pytest.raises(Exception, match="no"):
            agent("Hi?")
        agent.messages.clear()
    agent("Hi?")

    restored = open_agent(our_managers, "Yes.")
    assert said(restored.messages) == ["u:Hi?", "u:Hi?", "u:Hi?", "a:Hello."]
    assert alternates(restored.messages)
    restored("Still there?")
    assert alternates(list(model_of(restored).requests[0].messages))
    assert stored_ids(our_managers) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("cleared", [True, False])
def test_a_redaction_hits_the_message_and_not_the_one_its_dictionary_held_before(
    our_managers: Subject, cleared: bool
) -> None:
    ask: Any = {"role": "user", "content": [{"text": "harmless"}]}
    agent = open_agent(our_managers, "Fine.", [Redact(user="[taken back]"), "No.", Stop("guardrail_intervened")])
    agent([ask])
    if cleared:
        agent.messages.clear()
    ask["content"] = [{"text": "my secret is Zanzibar"}]
    agent([ask])

    expected = ["u:harmless", "a:Fine.", "u:[taken back]", "a:No."]
    assert said([entry.to_message() for entry in stored(our_managers)]) == expected


def test_a_redaction_reaches_a_prompt_that_was_retried_between_others(our_managers: Subject) -> None:
    ask: Any = {"role": "user", "content": [{"text": "harmless"}]}
    agent = open_agent(
        our_managers, "Fine.", RuntimeError("no"), [Redact(user="[one]"), "No", Redact(user="[two]"), "!"]
    )
    agent([ask])
    ask["content"] = [{"text": "Zanzibar"}]
    with pytest.raises(Exception, match="no"):
        agent([ask])
    agent([ask])

    expected = ["u:harmless", "a:Fine.", "u:[two]", "u:[two]"]
    assert said([entry.to_message() for entry in stored(our_managers)])[:4] == expected


def test_a_pin_stays_with_the_message_that_has_it(our_managers: Subject) -> None:
    ask: Any = {"role": "user", "content": [{"text": "first"}]}
    agent = open_agent(our_managers, "one", "two")
    agent([ask])
    agent.messages.clear()
    ask["content"], ask["metadata"] = [{"text": "second"}], {"custom": {"pinned": True}}
    agent([ask])

    records = stored(our_managers)
    assert "metadata" not in records[0].message
    assert records[2].message["metadata"]["custom"]["pinned"] is True


# --- what Strands itself adds to a stored message ---------------------------------------------------------


def adding_once(agent: Any, event_type: Any, *messages: Any) -> None:
    """Have Strands add messages to the conversation when an event happens, as it does with background results."""
    from strands.agent import _continuation

    left = [messages]

    def add_them(event: Any) -> None:
        for args in left:
            _continuation.add_input(event, _continuation._ContinuationInput(args=list(args)))
        left.clear()

    agent.hooks.add_callback(event_type, add_them)


@needs_continuations
def test_what_strands_adds_to_the_last_message_is_added_to_its_record(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "Paris and Rome")
    adding_once(agent, BeforeModelCallEvent, user("And Italy?"))
    agent("France?")

    assert said(agent.messages) == ["u:France?", "u:And Italy?", "a:Paris and Rome"]
    assert stored_ids(our_managers) == [0, 1]
    assert conversation(open_agent(our_managers)) == conversation(agent)


@needs_continuations
def test_what_strands_adds_to_a_dictionary_that_was_used_before_is_added_to_the_later_record(
    our_managers: Subject,
) -> None:
    ask: Any = user("France?")
    agent = open_agent(our_managers, "Paris", "Rome", "Bern")
    agent([ask])
    agent.messages.clear()
    ask["content"] = [{"text": "Italy?"}]
    adding_once(agent, BeforeModelCallEvent, user("And Switzerland?"))
    agent([ask])

    expected = ["u:France?", "a:Paris", "u:Italy?", "u:And Switzerland?", "a:Rome"]
    assert said([entry.to_message() for entry in stored(our_managers)]) == expected
    assert stored_ids(our_managers) == [0, 1, 2, 3]


@needs_continuations
def test_what_strands_adds_after_an_answer_is_a_message_of_its_own(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "Paris", "Rome")
    adding_once(
        agent,
        AfterInvocationEvent,
        user("Go on."),
        {"role": "assistant", "content": [{"text": "Yes?"}]},
        user("Italy?"),
    )
    agent("France?")

    assert said(agent.messages) == ["u:France?", "a:Paris", "u:Go on.", "a:Yes?", "u:Italy?", "a:Rome"]
    assert conversation(open_agent(our_managers)) == conversation(agent)
    assert stored_ids(our_managers) == [0, 1, 2, 3, 4, 5]


# --- any sequence -----------------------------------------------------------------------------------------

_steps = st.lists(
    st.sampled_from(
        [
            "prompt",
            "fails",
            "dict",
            "dict after clearing",
            "copy of the dict",
            "clear",
            "drop the last",
            "drop the first two",
            "replace by copies",
            "send all again",
            "clear and send all again",
            "restart",
        ]
    ),
    min_size=1,
    max_size=9,
)


class Caller:
    """Somebody who uses an agent in every way, and remembers what was said to it and by it."""

    def __init__(self, subject: Subject, **options: Any) -> None:
        self.subject = subject
        self.options = options
        self.said: list[str] = []
        self.ask: Any = {"role": "user", "content": []}
        self.number = 0
        self.alternated = True  # whether the agent's own messages have, whenever the model saw them
        self.open()

    def open(self) -> None:
        self.agent = open_agent(self.subject, **self.options)
        self.model = model_of(self.agent)

    def take(self, step: str) -> None:
        self.number += 1
        if step in {"restart", "clear", "drop the last", "drop the first two", "replace by copies"}:
            self.change(step)
        elif step.endswith("send all again"):
            history = [*self.agent.messages, user(f"q{self.number}")]
            if step.startswith("clear"):
                self.agent.messages.clear()
            self.say(history)
        elif step == "copy of the dict":
            self.say([{**self.ask, "content": [*self.ask["content"], {"text": f"q{self.number}"}]}])
        elif step.startswith("dict"):
            if step.endswith("clearing"):
                self.agent.messages.clear()
            self.ask["content"] = [{"text": f"q{self.number}"}]
            self.say([self.ask])
        else:
            self.say(f"q{self.number}", fails=step == "fails")

    def change(self, step: str) -> None:
        if step == "restart":
            self.open()
        elif step == "clear":
            self.agent.messages.clear()
        elif step == "drop the last":
            del self.agent.messages[-1:]
        elif step == "drop the first two":
            self.agent.messages = self.agent.messages[2:]
        else:
            self.agent.messages = copy.deepcopy(self.agent.messages)

    def say(self, prompt: Any, *, fails: bool = False) -> None:
        answer = f"a{self.number}"
        self.said += said([user(prompt)] if isinstance(prompt, str) else prompt)
        self.model._script.extend([RuntimeError("the model fell over") if fails else answer])
        if fails:
            with pytest.raises(Exception, match="the model fell over"):
                self.agent(prompt)
        else:
            self.agent(prompt)
            self.said.append(f"a:{answer}")
        self.alternated = self.alternated and alternates(self.agent.messages)

    def check(self) -> None:
        records = stored(self.subject)
        assert said([entry.to_message() for entry in records]) == self.said
        assert [entry.message_id for entry in records] == list(range(len(records)))
        restored = conversation(open_agent(self.subject, **self.options))
        assert said(restored) == self.said
        assert alternates(restored) or not self.alternated


@pytest.fixture
def new_place(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A new and empty subject whenever it is asked for one by its name."""
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as folder:

        def make(name: str) -> Subject:
            if name == "custom":
                return custom_subject()
            if name.startswith("file"):
                return file_subject(name, Path(folder) / str(next(numbers)))
            client = request.getfixturevalue("s3_client")
            return s3_subject(name, client, request.getfixturevalue("bucket"), prefix=str(next(numbers)))

        yield make


@pytest.mark.parametrize(
    ("name", "examples"), [("custom", 60), ("file", 25), ("file-turn", 25), ("s3", 6), ("s3-turn", 6)]
)
def test_for_any_use_of_messages_by_a_caller_what_was_said_is_stored_in_order(
    name: str, examples: int, new_place: Any
) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=_steps)
    def check(steps: list[str]) -> None:
        caller = Caller(new_place(name), conversation_manager=NullConversationManager())
        for step in steps:
            caller.take(step)
        caller.check()

    check()


@settings(max_examples=60, deadline=None)
@given(
    taken_back=st.integers(1, 3),
    steps=st.lists(st.sampled_from(["prompt", "prompt", "fails", "restart"]), min_size=4, max_size=14),
    window=st.sampled_from([2, 4, 6]),
)
def test_a_window_that_slides_over_what_was_joined_is_restored_as_it_was(
    taken_back: int, steps: list[str], window: int
) -> None:
    caller = Caller(custom_subject(), conversation_manager=SlidingWindowConversationManager(window_size=window))
    for _ in range(taken_back):
        caller.take("fails")
        caller.take("clear")
    for step in ["prompt", "restart"]:
        caller.take(step)  # from here on the agent has in memory what the next one restores
    for step in [*steps, "restart"]:
        before = said(caller.agent.messages)
        caller.take(step)
        if step == "restart":
            assert said(caller.agent.messages) == before
    assert texts(stored_messages(caller.subject)) == [line[2:] for line in caller.said]


def stored_messages(subject: Subject) -> list[Any]:
    return [entry.to_message() for entry in stored(subject)]
