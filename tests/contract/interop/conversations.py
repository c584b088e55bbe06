"""Random conversations of several processes, some with this kit's manager and some with Strands'."""

import copy
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st
from strands import Agent
from strands.agent.conversation_manager import (
    ConversationManager,
    NullConversationManager,
    SlidingWindowConversationManager,
    SummarizingConversationManager,
)
from strands.hooks import BeforeToolCallEvent, MessageAddedEvent
from strands.types.exceptions import ContextWindowOverflowException

from tests.contract.agents import add, image
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import Redact, ScriptedModel, Stop, overflow, tool_use

WRITERS: Final = ("ours", "ours-turn", "strands")
KINDS: Final = ("text", "image", "tool", "two tools", "redaction", "state", "summary", "model error", "interrupt")
MANAGERS: Final = ("null", "window", "summaries")
_NOT_SAID: Final = "the model fell over"


@dataclass(frozen=True)
class Turn:
    """One turn of one process.

    Attributes:
        writer: Whose manager the process has.
        agent_id: Which agent is spoken to.
        kind: What happens.
    """

    writer: str
    agent_id: str
    kind: str


@dataclass(frozen=True)
class Conversation:
    """What a run does from the first turn to the last.

    Attributes:
        manager: Which conversation manager all its agents have.
        turns: The turns, in order.
    """

    manager: str
    turns: tuple[Turn, ...]


def conversations(max_turns: int) -> st.SearchStrategy[Conversation]:
    """Any mix of writers, agents and kinds of turn."""
    turn = st.builds(Turn, st.sampled_from(WRITERS), st.sampled_from(("a1", "a1", "a1", "a2")), st.sampled_from(KINDS))
    turns = st.lists(turn, min_size=2, max_size=max_turns).map(tuple)
    return st.builds(Conversation, st.sampled_from(MANAGERS), turns)


def conversation_manager(name: str) -> ConversationManager:
    """A new conversation manager."""
    if name == "null":
        return NullConversationManager()
    if name == "window":
        return SlidingWindowConversationManager(window_size=5)
    return SummarizingConversationManager(summary_ratio=0.5, preserve_recent_messages=2)


@dataclass
class Restored:
    """What a process finds when it opens the session.

    Attributes:
        messages: The agent's messages.
        state: The agent's state.
        manager_state: What its conversation manager remembers.
        interrupts: What its interrupt state holds.
    """

    messages: list[Any]
    state: dict[str, Any]
    manager_state: dict[str, Any]
    interrupts: dict[str, Any]


def snapshot(agent: Agent) -> Restored:
    """What the agent holds now."""
    return Restored(
        copy.deepcopy(agent.messages),
        agent.state.get(),
        copy.deepcopy(agent.conversation_manager.get_state()),
        copy.deepcopy(agent._interrupt_state.to_dict()),
    )


class Session:
    """One session that several writers share, and what has been said in it.

    Args:
        writers: The subjects of :data:`WRITERS`, all over one place.
        manager: The conversation manager of its agents.
    """

    def __init__(self, writers: dict[str, Subject], manager: str) -> None:
        self._writers = writers
        self._manager = manager
        self._turns = 0
        self.said: dict[str, list[Any]] = {}
        """Every message of every agent, as it shall stand in storage."""

    def open(self, writer: str, agent_id: str, *script: Any) -> Agent:
        """The agent in a new process of a writer's."""
        agent = Agent(
            model=ScriptedModel(*script), agent_id=agent_id, tools=[add], callback_handler=None,
            conversation_manager=conversation_manager(self._manager),
            session_manager=self._writers[writer].manager(),
        )  # fmt: skip
        agent.hooks.add_callback(BeforeToolCallEvent, self._ask)
        return agent

    def stored(self, writer: str, agent_id: str) -> list[Any]:
        """All messages of an agent as a writer's repository lists them."""
        listed = self._writers[writer].repository().list_messages("conversation", agent_id)
        assert [entry.message_id for entry in listed] == list(range(len(listed)))
        return [entry.to_message() for entry in listed]

    def take(self, turn: Turn) -> Restored:
        """Let a new process take a turn.

        Returns:
            What its agent holds afterwards: what everybody must restore.
        """
        self._turns += 1
        prompt, script = self._plan(turn)
        agent = self.open(turn.writer, turn.agent_id, *script)
        added: list[Any] = []
        agent.hooks.add_callback(MessageAddedEvent, lambda event: added.append(event.message))
        if turn.kind == "state":
            agent.state.set("turn", {"number": self._turns, "by": turn.writer, "deep": [None, 1.5, "é"]})
        if agent._interrupt_state.activated:
            pending = list(agent._interrupt_state.interrupts)
            prompt = [{"interruptResponse": {"interruptId": found, "response": "yes"}} for found in pending]
            agent.model = ScriptedModel(f"answered {self._turns}")
        self._run(agent, prompt)
        # Copied only now: a redaction in the middle of the turn changes what was added before.
        self.said.setdefault(turn.agent_id, []).extend(copy.deepcopy(added))
        return snapshot(agent)

    @staticmethod
    def _run(agent: Agent, prompt: Any) -> None:
        try:
            agent(prompt)
        except ContextWindowOverflowException:
            # There was not enough to summarize; the prompt stays, as after any error of the model.
            pass
        except Exception as error:
            if _NOT_SAID not in repr(error):
                raise

    def _plan(self, turn: Turn) -> tuple[Any, list[Any]]:
        """What is said to the agent and what its model does."""
        number = self._turns
        prompt: Any = f"prompt {number} of {turn.writer}"
        if turn.kind == "image":
            prompt = [{"text": prompt}, image(bytes([number, 0, 255]))]
        reply = f"reply {number}"
        scripts: dict[str, list[Any]] = {
            "tool": [["Let me see.", tool_use("add", a=number, b=1)], reply],
            "two tools": [[tool_use("add", a=1, b=number), tool_use("add", a=2, b=number)], reply],
            "redaction": [[Redact(user=f"[gone {number}]"), "No.", Stop("guardrail_intervened")]],
            "summary": [overflow(), f"summary {number}", reply] if self._manager == "summaries" else [reply],
            "model error": [RuntimeError(_NOT_SAID)],
            "interrupt": [tool_use("add", tool_use_id=f"ask-{number}", a=1, b=1), reply],
        }
        return prompt, scripts.get(turn.kind, [reply])

    @staticmethod
    def _ask(event: BeforeToolCallEvent) -> None:
        if event.tool_use["toolUseId"].startswith("ask-"):
            event.interrupt("approve", reason=event.tool_use["toolUseId"])
