"""A graph and a swarm in a session, as a process of their own would run them.

``python -m tests.contract.orchestra '{"subject": …, "kind": "graph", "crash_in": "b", …}'`` runs one of them and prints
which nodes spoke and what they said as one JSON line. ``crash_in`` ends the process the hard way, in the middle of that
node's model call.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strands import Agent, tool
from strands.hooks import BeforeToolCallEvent
from strands.multiagent import GraphBuilder, Swarm

from tests.contract.places import s3_client_for
from tests.contract.subjects import Subject, file_subject, s3_subject
from tests.doubles.scripted_model import ScriptedModel, tool_use

CRASHED = 77
"""The exit status of a process that ended in the middle of a node."""


@tool
def sign(document: str) -> str:
    """Sign a document.

    Args:
        document: Its name.
    """
    return f"signed {document}"


def _ask(event: BeforeToolCallEvent) -> None:
    if event.tool_use["name"] == "sign" and event.interrupt("sign", reason="really?") != "yes":
        event.cancel_tool = "not signed"


def _agent(name: str, script: Sequence[Any], spoke: list[str], crash_in: str | None) -> Agent:
    def reply(item: Any) -> Any:
        def play(request: Any) -> Any:
            if name == crash_in:
                os._exit(CRASHED)
            spoke.append(name)
            return item

        return play

    agent = Agent(
        model=ScriptedModel(*[reply(item) for item in script]), agent_id=name, name=name, tools=[sign],
        callback_handler=None,
    )  # fmt: skip
    agent.hooks.add_callback(BeforeToolCallEvent, _ask)
    return agent


def build_graph(manager: Any, spoke: list[str], *, crash_in: str | None = None, ask_in: str | None = None) -> Any:
    """A chain of three nodes, ``a`` to ``c``; ``ask_in`` asks a person before it calls its tool."""
    builder = GraphBuilder()
    for name in "abc":
        script = [tool_use("sign", document="contract"), f"{name} is done"] if name == ask_in else [f"{name} is done"]
        builder.add_node(_agent(name, script, spoke, crash_in), name)
    builder.add_edge("a", "b")
    builder.add_edge("b", "c")
    builder.set_entry_point("a")
    builder.set_graph_id("the-graph")
    builder.set_max_node_executions(10)
    builder.set_session_manager(manager)
    return builder.build()


def build_swarm(manager: Any, spoke: list[str], *, crash_in: str | None = None, ask_in: str | None = None) -> Any:
    """Two agents: ``a`` hands over to ``b``."""
    handoff = tool_use("handoff_to_agent", agent_name="b", message="take over", context={"from": "a"})
    script = [tool_use("sign", document="contract"), "b is done"] if ask_in == "b" else ["b is done"]
    agents = [_agent("a", [handoff, "a is done"], spoke, crash_in), _agent("b", script, spoke, crash_in)]
    return Swarm(agents, id="the-swarm", session_manager=manager)


BUILD = {"graph": build_graph, "swarm": build_swarm}


def outcome(result: Any, spoke: list[str]) -> dict[str, Any]:
    """What a test compares: the status, who spoke in this process, and each node's last word."""
    said = {
        name: str(node.result).strip()
        for name, node in result.results.items()
        if getattr(node.result, "message", None) is not None
    }
    return {
        "status": result.status.value,
        "spoke": spoke,
        "said": said,
        "interrupts": [interrupt.id for interrupt in result.interrupts],
    }


def answers(interrupt_ids: list[str]) -> list[dict[str, Any]]:
    """The responses that let every interrupt go on."""
    return [{"interruptResponse": {"interruptId": found, "response": "yes"}} for found in interrupt_ids]


def describe(subject: Subject, s3_url: str) -> dict[str, Any]:
    """A subject as another process can build it again."""
    options = {key: value for key, value in subject.options.items() if isinstance(value, str)}
    return {"name": subject.name, "s3_url": s3_url, **options}


def _rebuild(described: dict[str, Any]) -> Subject:
    if "storage_dir" in described:
        return file_subject(described["name"], Path(described["storage_dir"]))
    client = s3_client_for(described["s3_url"])
    return s3_subject(described["name"], client, described["bucket"], described["prefix"])


def main(order: dict[str, Any]) -> None:
    """Run what is ordered and print the outcome."""
    subject = _rebuild(order["subject"])
    spoke: list[str] = []
    build = BUILD[order["kind"]]
    orchestrator = build(subject.manager(), spoke, crash_in=order.get("crash_in"), ask_in=order.get("ask_in"))
    task = answers(order["answers"]) if "answers" in order else "Do it."
    sys.stdout.write(json.dumps(outcome(orchestrator(task), spoke)) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
