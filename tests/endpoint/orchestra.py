"""Graphs and swarms of real Strands agents with scripted models, as a builder of the endpoint makes them."""

import itertools
from collections.abc import Callable
from typing import Any

from strands import Agent, ToolContext, tool
from strands.hooks import BeforeToolCallEvent
from strands.multiagent import GraphBuilder, Swarm

from tests.doubles.scripted_model import ScriptedModel, tool_use


@tool(context=True)
def sign(document: str, tool_context: ToolContext) -> str:
    """Sign a document, if somebody says so.

    Args:
        document: Its name.
    """
    return "signed" if tool_context.interrupt("sign", reason={"document": document}) == "yes" else "not signed"


@tool
def stamp(document: str) -> str:
    """Stamp a document. Each node's hook asks first.

    Args:
        document: Its name.
    """
    return f"stamped {document}"


def _ask(event: BeforeToolCallEvent) -> None:
    if event.tool_use["name"] == "stamp" and event.interrupt("stamp") != "yes":
        event.cancel_tool = "not stamped"


def node(name: str, model: Any, *tools: Any) -> Agent:
    agent = Agent(model=model, agent_id=name, name=name, tools=list(tools), callback_handler=None, retry_strategy=None)
    agent.hooks.add_callback(BeforeToolCallEvent, _ask)
    return agent


def models(**scripts: Any) -> dict[str, ScriptedModel]:
    """A model for each node; a list is a script of several replies."""
    return {
        name: ScriptedModel(*script) if isinstance(script, list) else ScriptedModel(otherwise=script)
        for name, script in scripts.items()
    }


def chain(models: dict[str, ScriptedModel], *tools: Any) -> Callable[[Any, Any], Any]:
    """A builder of a graph whose nodes run one after the other."""

    def build(session_manager: Any, settings: Any) -> Any:
        builder = GraphBuilder()
        names = list(models)
        for name, model in models.items():
            builder.add_node(node(name, model, *tools), name)
        for before, after in itertools.pairwise(names):
            builder.add_edge(before, after)
        return _built(builder, names[0], session_manager, settings)

    return build


def fan(models: dict[str, ScriptedModel], *tools: Any) -> Callable[[Any, Any], Any]:
    """A builder of a graph whose first node is followed by all the others at once."""

    def build(session_manager: Any, settings: Any) -> Any:
        builder = GraphBuilder()
        first, *others = models
        for name, model in models.items():
            builder.add_node(node(name, model, *tools), name)
        for name in others:
            builder.add_edge(first, name)
        return _built(builder, first, session_manager, settings)

    return build


def fan_and_join(models: dict[str, ScriptedModel], *tools: Any) -> Callable[[Any, Any], Any]:
    """A builder of a graph whose first node is followed by others at once, and those by the last."""

    def build(session_manager: Any, settings: Any) -> Any:
        builder = GraphBuilder()
        first, *others, last = models
        for name, model in models.items():
            builder.add_node(node(name, model, *tools), name)
        for name in others:
            builder.add_edge(first, name)
            builder.add_edge(name, last)
        return _built(builder, first, session_manager, settings)

    return build


def circle(models: dict[str, ScriptedModel], *tools: Any) -> Callable[[Any, Any], Any]:
    """A builder of a graph of three nodes; the first is visited again for as long as the second says ``again``."""

    def build(session_manager: Any, settings: Any) -> Any:
        builder = GraphBuilder()
        write, review, publish = models
        for name, model in models.items():
            builder.add_node(node(name, model, *tools), name)
        builder.add_edge(write, review)
        builder.add_edge(review, write, lambda state: "again" in str(state.results.get(review)))
        builder.add_edge(review, publish, lambda state: "again" not in str(state.results.get(review)))
        return _built(builder, write, session_manager, settings)

    return build


def _built(builder: GraphBuilder, entry: str, session_manager: Any, settings: Any) -> Any:
    builder.set_entry_point(entry)
    builder.set_graph_id(settings.agent_id)
    builder.set_max_node_executions(10)
    builder.set_session_manager(session_manager)
    return builder.build()


def swarm(models: dict[str, ScriptedModel], *tools: Any) -> Callable[[Any, Any], Any]:
    """A builder of a swarm that begins with the first agent."""

    def build(session_manager: Any, settings: Any) -> Any:
        agents = [node(name, model, *tools) for name, model in models.items()]
        return Swarm(agents, id=settings.agent_id, session_manager=session_manager)

    return build


def hand_over(to: str) -> Any:
    """What a swarm's agent says to hand over."""
    return tool_use("handoff_to_agent", agent_name=to, message="take over")
