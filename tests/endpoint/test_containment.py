"""Whatever is raised below, in whosever code: the caller gets an answer, the process lives, the session is free."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Answer, Function, text_of

Scripted = Callable[..., tuple[Function, ScriptedModel]]
SECRET = "xyzzy17"


class Stop(BaseException):
    """Somebody's own way of stopping, which is no ``Exception``."""


RAISED: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(SECRET),
    "SystemExit(0)": lambda: SystemExit(0),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(SECRET),
    "CancelledError": lambda: asyncio.CancelledError(SECRET),
    "GeneratorExit": lambda: GeneratorExit(SECRET),
    "BaseExceptionGroup": lambda: BaseExceptionGroup(SECRET, [SystemExit(SECRET), ValueError(SECRET)]),
    "ExceptionGroup": lambda: ExceptionGroup(SECRET, [ValueError(SECRET)]),
    "BaseException": lambda: Stop(SECRET),
    "MemoryError": lambda: MemoryError(SECRET),
    "RecursionError": lambda: RecursionError(SECRET),
    "StopIteration": lambda: StopIteration(SECRET),
    "StopAsyncIteration": lambda: StopAsyncIteration(SECRET),
}


def built(**options: Any) -> Callable[[Any, Any], Any]:
    """An edited ``lambda_src/agent/__init__.py``."""

    def build_agent(session_manager: Any, settings: Any) -> Any:
        from strands import Agent

        from lambda_src.models.providers import build_model

        defaults: dict[str, Any] = {"model": build_model(settings), "callback_handler": None, "retry_strategy": None}
        return Agent(agent_id=settings.agent_id, session_manager=session_manager, **defaults | options)

    return build_agent


def sync_tool(error: Callable[[], BaseException]) -> Any:
    from strands import tool

    @tool
    def work() -> str:
        """Work."""
        raise error()

    return work


def async_tool(error: Callable[[], BaseException]) -> Any:
    from strands import tool

    @tool
    async def work() -> str:
        """Work."""
        await asyncio.sleep(0)
        raise error()

    return work


def streaming_tool(error: Callable[[], BaseException]) -> Any:
    from strands import tool

    @tool
    async def work() -> AsyncIterator[str]:
        """Work."""
        yield "at it"
        raise error()

    return work


def tool_with_a_task(error: Callable[[], BaseException]) -> Any:
    from strands import tool

    async def fail() -> None:
        raise error()

    @tool
    async def work() -> str:
        """Work."""
        await asyncio.gather(fail(), asyncio.sleep(0))
        return "done"

    return work


def tool_with_an_agent(error: Callable[[], BaseException]) -> Any:
    from strands import Agent, tool

    @tool
    def work() -> str:
        """Work."""
        inner = Agent(model=ScriptedModel(tool_use("work")), tools=[async_tool(error)], callback_handler=None)
        return str(inner("Work."))

    return work


TOOLS = {tool.__name__: tool for tool in (sync_tool, async_tool, streaming_tool, tool_with_a_task, tool_with_an_agent)}


@pytest.mark.parametrize("kind", TOOLS)
def test_whatever_a_tool_raises_the_model_is_told_and_the_turn_goes_on(
    kind: str, scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    from strands import tool

    @tool
    def other() -> str:
        """Work, too."""
        return "fine"

    function, model = scripted(LEASE_WAIT_SECONDS="0", otherwise="Hello.")
    function.cold_start()
    for raised, error in RAISED.items():
        function.models["script"] = model = ScriptedModel([tool_use("work"), tool_use("other")], otherwise="Hello.")
        function.part("agent").build_agent = built(tools=[TOOLS[kind](error), other])

        answer = function.say("Work!", raised)
        after = function.reply("And now?", raised)

        assert answer.status == 200, (raised, answer.text)
        results = {
            block["toolResult"]["status"]: block["toolResult"]["content"]
            for block in model.requests[1].messages[-1]["content"]
        }
        assert results["success"] == [{"text": "fine"}], raised
        assert results["error"], raised
        assert after["restored_messages"] == 4, raised
    assert SECRET not in "".join(capfd.readouterr())


class Failing:
    """Places beside the tools where somebody's code runs, each as the options of an agent."""

    def __init__(self, error: Callable[[], BaseException]) -> None:
        self.error = error

    def fail(self, *_: Any, **__: Any) -> Any:
        raise self.error()

    async def fail_async(self, *_: Any, **__: Any) -> Any:
        raise self.error()

    def callback(self) -> dict[str, Any]:
        return {"callback_handler": self.fail}

    def model_at_once(self) -> dict[str, Any]:
        return {"model": ScriptedModel(self.error())}

    def model_in_the_middle(self) -> dict[str, Any]:
        return {"model": ScriptedModel(["Half an ans", self.error()])}

    def managing(self) -> dict[str, Any]:
        return {"conversation_manager": self._manager("apply_management")}

    def reducing(self) -> dict[str, Any]:
        from tests.doubles.scripted_model import overflow

        return {"conversation_manager": self._manager("reduce_context"), "model": ScriptedModel(overflow(SECRET))}

    def restoring(self) -> dict[str, Any]:
        return {"conversation_manager": self._manager("restore_from_session")}

    def _manager(self, method: str) -> Any:
        from strands.agent.conversation_manager import NullConversationManager

        return type("Failing", (NullConversationManager,), {method: self.fail})()

    def hook(self, name: str, *, is_async: bool) -> dict[str, Any]:
        from strands import hooks

        class Hooks(hooks.HookProvider):
            def register_hooks(_, registry: Any, **__: Any) -> None:  # noqa: N805 - self is the one outside
                registry.add_callback(getattr(hooks, name), self.fail_async if is_async else self.fail)

        return {"hooks": [Hooks()], "tools": [sync_tool(lambda: ValueError("no"))]}


HOOKS = [
    "BeforeInvocationEvent",
    "AfterInvocationEvent",
    "MessageAddedEvent",
    "BeforeModelCallEvent",
    "AfterModelCallEvent",
    "BeforeToolCallEvent",
    "AfterToolCallEvent",
]
ASYNC_HOOKS = ["BeforeToolCallEvent", "AfterInvocationEvent"]
PLACES: dict[str, Callable[[Failing], dict[str, Any]]] = {
    "callback handler": Failing.callback,
    "model at once": Failing.model_at_once,
    "model in the middle": Failing.model_in_the_middle,
    "apply_management": Failing.managing,
    "reduce_context": Failing.reducing,
    "restore_from_session": Failing.restoring,
    "builder": Failing.fail,
    **{name: partial(Failing.hook, name=name, is_async=False) for name in HOOKS},
    **{f"async {name}": partial(Failing.hook, name=name, is_async=True) for name in ASYNC_HOOKS},
}


@pytest.mark.parametrize("place", PLACES)
def test_whatever_is_raised_beside_the_tools_there_is_an_answer_and_the_next_turn_works(
    place: str, scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted(LEASE_WAIT_SECONDS="0", POWERTOOLS_LOG_LEVEL="DEBUG")
    function.cold_start()
    well = built(tools=[sync_tool(lambda: ValueError("no"))])
    for raised, error in RAISED.items():
        function.models["script"] = ScriptedModel("Hello.", tool_use("work"), tool_use("work"), otherwise="Fine.")
        function.part("agent").build_agent = well
        function.reply("First", raised)
        plain = {"owner": "o", "session_id": raised, "request_id": "r", "prompt": f"Say {SECRET}."}

        function.part("agent").build_agent = lambda manager, settings, error=error: built(
            **PLACES[place](Failing(error))
        )(manager, settings)
        over_http = function.say(f"Say {SECRET}.", raised)
        raised_as = class_raised_by(function, plain)
        function.part("agent").build_agent = well
        after = function.say("And now?", raised)

        assert over_http.status in {200, 413, 500, 502}, (raised, over_http.text)
        assert raised_as in {None, "InternalError", "ModelFailedError", "ContextTooLongError"}, raised
        assert after.status == 200, (raised, after.text)
        assert function.invoke({**plain, "request_id": "r2"})["stop_reason"] == "end_turn", raised
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize("place", ["apply_management", "AfterInvocationEvent"])
def test_what_a_turn_said_is_stored_although_its_end_failed(place: str, s3_store: dict[str, str]) -> None:
    function = Function({**CREDENTIALS, **s3_store, "AGENT_MODEL": "scripted:script", "LEASE_WAIT_SECONDS": "0"})
    function.models["script"] = ScriptedModel(tool_use("work"), otherwise="Fine.")
    failing = Failing(lambda: SystemExit(SECRET))
    function.build_agent = built(**{"tools": [sync_tool(lambda: ValueError("no"))], **PLACES[place](failing)})

    failed = function.say("Work!")
    stored = function.http("GET", "/sessions/chat/messages").json["messages"]

    assert failed.status == 500
    assert [item["message"]["role"] for item in stored] == ["user", "assistant"] * 2
    function.part("agent").build_agent = built()
    assert function.reply("And now?")["restored_messages"] == 4


def class_raised_by(function: Function, event: Any) -> str | None:
    """What a plain event raises, by name, once it has been found to be ours and to stand alone."""
    raised: list[Exception] = []
    try:
        function.invoke(event)
    except Exception as error:  # noqa: BLE001 - whatever leaves, its class is what matters
        raised.append(error)
    assert [type(error).__module__ for error in raised] in ([], ["lambda_src.answers.errors"])
    assert [error for error in raised if error.__cause__ or error.__context__] == []
    return type(raised[0]).__name__ if raised else None


@pytest.mark.parametrize("raised", ["SystemExit", "KeyboardInterrupt", "BaseException", "MemoryError"])
def test_an_agent_that_cannot_be_imported_is_answered_with_500_every_time(
    raised: str, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted(otherwise="Hello.")
    function.cold_start()
    sys.modules.pop("lambda_src.agent", None)

    class Finder:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "lambda_src.agent":
                error = RAISED[raised]()
                raise error

    finder = Finder()
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    answers: list[Answer] = [function.say("Hi"), function.say("Hi")]
    monkeypatch.undo()
    for name, value in function.environment.items():
        monkeypatch.setenv(name, value)

    assert [(answer.status, answer.problem) for answer in answers] == [(500, "internal-error")] * 2
    assert text_of(function.reply("Hi")) == "Hello."
    assert SECRET not in "".join(capfd.readouterr())


def test_a_request_that_only_reads_is_answered_too(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from agent_sessions.session_store import SessionStore

    function, _ = scripted("Hello.")
    function.reply("Hi")
    for raised, error in RAISED.items():

        def fail(*_: Any, error: Callable[[], BaseException] = error, **__: Any) -> Any:
            raise error()

        with monkeypatch.context() as patch:
            for name in ("describe", "messages", "sessions", "erasure"):
                patch.setattr(SessionStore, name, fail)
            answers = [
                function.http(method, path)
                for method, path in (
                    ("GET", "/sessions/chat"),
                    ("GET", "/sessions/chat/messages"),
                    ("GET", "/sessions"),
                    ("DELETE", "/sessions/chat"),
                )
            ]

        assert [answer.problem for answer in answers] == ["internal-error"] * 4, raised
        assert function.http("GET", "/sessions/chat").status == 200
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "event",
    [None, 7, "text", [], {}, {"requestContext": "http"}, {"requestContext": {"http": "GET"}}, {"requestContext": []}],
)
def test_an_event_of_any_shape_is_answered_or_refused_by_name(event: Any, scripted: Scripted) -> None:
    function, _ = scripted()

    with pytest.raises(Exception, match=r"\w") as refused:
        function.invoke(event)

    assert type(refused.value).__name__ == "BadRequestError"
