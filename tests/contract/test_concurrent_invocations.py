"""The contract for an agent that may be invoked while it is being invoked: one manager, several threads or tasks."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from strands import Agent
from strands.agent.conversation_manager import NullConversationManager

from tests.contract.agents import conversation, open_agent, stored, stored_ids
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import Redact, ScriptedModel, tool_use

REENTRANT: dict[str, Any] = {
    "concurrent_invocation_mode": "unsafe_reentrant",
    "conversation_manager": NullConversationManager(),
}


class Meeting:
    """A model whose calls wait for one another: so many are under way before the first is answered."""

    def __init__(self, calls: int) -> None:
        self._barrier = threading.Barrier(calls, timeout=60)

    async def __call__(self, seconds: float) -> None:
        await asyncio.to_thread(self._barrier.wait)


def said(messages: list[Any]) -> list[str]:
    return [f"{m['role'][0]}:{block['text']}" for m in messages for block in m["content"] if "text" in block]


def shown(subject: Subject) -> list[str]:
    return said([entry.to_message() for entry in stored(subject)])


def at_once(*work: Callable[[], Any]) -> list[BaseException]:
    """Run things in threads of their own; return what they raised."""
    errors: list[BaseException] = []

    def run(one: Callable[[], Any]) -> None:
        try:
            one()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return errors


def reentrant(subject: Subject, model: Any, **options: Any) -> Agent:
    return open_agent(subject, model=model, **REENTRANT | options)


@pytest.fixture
def turns() -> int:
    return 4


def test_several_threads_on_one_agent_are_all_stored(our_managers: Subject, turns: int) -> None:
    model = ScriptedModel(otherwise="ok", think_seconds=1, sleep=Meeting(turns))
    agent = reentrant(our_managers, model)

    errors = at_once(*(lambda n=n: agent(f"p{n}") for n in range(turns)))

    assert errors == []
    assert Counter(shown(our_managers)) == Counter({f"u:p{n}": 1 for n in range(turns)} | {"a:ok": turns})
    assert stored_ids(our_managers) == list(range(2 * turns))
    assert Counter(said(conversation(open_agent(our_managers)))) == Counter(shown(our_managers))


def test_several_tasks_on_one_agent_are_all_stored(our_managers: Subject, turns: int) -> None:
    async def a_little_later(seconds: float) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    agent = reentrant(our_managers, ScriptedModel(otherwise="ok", think_seconds=1, sleep=a_little_later))

    async def all_of_them() -> None:
        await asyncio.gather(*(agent.invoke_async(f"p{n}") for n in range(turns)))

    asyncio.run(all_of_them())

    assert Counter(shown(our_managers)) == Counter({f"u:p{n}": 1 for n in range(turns)} | {"a:ok": turns})
    assert stored_ids(our_managers) == list(range(2 * turns))


def test_each_turn_is_durable_when_it_returns_though_others_go_on(our_managers: Subject) -> None:
    slow_is_under_way, hold = threading.Event(), threading.Event()

    class Model(ScriptedModel):
        async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            prompt = messages[-1]["content"][0]["text"]
            if prompt == "slow":
                slow_is_under_way.set()
                await asyncio.to_thread(hold.wait, 60)
            async for event in super().stream(messages, *args, **kwargs):
                yield event

    agent = reentrant(our_managers, Model(otherwise="ok"))
    slow = threading.Thread(target=lambda: agent("slow"))
    slow.start()
    assert slow_is_under_way.wait(60)
    agent.state.set("quick", True)
    agent("quick")
    seen = open_agent(our_managers)
    hold.set()
    slow.join(60)

    assert said(conversation(seen)) == ["u:slow", "u:quick", "a:ok"]
    assert seen.state.get("quick") is True
    assert said(conversation(open_agent(our_managers))) == ["u:slow", "u:quick", "a:ok", "a:ok"]


def test_tools_states_and_syncs_of_several_threads_do_not_conflict(our_managers: Subject, turns: int) -> None:
    agent = reentrant(our_managers, ScriptedModel(*script_for(turns)))
    manager: Any = agent._session_manager

    def take(number: int) -> None:
        agent.state.set(f"n{number}", number)
        agent(f"p{number}")
        manager.sync_agent(agent)

    errors = at_once(*(lambda n=n: take(n) for n in range(turns)), *(lambda: manager.sync_agent(agent),) * 3)

    assert errors == []
    restored = open_agent(our_managers)
    assert restored.state.get() == {f"n{number}": number for number in range(turns)}
    assert stored_ids(our_managers) == list(range(len(stored_ids(our_managers))))
    assert Counter(line for line in shown(our_managers) if line.startswith("u:")) == {
        f"u:p{n}": 1 for n in range(turns)
    }


def script_for(turns: int) -> Iterator[Any]:
    """Replies that suit any order of calls: a tool call for a prompt, a text for a result."""

    def answer(request: Any) -> Any:
        last = request.messages[-1]["content"]
        return "done" if any("toolResult" in block for block in last) else tool_use("add", a=1, b=1)

    return iter([answer] * (20 * turns))


def test_a_redaction_beside_other_turns_hits_the_message_that_the_agent_has_redacted(our_managers: Subject) -> None:
    hold, redacted = threading.Event(), threading.Event()

    class Model(ScriptedModel):
        async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            prompt = messages[-1]["content"][0]["text"]
            if prompt == "my secret is Zanzibar":
                yield {"redactContent": {"redactUserContentMessage": "[taken back]"}}
                redacted.set()
                await asyncio.to_thread(hold.wait, 60)
            async for event in super().stream(messages, *args, **kwargs):
                yield event

    agent = reentrant(our_managers, Model(otherwise="ok"))
    secret = threading.Thread(target=lambda: agent("my secret is Zanzibar"))
    secret.start()
    assert redacted.wait(60)
    errors = at_once(*(lambda n=n: agent(f"p{n}") for n in range(3)))
    hold.set()
    secret.join(60)

    assert errors == []
    assert shown(our_managers)[0] == "u:[taken back]"
    assert Counter(shown(our_managers)[1:]) == Counter({"u:p0": 1, "u:p1": 1, "u:p2": 1, "a:ok": 4})


def test_redactions_of_several_threads_leave_nothing_of_what_was_said(our_managers: Subject, turns: int) -> None:
    reply: list[Any] = [Redact(user="[taken back]"), "No."]
    agent = reentrant(our_managers, ScriptedModel(otherwise=reply))

    errors = at_once(*(lambda n=n: agent(f"Zanzibar {n}") for n in range(turns)))

    assert errors == []
    # Strands redacts whichever message is the last at that moment; that one, and no other, is redacted in storage too.
    assert Counter(shown(our_managers)) == Counter(said(agent.messages))


def test_a_model_that_fails_in_one_thread_leaves_the_others_alone(our_managers: Subject) -> None:
    def answer(request: Any) -> Any:
        if request.texts[-1] == "bad":
            raise RuntimeError("the model fell over")
        return "ok"

    agent = reentrant(our_managers, ScriptedModel(*[answer] * 20))

    errors = at_once(*(lambda n=n: agent("bad" if n == 1 else f"p{n}") for n in range(3)))

    assert [str(error) for error in errors if "the model fell over" not in str(error)] == []
    again = open_agent(our_managers, "Fine.")
    again("And now?")
    users = [line for line in said(conversation(open_agent(our_managers))) if line.startswith("u:")]
    assert Counter(users) == Counter(["u:bad", "u:p0", "u:p2", "u:And now?"])


def test_several_agents_of_one_manager_run_at_once(our_managers: Subject, turns: int) -> None:
    manager = our_managers.manager()
    agents: dict[int, Agent] = {}

    def begin(number: int) -> None:
        model = ScriptedModel(otherwise="ok")
        agents[number] = open_agent(our_managers, agent_id=f"a{number}", model=model, session_manager=manager)
        agents[number](f"p{number}")

    errors = at_once(*(lambda n=n: begin(n) for n in range(turns)))

    assert errors == []
    for number in range(turns):
        assert said(conversation(open_agent(our_managers, agent_id=f"a{number}"))) == [f"u:p{number}", "a:ok"]


def test_of_many_threads_that_restore_one_id_with_one_manager_one_does(our_managers: Subject) -> None:
    open_agent(our_managers, "Hi.")("Hello")
    manager = our_managers.manager()

    errors = at_once(*(lambda: open_agent(our_managers, session_manager=manager) for _ in range(4)))

    assert len(errors) == 3
    assert all("unique in a session" in str(error) for error in errors)
