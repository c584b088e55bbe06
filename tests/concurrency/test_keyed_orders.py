"""The search through the orders of callers with one key: it finds what is broken, and comes to every kind of answer."""

from collections.abc import Callable
from typing import Any

import pytest

from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.turn_request import TurnLog
from lambda_src.turns import repeats
from lambda_src.turns.replays import Replay
from tests.concurrency import verify
from tests.concurrency.keyed_orders import KeyedWorld
from tests.concurrency.watched_orders import CALLERS

# As the endpoint stores a turn, in a session with a past.
CASE = next(case for case in verify.CASES if case.keyed and case.mode == "effects" and case.past and not case.ahead)

Break = Callable[[pytest.MonkeyPatch], object]

BROKEN: dict[str, Break] = {
    "a plan that finds no stored turn": lambda patch: patch.setattr(
        RepositorySessionManager, "find_turn", lambda *_: None
    ),
    "a plan that replays nothing": lambda patch: patch.setattr(repeats, "replay_of", lambda *_: None),
    "a plan that continues nothing": lambda patch: patch.setattr(repeats, "_is_open", lambda _: False),
    "a turn that does not say what it came to": lambda patch: patch.setattr(
        RepositorySessionManager, "conclude_turn", lambda *_: None
    ),
    "a prompt that goes behind a turn that was cut off": lambda patch: patch.setattr(
        TurnLog, "begins_request", property(lambda _: False)
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_request_that_is_not_recognised_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN[fault](monkeypatch)

    with pytest.raises(AssertionError, match="shows the model"):
        verify.verify(CASE)


def test_an_effect_that_is_had_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    show = KeyedWorld._show

    def show_twice(world: KeyedWorld, *arguments: Any) -> None:
        show(world, *arguments)
        show(world, *arguments)

    monkeypatch.setattr(KeyedWorld, "_show", show_twice)

    with pytest.raises(AssertionError, match=r"effects: \["):
        verify.verify(CASE, runs=1)


def test_the_orders_come_to_every_kind_of_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, planned = repeats.plan, set()

    def noted(session: RepositorySessionManager, agent: Any, asked: repeats.Asked, **options: Any) -> Any:
        todo = plan(session, agent, asked, **options)
        if asked.request_id in CALLERS:
            kind = "replayed" if isinstance(todo, Replay) else "continued" if todo.continues else "new"
            planned.add((kind, "again" if asked.looks_first else "at once"))
        return todo

    monkeypatch.setattr(repeats, "plan", noted)

    verify.verify(CASE, runs=1500, seed=1)

    # A prompt is refused at its fence for a turn with the same key, so who begins once more finds that turn.
    at_once = {("new", "at once"), ("replayed", "at once"), ("continued", "at once")}
    assert planned == at_once | {("replayed", "again"), ("continued", "again")}
