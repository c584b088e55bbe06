"""What an agent's tools open for a turn is closed with it; tools of an MCP server, there or not."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer
from strands.multiagent import GraphBuilder

from agent_sessions.owner import owner_prefix
from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.endpoint.function import ACCOUNT, ALICE, Context, Function, text_of

Scripted = Callable[..., tuple[Function, ScriptedModel]]
TOKEN = "xyzzy-17"


def built(*tools: Any) -> Callable[[Any, Any], Any]:
    """A builder whose agent gets tools; functions among them make one for each turn."""

    def build_agent(session_manager: Any, settings: Any) -> Any:
        from strands import Agent

        from lambda_src.models.providers import build_model

        return Agent(
            agent_id=settings.agent_id,
            model=build_model(settings),
            tools=[make() for make in tools],
            session_manager=session_manager,
            callback_handler=None,
            retry_strategy=None,
        )

    return build_agent


def provider(close: Callable[[], object]) -> Callable[[], Any]:
    """A maker of tool providers that have one slow tool."""
    from strands import tool
    from strands.tools import ToolProvider

    @tool
    async def wait() -> str:
        """Wait."""
        await asyncio.sleep(30)
        return "waited"

    class Provider(ToolProvider):
        async def load_tools(self, **kwargs: Any) -> Any:
            return [wait]

        def add_consumer(self, consumer_id: Any, **kwargs: Any) -> None:
            """Nothing to do."""

        def remove_consumer(self, consumer_id: Any, **kwargs: Any) -> None:
            close()

    return Provider


@pytest.mark.parametrize(
    ("script", "status"), [("Hello.", 200), (ConnectionError("gone"), 502), (tool_use("wait"), 504)]
)
def test_what_a_turn_opened_is_closed_once_when_it_ends(script: Any, status: int, scripted: Scripted) -> None:
    function, _ = scripted(script, DEADLINE_MARGIN_SECONDS="0.5")
    closed: list[float] = []
    function.build_agent = built(provider(lambda: closed.append(time.monotonic())))

    answer = function.say("Hi", context=Context(remaining_seconds=3))

    assert answer.status == status
    assert len(closed) == 1


def test_what_a_graphs_nodes_opened_is_closed_when_its_turn_is_not_taken_too(scripted: Scripted) -> None:
    function, _ = scripted("Hello.")
    closed: list[float] = []
    graphs: list[Any] = []
    node = built(provider(lambda: closed.append(time.monotonic())))

    def build(session_manager: Any, settings: Any) -> Any:
        graph = GraphBuilder()
        graph.add_node(node(None, settings), "only")
        graph.set_graph_id(settings.agent_id)
        graph.set_max_node_executions(5)
        graph.set_session_manager(session_manager)
        graphs.append(graph.build())  # or the garbage collector closes them, some time
        return graphs[-1]

    function.build_agent = build
    keyed: Any = {"headers": {"idempotency-key": "request-1"}}

    first = function.reply("Hi", **keyed)
    assert len(closed) == 1
    assert function.reply("Hi", **keyed) == first

    assert len(closed) == 2


def test_what_a_cancelled_turn_opened_is_closed_too(scripted: Scripted) -> None:
    from strands import tool

    function, _ = scripted(tool_use("give_up"), "Never said.")
    closed: list[float] = []

    @tool(context=True)
    async def give_up(tool_context: Any) -> str:
        """Have the turn cancelled, as a caller would."""
        store = function.module.endpoint.store(owner_prefix(ACCOUNT, ALICE.unique_id))
        store.ask_to_cancel("chat", "default", tool_context.invocation_state["turn_id"])
        await asyncio.sleep(30)
        return "not cancelled"

    function.build_agent = built(provider(lambda: closed.append(time.monotonic())), lambda: give_up)

    reply = function.reply("Hi")

    assert reply["stop_reason"] == "cancelled"
    assert len(closed) == 1


@pytest.mark.parametrize("error", [ValueError("xyzzy-17"), SystemExit(3)])
def test_a_reply_is_not_lost_because_its_tools_cannot_be_closed(
    error: BaseException, scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted("Hello.")

    def fail() -> None:
        raise error

    function.build_agent = built(provider(fail))

    assert text_of(function.reply("Hi")) == "Hello."
    output = capfd.readouterr()
    assert "an agent's tools could not be closed" in output.out
    assert "xyzzy-17" not in output.out + output.err


def test_a_reply_does_not_wait_for_tools_that_take_long_to_close(
    scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, _ = scripted("Hello.")
    go_on = threading.Event()
    function.build_agent = built(provider(lambda: go_on.wait(30)))
    begun = time.monotonic()

    assert text_of(function.reply("Hi")) == "Hello."

    assert time.monotonic() - begun < 20
    assert "an agent's tools take long to close" in capfd.readouterr().out
    go_on.set()


class BirdServer:
    """An MCP server on this machine that wants a key."""

    def __init__(self) -> None:
        server = MCPServer("birds")

        @server.tool()
        def sing(bird: str) -> str:
            """Sing."""
            if bird == "dodo":
                raise ValueError("extinct")
            return f"{bird} sings"

        app = server.streamable_http_app()
        self.keys: set[str] = set()

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.keys.add(dict(scope["headers"]).get(b"authorization", b"").decode())
            await app(scope, receive, send)

        self._server = uvicorn.Server(uvicorn.Config(watched, host="127.0.0.1", port=0, log_config=None))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/mcp"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def birds() -> Iterator[tuple[BirdServer, str]]:
    server = BirdServer()
    with server as url:
        yield server, url


def mcp_tools(url: str) -> Callable[[], Any]:
    def make() -> Any:
        from lambda_src.mcp_tools import McpTools
        from lambda_src.secrets import secret

        return McpTools(url, name="birds", headers={"authorization": f"Bearer {secret('BIRDS_TOKEN')}"})

    return make


def test_a_tool_of_an_mcp_server_is_called_with_the_key_and_the_connection_ends_with_the_turn(
    birds: tuple[BirdServer, str], scripted: Scripted
) -> None:
    server, url = birds
    function, model = scripted(tool_use("birds_sing", bird="robin"), "It sings.", BIRDS_TOKEN=TOKEN)
    function.build_agent = built(mcp_tools(url))
    before = threading.active_count()

    assert text_of(function.reply("Sing.")) == "It sings."

    assert "robin sings" in str(model.requests[1].messages[-1])
    assert server.keys == {f"Bearer {TOKEN}"}
    assert [t.name for t in threading.enumerate() if "mcp" in t.name.lower()] == []
    assert threading.active_count() <= before + 1


def test_what_its_tool_raises_is_told_to_the_model(birds: tuple[BirdServer, str], scripted: Scripted) -> None:
    function, model = scripted(tool_use("birds_sing", bird="dodo"), "It does not.", BIRDS_TOKEN=TOKEN)
    function.build_agent = built(mcp_tools(birds[1]))

    assert text_of(function.reply("Sing.")) == "It does not."
    assert "'status': 'error'" in str(model.requests[1].messages[-1])


def test_a_server_that_is_down_is_told_to_the_model_and_the_endpoint_works(
    scripted: Scripted, capfd: pytest.CaptureFixture[str]
) -> None:
    function, model = scripted(tool_use("birds_unavailable"), "The birds are away.", BIRDS_TOKEN=TOKEN)
    function.build_agent = built(mcp_tools("http://127.0.0.1:9/mcp"))

    assert text_of(function.reply("Sing.")) == "The birds are away."

    (spec,) = model.requests[0].tool_specs or []
    assert spec["description"].startswith("The tools of birds cannot be used at the moment")
    assert "cannot be reached" in str(model.requests[1].messages[-1])
    output = capfd.readouterr()
    assert '"server":"birds"' in output.out
    assert TOKEN not in output.out + output.err


def test_without_its_key_the_turn_is_refused(scripted: Scripted) -> None:
    function, _ = scripted("Hello.")
    function.build_agent = built(mcp_tools("http://127.0.0.1:9/mcp"))

    assert function.say("Sing.").problem == "secret-unavailable"
