"""The contract for values: what Strands accepts and JSON can carry is stored, the rest is refused at once."""

import datetime as dt
import decimal
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strands import ToolContext, tool
from strands.agent.conversation_manager import NullConversationManager, SlidingWindowConversationManager
from strands.types.exceptions import EventLoopException

from agent_sessions.exceptions import UnstorableValueError
from agent_sessions.values import MAX_DEPTH, to_json
from tests.contract.agents import conversation, model_of, open_agent, stored, stored_ids, texts
from tests.contract.pairing import pairing_errors
from tests.contract.subjects import Subject, custom_subject
from tests.doubles.scripted_model import tool_use


def nested(levels: int) -> Any:
    value: Any = "core"
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


class Remembering(NullConversationManager):
    """A conversation manager that keeps something of its own."""

    def __init__(self, kept: Any = None) -> None:
        super().__init__()
        self.kept = kept

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "kept": self.kept}

    def restore_from_session(self, state: dict[str, Any]) -> Any:
        self.kept = state.get("kept")
        return super().restore_from_session(state)


def refused(error: BaseException) -> UnstorableValueError:
    """The refusal in whatever Strands raises for it."""
    found = error.original_exception if isinstance(error, EventLoopException) else error
    assert isinstance(found, UnstorableValueError)
    return found


STORED: dict[str, tuple[Any, Any]] = {
    "keys of several types": ({1: "Ada", "late": "Bob"}, {"1": "Ada", "late": "Bob"}),
    "keys of several types, further down": (
        {"rows": [{None: 1, 2.5: 2, "x": 3}]},
        {"rows": [{"null": 1, "2.5": 2, "x": 3}]},
    ),
    "tuples": ({"point": (1, 2)}, {"point": [1, 2]}),
    "an integer that is long": ({"n": 10**4000}, {"n": 10**4000}),
    "half of a surrogate pair": ({"t": "\ud83d"}, {"t": "\ud83d"}),
    "infinities": ({"high": math.inf, "low": -math.inf}, {"high": math.inf, "low": -math.inf}),
    "what is nested": (nested(200), nested(200)),
}


@pytest.mark.parametrize(("value", "restored"), STORED.values(), ids=STORED.keys())
def test_a_state_that_json_can_carry_is_stored_and_restored(our_managers: Subject, value: Any, restored: Any) -> None:
    agent = open_agent(our_managers, "one", "two")
    agent.state.set("v", value)
    agent("hello")
    agent("again")

    second = open_agent(our_managers, "three")

    assert second.state.get("v") == restored
    second("once more")
    assert texts(conversation(open_agent(our_managers))) == ["hello", "one", "again", "two", "once more", "three"]


def test_a_float_that_is_no_number_is_restored_and_written_once() -> None:
    subject = custom_subject()
    agent = open_agent(subject, "one", conversation_manager=NullConversationManager())
    agent.state.set("mean", math.nan)
    agent("hello")

    second = open_agent(subject, "two", conversation_manager=NullConversationManager())
    written: list[Any] = []
    repository = subject.repository()
    update_agent = repository.update_agent

    def note(*args: Any, **kwargs: Any) -> None:
        written.append(args)
        update_agent(*args, **kwargs)

    repository.update_agent = note
    second("again")

    assert math.isnan(second.state.get("mean"))
    assert written == []


def test_a_change_from_one_to_true_is_a_change(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "one", "two")
    agent.state.set("v", {"flag": 1})
    agent("hello")
    agent.state.set("v", {"flag": True})
    agent("again")

    assert open_agent(our_managers).state.get("v")["flag"] is True


def test_what_strands_managers_store_as_python_reads_it_opens_and_goes_on(our_managers: Subject, tmp_path: Any) -> None:
    if our_managers.name not in {"file", "file-turn"}:
        pytest.skip("Strands' manager writes the same JSON to a bucket")
    from strands.session.file_session_manager import FileSessionManager

    folder = our_managers.options["storage_dir"]
    theirs = open_agent(our_managers, "one", session_manager=FileSessionManager("conversation", storage_dir=folder))
    theirs.state.set("v", {"mean": math.nan, "most": math.inf, 1: "x"})
    theirs("hello")

    agent = open_agent(our_managers, "two")
    agent("again")

    restored = open_agent(our_managers).state.get("v")
    assert math.isnan(restored["mean"])
    assert (restored["most"], restored["1"]) == (math.inf, "x")
    assert texts(conversation(agent)) == ["hello", "one", "again", "two"]


REFUSED: dict[str, Any] = {
    "a date": dt.date(2026, 11, 28),
    "a decimal": decimal.Decimal("1.5"),
    "a set": {"x", "y"},
    "an object": object(),
    "two keys that are one": {1: "a", "1": "b"},
    "a key that is none": {(1, 2): "a"},
    "an integer that nobody could read": 10**4400,
    "what is nested too deeply": nested(MAX_DEPTH + 1),
    "what is nested far too deeply": nested(20_000),
}


#: Strands traces the prompt before anybody hears of it, and fails at these itself.
REFUSED_BY_STRANDS = {"a key that is none", "what is nested too deeply", "what is nested far too deeply"}


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in REFUSED_BY_STRANDS])
def test_a_prompt_that_cannot_be_stored_is_refused_and_nothing_of_it_is_kept(our_managers: Subject, name: str) -> None:
    agent = open_agent(our_managers, "Hello.", "Fine.")
    agent("Hi")
    block: Any = {"toolResult": {"toolUseId": "t", "status": "success", "content": [{"json": {"v": REFUSED[name]}}]}}

    prompt: Any = [{"role": "user", "content": [{"text": "fine so far"}]}, {"role": "user", "content": [block]}]
    with pytest.raises(UnstorableValueError) as caught:
        agent(prompt)

    assert caught.value.path.startswith("message.content[0].toolResult")
    assert caught.value.session_id == "conversation"
    assert texts(conversation(agent)) == ["Hi", "Hello."]
    assert stored_ids(our_managers) == [0, 1]
    agent("How are you?")
    assert texts(conversation(open_agent(our_managers))) == ["Hi", "Hello.", "How are you?", "Fine."]


@pytest.mark.parametrize("name", sorted(REFUSED_BY_STRANDS))
def test_after_a_prompt_that_strands_itself_refuses_the_session_works(our_managers: Subject, name: str) -> None:
    agent = open_agent(our_managers, "Hello.", "Fine.")
    agent("Hi")

    prompt: Any = [{"text": "x", "cachePoint": {"type": REFUSED[name]}}]
    with pytest.raises((UnstorableValueError, TypeError, RecursionError)):
        agent(prompt)

    agent.messages = agent.messages[:2]
    agent("How are you?")
    assert texts(conversation(open_agent(our_managers))) == ["Hi", "Hello.", "How are you?", "Fine."]


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_a_conversation_managers_state_that_cannot_be_stored_is_refused_before_the_turn(
    our_managers: Subject, value: Any
) -> None:
    manager = Remembering("fine")
    agent = open_agent(our_managers, "Hello.", "Fine.", conversation_manager=manager)
    agent("Hi")
    manager.kept = value

    with pytest.raises(UnstorableValueError) as caught:
        agent("Anything?")

    assert caught.value.path.startswith("conversation_manager_state.kept")
    assert texts(conversation(agent)) == ["Hi", "Hello."]
    assert stored_ids(our_managers) == [0, 1]
    manager.kept = "fine again"
    agent("How are you?")
    second = open_agent(our_managers, conversation_manager=Remembering())
    assert second.conversation_manager.kept == "fine again"  # type: ignore[attr-defined]
    assert texts(conversation(second)) == ["Hi", "Hello.", "How are you?", "Fine."]


def asking(reason: Any) -> Any:
    @tool(context=True)
    def ask(tool_context: ToolContext) -> str:
        """Ask a person."""
        return f"They said {tool_context.interrupt('question', reason=reason)}."

    return ask


@pytest.mark.parametrize(("value", "restored"), STORED.values(), ids=STORED.keys())
def test_a_question_that_json_can_carry_waits_for_its_answer_in_another_process(
    our_managers: Subject, value: Any, restored: Any
) -> None:
    result = open_agent(our_managers, tool_use("ask"), tools=[asking({"v": value})])("go")
    assert result.stop_reason == "interrupt"

    second = open_agent(our_managers, "Thanks.", tools=[asking({"v": value})])
    (interrupt,) = second._interrupt_state.interrupts.values()
    assert interrupt.reason == {"v": restored}
    answer: Any = [{"interruptResponse": {"interruptId": interrupt.id, "response": "yes"}}]
    second(answer)

    assert texts(conversation(open_agent(our_managers)))[-1] == "Thanks."


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_a_question_that_cannot_be_stored_is_taken_back_and_the_next_prompt_works(
    our_managers: Subject, value: Any
) -> None:
    agent = open_agent(our_managers, tool_use("ask"), "Never mind.", tools=[asking({"v": value})])

    with pytest.raises(UnstorableValueError) as caught:
        agent("go")

    assert caught.value.path.startswith("_internal_state.interrupt_state")
    agent("Forget it")
    restored = open_agent(our_managers, "Fine.", tools=[asking("x")])
    assert pairing_errors(conversation(restored)) == []
    assert texts(conversation(restored))[-2:] == ["Forget it", "Never mind."]
    restored("And now?")
    assert texts(conversation(open_agent(our_managers)))[-1] == "Fine."


def test_a_model_state_that_cannot_be_stored_is_refused_and_another_process_goes_on(our_managers: Subject) -> None:
    agent = open_agent(our_managers, "Hello.", "never said")
    agent("Hi")
    agent._model_state["when"] = dt.date(2026, 11, 28)

    with pytest.raises(UnstorableValueError) as caught:
        agent("Anything?")

    assert (caught.value.path, caught.value.type_name) == ("_internal_state.model_state.when", "datetime.date")
    assert model_of(agent).unplayed == 1
    open_agent(our_managers, "Fine.")("How are you?")
    assert texts(conversation(open_agent(our_managers))) == ["Hi", "Hello.", "How are you?", "Fine."]


def test_a_state_that_a_turn_makes_unstorable_is_told_and_what_was_said_is_kept(our_managers: Subject) -> None:
    manager = Remembering("fine")

    @tool
    def spoil() -> str:
        """Spoil what the conversation manager keeps."""
        manager.kept = {"when": dt.date(2026, 11, 28)}
        return "spoilt"

    agent = open_agent(our_managers, tool_use("spoil"), "never said", tools=[spoil], conversation_manager=manager)

    with pytest.raises(Exception) as caught:
        agent("go")

    assert refused(caught.value).path == "conversation_manager_state.kept.when"
    second = open_agent(our_managers, "Fine.", tools=[spoil], conversation_manager=Remembering())
    assert second.conversation_manager.kept == "fine"  # type: ignore[attr-defined]
    second("And now?")
    assert pairing_errors(conversation(open_agent(our_managers, conversation_manager=Remembering()))) == []
    assert texts(conversation(second))[-2:] == ["And now?", "Fine."]


def test_a_new_agent_that_cannot_be_stored_leaves_nothing_and_another_can_be_made(our_managers: Subject) -> None:
    bad: Any = {"role": "user", "content": [{"text": "x"}, {"json": {1, 2}}]}
    with pytest.raises(UnstorableValueError):
        open_agent(our_managers, messages=[{"role": "user", "content": [{"text": "fine"}]}, bad])
    with pytest.raises(UnstorableValueError):
        open_agent(our_managers, conversation_manager=Remembering({1, 2}))

    open_agent(our_managers, "Hello.")("Hi")

    assert texts(conversation(open_agent(our_managers))) == ["Hi", "Hello."]


def test_a_repository_refuses_what_it_cannot_store_and_keeps_what_it_has(ours: Subject) -> None:
    repository, types = ours.repository(), ours.types
    repository.create_session(types.Session(session_id="s1", session_type=types.SessionType.AGENT))
    repository.create_agent("s1", types.SessionAgent("a1", {"n": 1}, {}))
    repository.create_message("s1", "a1", types.SessionMessage({"role": "user", "content": [{"text": "x"}]}, 0))

    with pytest.raises(UnstorableValueError):
        repository.update_agent("s1", types.SessionAgent("a1", {"n": {1}}, {}))
    with pytest.raises(UnstorableValueError):
        repository.update_message("s1", "a1", types.SessionMessage({"role": "user", "content": [{"text": {1}}]}, 0))
    with pytest.raises(UnstorableValueError):
        repository.create_message("s1", "a1", types.SessionMessage({"role": "user", "content": [{"text": {1}}]}, 1))

    assert repository.read_agent("s1", "a1").state == {"n": 1}
    assert texts([entry.to_message() for entry in repository.list_messages("s1", "a1")]) == ["x"]


_keys = st.one_of(
    st.text(max_size=3), st.integers(-3, 3), st.booleans(), st.none(), st.floats(allow_nan=False, width=16)
)
_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(["\ud83d", "🙂"])
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(_keys, below, max_size=3), st.tuples(below, below)
    ),
    max_leaves=12,
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=_values, second=_values)
def test_any_state_that_strands_takes_is_stored_or_refused_and_the_session_goes_on(first: Any, second: Any) -> None:
    subject = custom_subject()
    agent = open_agent(subject, "one", "two", conversation_manager=SlidingWindowConversationManager())
    told = 0
    for value in (first, second):
        agent.state.set("v", value)
        if to_json(value, "v")[1] is None:
            agent("hello")
            told += 1
            continue
        with pytest.raises(UnstorableValueError, match="are one in JSON"):
            agent("hello")
        agent.state.delete("v")

    restored = open_agent(subject, "three")
    restored("more")
    assert len(stored(subject)) == 2 * told + 2
