"""``fence="effects"``: the model is asked at once; until the turn's first message is acknowledged it has no effect."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from strands import Agent, tool
from strands.hooks import BeforeModelCallEvent, BeforeToolCallEvent
from strands.models import Model

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import Layout
from agent_sessions.exceptions import SessionConflictError, SessionStorageError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.turn_request import TurnRequest
from tests.doubles.held_objects import HeldObjects
from tests.doubles.scripted_model import Pause, Redact, ScriptedModel, tool_use

FOREVER = Pause(3_600)
FENCE = "message_2.json"
"""The third message: a turn with a prompt and a reply is before it."""


class World:
    """A session with one turn in it, and what a turn of it shows."""

    def __init__(self) -> None:
        self.objects = HeldObjects()
        self.shown: list[str] = []
        self.ran: list[str] = []
        self.open("reply 0", fence="model")("prompt 0")
        self.forget()

    def forget(self) -> None:
        """What was sent and shown so far is not looked at."""
        self.objects.sent.clear()
        self.shown.clear()

    def manager(self, fence: str = "effects") -> RepositorySessionManager:
        repository = ObjectSessionRepository(
            self.objects,
            Layout(),
            durability="turn",
            fence=fence,  # type: ignore[arg-type] # a parameter
            consolidates=True,
        )
        return RepositorySessionManager("s", repository)

    def open(self, *script: Any, fence: str = "effects", **options: Any) -> Agent:
        @tool
        def work(what: str) -> str:
            """Do something.

            Args:
                what: It.
            """
            self.ran.append(what)
            return "done"

        return Agent(
            agent_id="a1",
            model=ScriptedModel(*script),
            session_manager=self.manager(fence),
            tools=[work],
            callback_handler=self._show,
            **options,
        )

    def _show(self, **event: Any) -> None:
        if isinstance(event.get("data"), str):
            self.shown.append(event["data"])

    def leave_cut_off(self, prompt: str) -> None:
        """Have a turn die when its prompt is stored and the agent's record does not tell of it."""
        key = next(key for key in self.objects.bodies if key.endswith("agent.json"))
        record = self.objects.bodies[key]
        with pytest.raises(RuntimeError):
            self.open([RuntimeError("the process died")], fence="model")(prompt)
        self.objects.bodies[key] = record

    def said(self) -> list[str]:
        return texts_of(self.open(fence="model"))


def texts_of(agent: Agent) -> list[str]:
    return [block["text"] for message in agent.messages for block in message["content"] if "text" in block]


def requests_of(agent: Agent) -> list[Any]:
    assert isinstance(agent.model, ScriptedModel)
    return agent.model.requests


@pytest.fixture
def world() -> World:
    return World()


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - what happens is on other threads, too
            await asyncio.sleep(0.001)


def taking(agent: Agent, prompt: Any, meanwhile: Callable[[asyncio.Task[Any]], Any]) -> Any:
    """Take a turn, and do something beside it on the same loop; the turn's result."""

    async def both() -> Any:
        turn = asyncio.ensure_future(agent.invoke_async(prompt))
        await meanwhile(turn)
        return await turn

    return asyncio.run(both())


def once_asked(model: Any, then: threading.Event) -> Callable[[asyncio.Task[Any]], Any]:
    """What waits until a model has been asked, and then lets the storage answer."""

    async def wait(_: asyncio.Task[Any]) -> None:
        await until(lambda: model.requests)
        then.set()

    return wait


def cancel_the_task(world: World, agent: Agent) -> None:
    """Take a turn whose task is cancelled after its model was asked, and before its fence is known."""
    with world.objects.holding(FENCE) as acknowledge:

        async def cancel(turn: asyncio.Task[Any]) -> None:
            await until(lambda: requests_of(agent))
            turn.cancel()
            acknowledge.set()

        with pytest.raises(asyncio.CancelledError):
            taking(agent, "prompt 1", cancel)


class TestWhileTheFenceIsOnItsWay:
    @pytest.mark.parametrize(
        "answer", ["reply 1", tool_use("work", what="it"), ["word", tool_use("work", what="it")]], ids=str
    )
    def test_the_model_is_asked_and_nothing_it_says_has_an_effect(self, world: World, answer: Any) -> None:
        agent = world.open(answer, "the end")
        with world.objects.holding(FENCE) as acknowledge:

            async def look(turn: asyncio.Task[Any]) -> None:
                await until(lambda: requests_of(agent) and world.objects.arrived.is_set())
                for _ in range(50):
                    await asyncio.sleep(0.001)
                assert not turn.done()
                assert (world.shown, world.ran, world.objects.sent) == ([], [], [FENCE])
                acknowledge.set()

            result = taking(agent, "prompt 1", look)

        assert result.stop_reason == "end_turn"
        assert world.said()[-len(texts_of(agent)) :] == texts_of(agent)
        assert world.ran == (["it"] if isinstance(answer, (list, dict)) else [])
        assert world.objects.sent[:2] == [FENCE, "message_3.json"]

    def test_without_the_option_the_model_is_not_asked(self, world: World) -> None:
        agent = world.open("reply 1", fence="model")
        with world.objects.holding(FENCE) as acknowledge:
            turn = threading.Thread(target=agent, args=("prompt 1",))
            turn.start()
            assert world.objects.arrived.wait(20)
            assert not requests_of(agent)
            acknowledge.set()
            turn.join()
        assert world.said()[-1] == "reply 1"

    def test_who_shows_something_else_waits_for_the_manager(self, world: World) -> None:
        agent = world.open("reply 1")
        manager: Any = agent._session_manager
        with world.objects.holding(FENCE) as acknowledge:

            async def ask(turn: asyncio.Task[Any]) -> None:
                await until(lambda: manager.awaits_fence(agent))
                asking = asyncio.ensure_future(manager.fence_acknowledged())
                await until(lambda: requests_of(agent))
                assert not asking.done()
                acknowledge.set()
                await asking
                assert not manager.awaits_fence(agent)

            taking(agent, "prompt 1", ask)

    def test_a_message_that_is_added_waits(self, world: World) -> None:
        """Two messages at once: the second is not sent before the first is acknowledged."""
        agent = world.open("reply 1")
        given = [
            {"role": "user", "content": [{"text": "one"}]},
            {"role": "assistant", "content": [{"text": "two"}]},
            {"role": "user", "content": [{"text": "three"}]},
        ]
        with world.objects.holding(FENCE) as acknowledge:
            turn = threading.Thread(target=agent, args=(given,))
            turn.start()
            assert world.objects.arrived.wait(20)
            assert world.objects.sent == [FENCE]
            acknowledge.set()
            turn.join()
        assert world.said()[-4:] == ["one", "two", "three", "reply 1"]

    def test_a_cancelled_turn_ends_in_good_order(self, world: World) -> None:
        agent = world.open(["reply 1", "and more"])
        with world.objects.holding(FENCE) as acknowledge:

            async def cancel(turn: asyncio.Task[Any]) -> None:
                await until(lambda: requests_of(agent))
                agent.cancel()
                acknowledge.set()

            result = taking(agent, "prompt 1", cancel)
        assert result.stop_reason == "cancelled"
        assert world.said()[2] == "prompt 1"
        assert len(world.said()) == 4

    def test_a_task_that_is_cancelled_leaves_what_was_stored(self, world: World) -> None:
        agent = world.open([FOREVER, "never"])

        cancel_the_task(world, agent)

        assert world.said() == ["prompt 0", "reply 0", "prompt 1"]
        assert isinstance(agent.model, ScriptedModel)

    def test_a_redaction_waits_and_reaches_storage(self, world: World) -> None:
        agent = world.open([Redact(user="[taken back]"), "reply 1"])
        with world.objects.holding(FENCE) as acknowledge:

            async def let_go(turn: asyncio.Task[Any]) -> None:
                await until(lambda: requests_of(agent))
                acknowledge.set()

            taking(agent, "the secret", let_go)
        assert world.said()[2:] == ["[taken back]", "reply 1"]
        assert not any(b"the secret" in body for body, _ in world.objects.bodies.values())

    def test_a_structured_answer_waits(self, world: World) -> None:
        from pydantic import BaseModel

        class Person(BaseModel):
            name: str

        agent = world.open(tool_use("Person", name="Ada"), "the end")
        with world.objects.holding(FENCE) as acknowledge:

            async def look() -> Any:
                turn = asyncio.ensure_future(agent.invoke_async("who?", structured_output_model=Person))
                await until(lambda: requests_of(agent))
                await asyncio.sleep(0.02)
                assert (turn.done(), world.objects.sent) == (False, [FENCE])
                acknowledge.set()
                return await turn

            assert asyncio.run(look()).structured_output == Person(name="Ada")


class TestARefusedTurn:
    @pytest.mark.parametrize(
        "answer",
        [
            [FOREVER, "never"],
            "a reply at once",
            [tool_use("work", what="it")],
            [ConnectionError("the model failed")],
            ["half a", ConnectionError("the model failed")],
        ],
        ids=["a silent model", "words", "a tool", "a model that fails", "a model that fails in the middle"],
    )
    @pytest.mark.parametrize("first", ["the model", "the storage"])
    def test_it_ends_its_model_call_shows_nothing_and_is_told_as_itself(
        self, world: World, answer: Any, first: str
    ) -> None:
        agent = world.open(answer)
        world.open("reply of another", fence="model")("prompt of another")
        world.forget()
        with world.objects.holding(FENCE) as refuse:

            async def look(turn: asyncio.Task[Any]) -> None:
                await until(lambda: requests_of(agent))
                if first == "the model":
                    await asyncio.sleep(0.05)
                refuse.set()

            with pytest.raises(SessionConflictError):
                taking(agent, "prompt 1", look)

        assert (world.shown, world.ran, world.objects.sent) == ([], [], [FENCE])
        assert isinstance(agent.model, Model)
        assert type(agent.model) is ScriptedModel
        assert world.said() == ["prompt 0", "reply 0", "prompt of another", "reply of another"]
        assert world.open("reply 2")("prompt 2").stop_reason == "end_turn"

    def test_a_storage_that_fails_refuses_it_too(self, world: World) -> None:
        agent = world.open([FOREVER, "never"])
        failure = SessionStorageError("the storage failed", code="SlowDown")
        with world.objects.holding(FENCE, instead=failure) as fail:

            async def let_it(turn: asyncio.Task[Any]) -> None:
                await until(lambda: requests_of(agent))
                fail.set()

            with pytest.raises(SessionStorageError, match="the storage failed"):
                taking(agent, "prompt 1", let_it)
        assert world.shown == []
        with pytest.raises(SessionStorageError, match="reload"):
            agent("prompt 2")

    def test_the_models_error_is_raised_when_the_turn_stands(self, world: World) -> None:
        agent = world.open([ConnectionError("the model failed")])
        with pytest.raises(ConnectionError):
            agent("prompt 1")
        assert world.said() == ["prompt 0", "reply 0", "prompt 1"]

    def test_whoever_waits_for_the_manager_is_told(self, world: World) -> None:
        agent = world.open([FOREVER, "never"])
        manager: Any = agent._session_manager
        world.open("reply of another", fence="model")("prompt of another")
        with world.objects.holding(FENCE) as refuse:

            async def ask(turn: asyncio.Task[Any]) -> None:
                await until(lambda: manager.awaits_fence(agent))
                refuse.set()
                with pytest.raises(SessionConflictError):
                    await manager.fence_acknowledged()

            with pytest.raises(SessionConflictError):
                taking(agent, "prompt 1", ask)

    def test_an_answer_to_an_interrupt_that_another_has_answered_runs_no_tool(self, world: World) -> None:
        def ask(event: BeforeToolCallEvent) -> None:
            event.interrupt("sure", reason="?")

        def opened(*script: Any) -> Agent:
            agent = world.open(*script)
            agent.hooks.add_callback(BeforeToolCallEvent, ask)
            return agent

        asked = opened(tool_use("work", what="it"))("prompt 1")
        (interrupt,) = asked.interrupts or []
        answer: Any = [{"interruptResponse": {"interruptId": interrupt.id, "response": "yes"}}]
        slow, quick = opened("never"), opened("done")
        assert quick(answer).stop_reason == "end_turn"
        assert world.ran == ["it"]

        with pytest.raises(SessionConflictError):
            raise_original(lambda: slow(answer))

        assert world.ran == ["it"], "a tool ran in a turn that does not exist"

    def test_a_model_that_another_hook_puts_in_its_place_reaches_no_tool(self, world: World) -> None:
        agent = world.open("unused")
        acknowledge = threading.Event()

        def answer(_: Any) -> Any:
            acknowledge.set()
            return tool_use("work", what="it")

        other = ScriptedModel(answer)

        def replace(event: BeforeModelCallEvent) -> None:
            event.agent.model = other

        agent.hooks.add_callback(BeforeModelCallEvent, replace)
        world.open("reply of another", fence="model")("prompt of another")
        with world.objects.holding(FENCE, until=acknowledge), pytest.raises(SessionConflictError):
            agent("prompt 1")  # what it says is not held back: who shows it asks the manager
        assert (world.ran, len(other.requests)) == ([], 1)


def raise_original(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - raised again
        raise getattr(error, "original_exception", error) from None


class TestBehindATurnThatWasCutOff:
    def test_the_model_is_asked_again_with_what_was_stored(self, world: World) -> None:
        """The crashed turn's prompt was in the log before this turn's restore, and the agent's record lacks it."""
        world.leave_cut_off("prompt of the crashed")
        agent = world.open("an answer to half of it", "reply 1")

        with world.objects.holding(FENCE) as let_go:
            result = taking(agent, "prompt 1", once_asked(agent.model, let_go))

        assert result.stop_reason == "end_turn"
        first, second = requests_of(agent)
        assert first.texts == ["prompt 0", "reply 0", "prompt 1"]
        assert second.texts == ["prompt 0", "reply 0", "prompt of the crashed", "prompt 1"]
        assert "half" not in "".join(world.shown)
        assert world.said() == ["prompt 0", "reply 0", "prompt of the crashed", "prompt 1", "reply 1"]

    def test_a_request_with_a_key_is_not_put_behind_what_may_have_answered_it(self, world: World) -> None:
        world.leave_cut_off("prompt 1")
        agent = world.open("reply 1")
        session: Any = agent._session_manager
        session.answer_request(agent, TurnRequest("turn", "key", "body"))

        with pytest.raises(SessionConflictError, match="may have answered this request"):
            agent("prompt 1")

        assert world.shown == []
        assert not [key for key in world.objects.bodies if key.endswith("message_3.json")]


class TestTheOption:
    def test_it_needs_durability_turn(self, tmp_path: Any) -> None:
        with pytest.raises(ValueError, match="only with durability='turn'"):
            FileSessionManager("s", str(tmp_path), fence="effects")

    def test_another_value_is_refused_by_name(self, tmp_path: Any) -> None:
        with pytest.raises(ValueError, match=r"fence='later' \| must be 'model' or 'effects'"):
            FileSessionManager("s", str(tmp_path), durability="turn", fence="later")  # type: ignore[arg-type] # wrong

    def test_at_other_times_nobody_waits(self, tmp_path: Any) -> None:
        manager = FileSessionManager("s", str(tmp_path), durability="turn", fence="effects")
        agent = Agent(model=ScriptedModel("reply"), session_manager=manager, callback_handler=None)
        asyncio.run(manager.fence_acknowledged())
        agent("prompt")
        asyncio.run(manager.fence_acknowledged())
        assert not manager.awaits_fence(agent)
