"""``fence="effects"``: what stands for the model goes however its call ends, and the call ends with its turn."""

import asyncio
import inspect
import threading
from typing import Any

import pytest
from strands import Agent
from strands.hooks import BeforeModelCallEvent
from strands.interrupt import Interrupt, InterruptException
from strands.models import BedrockModel, Model

from agent_sessions._conversation.turn_fence import CallSignal
from agent_sessions.exceptions import SessionConflictError
from tests.contract.test_fence import FENCE, FOREVER, World, cancel_the_task, requests_of, taking, until
from tests.doubles.bedrock_server import BedrockServer, Pause
from tests.doubles.scripted_model import ScriptedModel
from tests.doubles.threaded_model import WORDS, ThreadedModel

SIGNALS_MODELS = "cancel_signal" in inspect.signature(Model.stream).parameters
if_signalled = pytest.mark.skipif(not SIGNALS_MODELS, reason="this release of Strands gives models no cancel signal")


@pytest.fixture
def world() -> World:
    return World()


def crash_a_turn(world: World) -> None:
    """A turn that was cut off, of which the agent's record does not know: the next one belongs behind it."""
    key = next(key for key in world.objects.bodies if key.endswith("agent.json"))
    record = world.objects.bodies[key]
    with pytest.raises(RuntimeError):
        world.open([RuntimeError("the process died")], fence="model")("prompt of the crashed")
    world.objects.bodies[key] = record


# --- how a call can end ---------------------------------------------------------------------------------


def interrupt_before_the_model(world: World, agent: Agent) -> None:
    asked: list[bool] = []

    def ask(event: Any) -> None:
        if not asked:
            asked.append(True)
            acknowledge.set()
            raise InterruptException(Interrupt(id="i1", name="sure"))

    agent.hooks.add_callback(BeforeModelCallEvent, ask)
    with world.objects.holding(FENCE) as acknowledge:
        agent("prompt 1")


def fail_while_the_model_is_asked(world: World, agent: Agent, error: type[Exception]) -> None:
    """Take a turn that fails when its fence is known, after its model was asked."""
    with world.objects.holding(FENCE) as acknowledge:

        async def let_it(_: Any) -> None:
            await until(lambda: requests_of(agent))
            acknowledge.set()

        with pytest.raises(error):
            taking(agent, "prompt 1", let_it)


def refuse_the_turn(world: World, agent: Agent) -> None:
    world.open("reply of another", fence="model")("prompt of another")
    world.forget()
    fail_while_the_model_is_asked(world, agent, SessionConflictError)


def fail_the_model(world: World, agent: Agent) -> None:
    fail_while_the_model_is_asked(world, agent, ConnectionError)


def abandon_the_stream(world: World, agent: Agent) -> None:
    async def take_half() -> None:
        events: Any = agent.stream_async("prompt 1")
        async for event in events:
            if event.get("data"):
                break
            if requests_of(agent):
                acknowledge.set()
        await events.aclose()

    with world.objects.holding(FENCE) as acknowledge:
        threading.Timer(0.05, acknowledge.set).start()
        asyncio.run(take_half())


class TestTheAgentHasItsOwnModelAgain:
    @pytest.mark.parametrize("behind", [False, True], ids=["", "behind a turn that was cut off"])
    @pytest.mark.parametrize(
        ("end", "answers"),
        [
            (cancel_the_task, [[FOREVER, "never"]]),
            (interrupt_before_the_model, ["reply 1"]),
            (refuse_the_turn, [[FOREVER, "never"]]),
            (fail_the_model, [[ConnectionError("the model failed")]]),
            (abandon_the_stream, [["half a", "reply", FOREVER, "never"]]),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_however_the_call_ends(self, world: World, end: Any, answers: list[Any], behind: bool) -> None:
        if behind:
            crash_a_turn(world)
        if behind and end in {fail_the_model, abandon_the_stream}:
            answers = answers * 2  # the model is asked again
        agent = world.open(*answers, "reply 2", "reply 2")
        own = agent.model

        end(world, agent)

        assert type(agent.model) is ScriptedModel
        assert agent.model is own
        if end is interrupt_before_the_model:
            return  # the next turn is the interrupt's answer, or a turn of its own, as the release has it
        later = world.open("reply 2") if end is refuse_the_turn else agent
        assert later("prompt 2").stop_reason == "end_turn"
        assert world.said()[-2:] == ["prompt 2", "reply 2"]

    def test_what_an_earlier_call_has_left_is_not_nested(self, world: World) -> None:
        agent = world.open("reply 1", "reply 2")
        own = agent.model
        with world.objects.holding(FENCE) as acknowledge:

            async def look(_: Any) -> None:
                await until(lambda: requests_of(agent))
                left.append(agent.model)
                acknowledge.set()

            left: list[Any] = []
            taking(agent, "prompt 1", look)
        assert left[0] is not own
        agent.model = left[0]

        agent("prompt 2")

        assert agent.model is own
        assert world.said()[-1] == "reply 2"


def test_a_model_that_was_shown_everything_is_asked_once(world: World) -> None:
    """Two messages at once: the second waits for the fence, so that the model is asked behind the cut-off turn."""
    crash_a_turn(world)
    agent = world.open("reply 1", "an answer nobody needs")
    one: Any = {"role": "user", "content": [{"text": "one"}]}
    two: Any = {"role": "assistant", "content": [{"text": "two"}]}

    agent([one, two, {"role": "user", "content": [{"text": "three"}]}])

    assert len(requests_of(agent)) == 1
    assert world.shown.count("reply ") == 1
    assert world.said()[-5:] == ["prompt of the crashed", "one", "two", "three", "reply 1"]


# --- a model that answers from a thread -----------------------------------------------------------------


@if_signalled
class TestAThreadedModel:
    """``agent(…)`` and ``asyncio.run`` end by waiting for such a thread."""

    @pytest.mark.parametrize("silent", [True, False], ids=["silent", "in the middle of its words"])
    @pytest.mark.parametrize("end", [refuse_the_turn, cancel_the_task])
    def test_its_answer_ends_with_the_turn(self, world: World, end: Any, silent: bool) -> None:
        agent = world.open("unused")
        agent.model = model = ThreadedModel(silent=silent)

        end(world, agent)

        assert model.ended.wait(20)
        assert model.said < WORDS
        assert world.shown == []
        assert agent.model is model

    def test_a_cancelled_agent_ends_it_too(self, world: World) -> None:
        agent = world.open("unused")
        agent.model = model = ThreadedModel(silent=False)
        with world.objects.holding(FENCE) as acknowledge:

            async def cancel(_: Any) -> None:
                await until(lambda: requests_of(agent))
                agent.cancel()
                acknowledge.set()

            result = taking(agent, "prompt 1", cancel)
        assert result.stop_reason == "cancelled"
        assert model.said < WORDS


class TestTheSignal:
    def test_either_one_sets_it(self) -> None:
        agents = threading.Event()
        by_call, by_agent = CallSignal(agents), CallSignal(agents)
        assert not by_call.is_set()
        assert not by_call.wait(0.001)
        by_call.set()
        assert by_call.is_set()
        assert by_call.wait()
        assert not agents.is_set()
        assert not by_agent.is_set()
        threading.Timer(0.01, agents.set).start()
        assert by_agent.wait(20)
        assert by_agent.wait()

    def test_without_one_of_the_agent_it_is_the_calls(self) -> None:
        signal = CallSignal(None)
        assert not signal.is_set()
        signal.set()
        assert signal.is_set()


# --- Bedrock --------------------------------------------------------------------------------------------


@if_signalled
@pytest.mark.parametrize("end", ["refused", "cancelled"])
@pytest.mark.parametrize("first", ["the storage", "the model"])
def test_a_call_of_bedrock_ends_with_the_turn(
    world: World, monkeypatch: pytest.MonkeyPatch, end: str, first: str
) -> None:
    """The unmodified ``BedrockModel`` leaves the stream, of which the service would have sent much more."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    pauses = 0
    in_the_middle = threading.Event()
    go_on = threading.Event()

    def think(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses > 3:
            in_the_middle.set()
            go_on.wait(20)
        threading.Event().wait(0.005)

    agent = world.open("unused")
    if end == "refused":
        world.open("reply of another", fence="model")("prompt of another")
    world.forget()
    script = [part for _ in range(4_000) for part in ("word", Pause(1))]
    with BedrockServer(script, sleep=think) as bedrock, world.objects.holding(FENCE) as answer:
        agent.model = BedrockModel(model_id="m", endpoint_url=bedrock.url, region_name="eu-west-1")

        async def let_it(turn: asyncio.Task[Any]) -> None:
            await until(lambda: in_the_middle.is_set() if first == "the model" else bedrock.requests)
            go_on.set()
            if end == "cancelled":
                turn.cancel()
            answer.set()

        with pytest.raises(SessionConflictError if end == "refused" else asyncio.CancelledError):
            taking(agent, "prompt 1", let_it)

        assert bedrock.left.wait(20), "the answer was read to its end"
    assert pauses < 4_000
    assert world.shown == []
