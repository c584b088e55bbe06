"""Conversations of real agents over the repository: they go on in another process, whole and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions.conformance.capability import Capability
from agent_sessions.exceptions import SessionException
from agent_sessions.repository_session_manager import RepositorySessionManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def agent_over(repository: Any, *answers: str, session_id: str = "s1") -> Any:
    """An agent as another process would make it: restored from the repository, with a scripted model."""
    from strands import Agent
    from strands.models import Model

    class Answers(Model):
        stateful = False

        def __init__(self) -> None:
            self.left = list(answers)
            self.shown: list[list[str]] = []

        def update_config(self, **model_config: Any) -> None: ...

        def get_config(self) -> dict[str, Any]:
            return {}

        def structured_output(self, output_model: Any, prompt: Any, system_prompt: Any = None, **kwargs: Any) -> Any:
            raise NotImplementedError("these conversations ask for no structure")

        async def stream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            self.shown.append(texts(messages))
            yield {"messageStart": {"role": "assistant"}}
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": self.left.pop(0)}}}
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": "end_turn"}}

    return Agent(
        agent_id="a1",
        model=Answers(),  # type: ignore[abstract, unused-ignore] # which methods are abstract differs between releases
        session_manager=RepositorySessionManager(session_id, repository),  # type: ignore[arg-type, unused-ignore]
        callback_handler=None,
    )


def texts(messages: Any) -> list[str]:
    """Each text with the role that said it."""
    return [f"{message['role']}: {block['text']}" for message in messages for block in message["content"]]


class ConversationsConformance(Capability):
    """What a user of an agent notices of a repository."""

    def test_the_next_process_shows_the_model_the_whole_conversation(self, repository: Any) -> None:
        agent_over(repository, "Hello Ada.")("I am Ada.")

        restored = agent_over(repository, "Ada.")
        restored("Who am I?")

        assert restored.model.shown == [["user: I am Ada.", "assistant: Hello Ada.", "user: Who am I?"]]

    def test_a_long_conversation_comes_back_in_order(self, repository: Any) -> None:
        agent = agent_over(repository, *(f"answer {n}" for n in range(12)))
        for n in range(12):
            agent(f"question {n}")

        expected = [line for n in range(12) for line in (f"user: question {n}", f"assistant: answer {n}")]
        assert texts(agent_over(repository).messages) == expected

    def test_state_comes_back_with_the_conversation(self, repository: Any) -> None:
        agent = agent_over(repository, "Noted.")
        agent.state.set("seats", {"1": "Ada", "late": ["Bob", None]})
        agent("Remember the seats.")

        assert agent_over(repository).state.get("seats") == {"1": "Ada", "late": ["Bob", None]}

    def test_a_redaction_reaches_the_repository(self, repository: Any) -> None:
        agent = agent_over(repository, "Hello.")
        agent("My card is 4111.")
        agent._session_manager.redact_latest_message({"role": "assistant", "content": [{"text": "[redacted]"}]}, agent)

        assert texts(agent_over(repository).messages) == ["user: My card is 4111.", "assistant: [redacted]"]
        stored = [record.message for record in repository.list_messages("s1", "a1")]
        assert texts(stored) == ["user: My card is 4111.", "assistant: [redacted]"]

    def test_the_later_of_two_overlapping_turns_is_refused_and_nothing_of_the_first_is_lost(
        self, repository: Any
    ) -> None:
        agent_over(repository, "Hello.")("Hi.")
        first, second = agent_over(repository, "To the first."), agent_over(repository, "To the second.")
        first("The first turn.")

        with pytest.raises(SessionException):
            second("The second turn.")

        assert second.model.shown == []
        expected = ["user: Hi.", "assistant: Hello.", "user: The first turn.", "assistant: To the first."]
        assert texts(agent_over(repository).messages) == expected

    def test_sessions_do_not_see_each_other(self, repository: Any) -> None:
        agent_over(repository, "Hello Ada.", session_id="user1")("I am Ada.")
        agent_over(repository, "Hello Bob.", session_id="user10")("I am Bob.")

        assert texts(agent_over(repository, session_id="user1").messages) == [
            "user: I am Ada.",
            "assistant: Hello Ada.",
        ]
