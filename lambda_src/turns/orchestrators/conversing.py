"""An orchestrator as the endpoint sees it: it has a conversation, as an agent has one.

What is asked of a graph or a swarm and what it has answered are the messages of an agent of the request's ``agent_id``.
So a turn of an orchestrator has the same fence, is found by its id and its request's key, is followed and cancelled
like any other. The run itself is kept in the orchestrator's own record, node by node:

    prompt ──stored──▶ node a ──▶ record ──▶ node b ──▶ record ──▶ answer ──stored──▶ reply
       │ the fence                  │ names the turn        │             with every node's part
       ▼                            ▼                       ▼
    a crash: begins anew         goes on with b          the answer is made from the record
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lambda_src.answers import errors
from lambda_src.turns.interrupts import agent_input, pending_interrupts
from lambda_src.turns.orchestrators import going_on
from lambda_src.turns.orchestrators.nodes import agents_in
from lambda_src.turns.orchestrators.results import Run, kept_with, reworded, stored_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from strands import Agent

    from agent_sessions.repository_session_manager import RepositorySessionManager
    from lambda_src.contract import TurnBody
    from lambda_src.turns.orchestrators.nodes import NodeAgents

WINDOW_MESSAGES = 40
"""How many of its conversation's messages are restored; nodes are shown none of them."""


class Task(NamedTuple):
    """What a turn of an orchestrator is to do.

    Attributes:
        input: What it is invoked with: content blocks, or answers to interrupts.
        given: The message with which the turn begins; ``None`` when it is stored already.
        run: The run, when it has come to its end and only the reply is missing.
    """

    input: list[Any]
    given: dict[str, Any] | None = None
    run: Run | None = None


class _NoModel:
    """What Strands' session hooks ask of an agent's model."""

    stateful = False


class ConversingOrchestrator:
    """An orchestrator in the place of an agent: everything that a turn asks of an agent, but for a model.

    Args:
        orchestrator: A graph, a swarm or any other; made for one turn, and restored.
        session: The session that it was restored from.
        agent_id: Whose conversation it has.

    Attributes:
        orchestrator: The orchestrator.
        nodes: Its agents, once the turn begins.
    """

    def __init__(self, orchestrator: Any, session: RepositorySessionManager, agent_id: str) -> None:
        from strands.agent.conversation_manager import SlidingWindowConversationManager
        from strands.agent.state import AgentState
        from strands.hooks import AgentInitializedEvent, HookRegistry
        from strands.interrupt import _InterruptState

        self.orchestrator = orchestrator
        self.nodes: NodeAgents | None = None
        self.agent_id = agent_id
        self.messages: list[Any] = []
        self.state = AgentState()
        self.model = _NoModel()
        self.conversation_manager = SlidingWindowConversationManager(window_size=WINDOW_MESSAGES)
        self.hooks = HookRegistry()
        self._interrupt_state = _InterruptState()
        self._model_state: dict[str, Any] = {}
        self._session = session
        session.register_hooks(self.hooks)
        self.hooks.invoke_callbacks(AgentInitializedEvent(agent=cast("Agent", self)))
        pending = going_on.interrupts_of(orchestrator)
        stored = session.orchestrator_record(orchestrator.id)
        if pending and stored is not None and not going_on.can_be_answered(orchestrator, stored.state):
            pending = []
        self.mirror_interrupts(pending)

    def mirror_interrupts(self, pending: list[Any] | None) -> None:
        """Wait for what the orchestrator waits for; its own record is right where the two differ.

        Args:
            pending: What it waits for; ``None`` when it does not say: then what is stored here counts.
        """
        if pending is None:
            return
        self._interrupt_state.interrupts = {interrupt.id: interrupt for interrupt in pending}
        self._interrupt_state.activated = bool(pending)

    def reword_interrupts(self, change: Callable[[Any], Any]) -> None:
        """Put other words into what the orchestrator waits for, as it is stored here."""
        waiting = self._interrupt_state.interrupts
        for interrupt_id, interrupt in list(waiting.items()):
            waiting[interrupt_id] = reworded(interrupt, change)

    def task(self, body: TurnBody, turn_id: str, *, continues: bool) -> Task:
        """What to do about a request.

        Args:
            body: A prompt, or answers to interrupts.
            turn_id: The turn that it begins or goes on with.
            continues: Whether the turn's first message is stored.

        Raises:
            EndpointError: See :func:`agent_input`.
        """
        stored = self._session.orchestrator_record(self.orchestrator.id)
        if continues and stored is not None and stored.turn_id == turn_id:
            return self._rest_of(body, stored.state)
        if continues and body.prompt is None and not pending_interrupts(cast("Agent", self)):
            raise _run_is_lost()
        given = None if continues else self._message_of(body)
        if body.prompt is not None and continues:
            blocks = self._prompt_of(body)
        else:
            blocks = agent_input(cast("Agent", self), body)
        if body.prompt is not None:
            going_on.begin_anew(self.orchestrator)
        elif not going_on.go_on(self.orchestrator, None if stored is None else stored.state):
            raise _run_is_lost()
        return Task(blocks, given)

    def _rest_of(self, body: TurnBody, state: dict[str, Any] | None) -> Task:
        """What is left to do of a turn whose run has stored something."""
        run = stored_run(state)
        pending = pending_interrupts(cast("Agent", self))
        if run is not None and pending:
            return Task([], run=run._replace(status="interrupted", interrupts=pending))
        if run is not None and run.status == "completed":
            return Task([], run=run)
        frontier = going_on.frontier_of(self.orchestrator, state)
        if run is not None and run.status == "executing" and frontier is not None and not frontier.left:
            return Task([], run=run._replace(status="completed"))
        has_more = run is None or (bool(run.next_nodes) if frontier is None else bool(frontier.left))
        if not (has_more and going_on.go_on(self.orchestrator, state)):
            going_on.begin_anew(self.orchestrator)  # nothing is left to run, or nobody knows what
        if run is not None and going_on.is_in_a_batch(self.orchestrator):
            return Task(_answers_in(body))
        if body.prompt is not None:
            return Task(self._prompt_of(body))
        if run is not None and not going_on.has_run_to_finish(self.orchestrator):
            raise _run_is_lost()
        return Task(_answers_in(body))

    def _prompt_of(self, body: TurnBody) -> list[Any]:
        """The prompt of a turn that goes on: as it is stored, because something of it may have been taken back."""
        if self.messages and self.messages[-1]["role"] == "user":
            return list(self.messages[-1]["content"])
        return [block.to_strands() for block in body.prompt or ()]

    def messages_of_run(self) -> list[Any]:
        """The messages of the run under way: of this turn, and of those before it in which the run has asked."""
        messages: list[Any] = []
        for message in reversed(self.messages):
            kept = kept_with(message)
            if message["role"] == "assistant" and not (kept and kept["interrupts"]):
                break
            messages.append(message)
        return messages

    def _message_of(self, body: TurnBody) -> dict[str, Any]:
        """The message with which a turn begins. Answers are told in words, under the names of what was asked."""
        if body.prompt is not None:
            return {"role": "user", "content": [block.to_strands() for block in body.prompt]}
        names = {interrupt.id: interrupt.name for interrupt in pending_interrupts(cast("Agent", self))}
        lines = [
            f"{names.get(answer.interrupt_id, answer.interrupt_id)}: {_in_words(answer.response)}"
            for answer in body.interrupt_responses or ()
        ]
        return {"role": "user", "content": [{"text": "\n".join(lines)}]}

    def followed_by(self) -> dict[str, set[str]]:
        """Of a graph: the nodes that may come after each node."""
        following: dict[str, set[str]] = {}
        for edge in getattr(self.orchestrator, "edges", ()):
            following.setdefault(edge.from_node.node_id, set()).add(edge.to_node.node_id)
        return following or {node_id: set() for node_id in self._graph_nodes()}

    def _graph_nodes(self) -> list[str]:
        return list(self.orchestrator.nodes) if hasattr(self.orchestrator, "edges") else []

    def cancel(self) -> None:
        """End what the nodes are doing. The turn itself ends as :mod:`running` decides."""
        if self.nodes is not None:
            self.nodes.cancel()

    def cleanup(self) -> None:
        """Close what the nodes' tools have opened, whether or not the turn has begun."""
        with ExitStack() as closing:
            for _, agent in agents_in(self.orchestrator):
                closing.callback(agent.cleanup)


def as_orchestrator(agent: Any) -> ConversingOrchestrator | None:
    """The orchestrator that passes for an agent; ``None`` for a real one."""
    return agent if isinstance(agent, ConversingOrchestrator) else None


def _answers_in(body: TurnBody) -> list[Any]:
    return [
        {"interruptResponse": {"interruptId": answer.interrupt_id, "response": answer.response}}
        for answer in body.interrupt_responses or ()
    ]


def _in_words(response: Any) -> str:
    return response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)


def _run_is_lost() -> errors.NoInterruptPendingError:
    return errors.NoInterruptPendingError(
        "The run that asked cannot go on: it failed after it was answered. Send a prompt."
    )
