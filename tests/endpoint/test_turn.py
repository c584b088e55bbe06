"""A turn as a stream of events, whose fold is the reply."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.file_session_manager import FileSessionManager
from lambda_src.answers.errors import InternalError, OutOfTimeError
from lambda_src.contract import TurnBody
from lambda_src.runtime.event_loop import run_to_end
from lambda_src.turns.repeats import Asked
from lambda_src.turns.turn import (
    Completed,
    Restored,
    TextDelta,
    TimeLimit,
    ToolCall,
    TurnEvent,
    fold,
    stream_turn,
)
from tests.doubles.scripted_model import Pause, ScriptedModel, tool_use


@dataclass
class Build:
    """Makes the agent of a session in a folder."""

    folder: Path
    model: ScriptedModel
    options: dict[str, Any]

    def open_session(self) -> FileSessionManager:
        return FileSessionManager("chat", str(self.folder))

    def __call__(self, manager: Any = None) -> Any:
        from strands import Agent

        from lambda_src.agent.tools import calculator

        return Agent(
            model=self.model,
            session_manager=manager or self.open_session(),
            tools=[calculator],
            **({"callback_handler": None, "retry_strategy": None} | self.options),
        )


@dataclass
class Changed(Build):
    """Makes the agent of a session in a folder, and then does something to it."""

    change: Callable[[Any], object]

    def __call__(self, manager: Any = None) -> Any:
        agent = super().__call__(manager)
        self.change(agent)
        return agent


def agent_on(folder: Path, model: ScriptedModel, **options: Any) -> Build:
    return Build(folder, model, options)


def events_of(build: Build, prompt: str, limit: TimeLimit | None = None) -> list[TurnEvent]:
    body = TurnBody.model_validate({"prompt": prompt})

    async def collect() -> list[TurnEvent]:
        turn = stream_turn(build.open_session, build, body, limit or TimeLimit(60, 60), Asked())
        return [event async for event in turn]

    return run_to_end(collect())


def test_a_turn_is_told_as_it_happens(tmp_path: Path) -> None:
    model = ScriptedModel(["Let me see. ", tool_use("calculator", expression="6*7")], "It is forty two.")

    events = events_of(agent_on(tmp_path, model), "6*7?")

    kinds = [type(event) for event in events]
    assert kinds[0] is Restored
    assert kinds[-1] is Completed
    assert [event.name for event in events if isinstance(event, ToolCall)] == ["calculator"]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == "Let me see. It is forty two."
    assert kinds.count(TextDelta) > 2


def test_the_reply_is_the_fold_of_the_events(tmp_path: Path) -> None:
    async def replay(events: list[TurnEvent]) -> AsyncIterator[TurnEvent]:
        for event in events:
            yield event

    events = events_of(agent_on(tmp_path, ScriptedModel("One two three.")), "Count.")
    reply = run_to_end(fold("chat", replay(events)))

    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert reply["message"]["content"] == [{"text": text}]
    assert (reply["session_id"], reply["restored_messages"], reply["stop_reason"]) == ("chat", 0, "end_turn")


def test_a_prompt_behind_an_unanswered_one_alternates_and_is_stored_so(tmp_path: Path) -> None:
    model = ScriptedModel(ConnectionError(), "Hello.")
    build = agent_on(tmp_path, model)
    with pytest.raises(Exception, match="The model failed"):
        events_of(build, "Anybody?")

    events_of(build, "Hello?")

    assert [message["role"] for message in model.requests[1].messages] == ["user", "assistant", "user"]
    assert [message["role"] for message in build().messages] == ["user", "assistant", "user", "assistant"]


def test_a_hook_s_own_failure_is_not_told_as_the_model_s(tmp_path: Path) -> None:
    from strands.hooks import AfterToolCallEvent

    def fail(event: AfterToolCallEvent) -> None:
        raise LookupError("a bug in a hook")

    model = ScriptedModel(tool_use("calculator", expression="1"), otherwise="One.")
    build = Changed(tmp_path, model, {}, lambda agent: agent.hooks.add_callback(AfterToolCallEvent, fail))

    with pytest.raises(InternalError):
        events_of(build, "1?")


def test_usage_counts_this_turn_only(tmp_path: Path) -> None:
    build = agent_on(tmp_path, ScriptedModel("One.", "Two."))

    totals = [events_of(build, "Hi")[-1].usage["total_tokens"] for _ in range(2)]  # type: ignore[union-attr] # Completed

    assert totals == [19, 19]


def test_half_of_the_margin_is_for_the_orderly_stop_and_a_quarter_for_the_reply() -> None:
    assert TimeLimit.within(remaining_seconds=60, margin_seconds=4) == TimeLimit(56, 58, 59)


def test_time_spent_on_restoring_counts(tmp_path: Path) -> None:
    model = ScriptedModel([Pause(0.05), "Much", Pause(0.05), "too late."])

    # The event loop's clock is the one that counts here.
    build = Changed(tmp_path, model, {}, lambda _: time.sleep(0.3))

    with pytest.raises(OutOfTimeError):
        events_of(build, "Hi", TimeLimit(0.2, 10))
