"""Every moment of a turn counts once: for the model, for a tool, or for the session."""

from contextlib import ExitStack
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lambda_src.metrics.stopwatch import Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_goes_to_the_model_then_to_tools_then_to_the_session() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    clock.now += 1
    with watch.running("model"):
        clock.now += 2
        with watch.running("tool"):
            clock.now += 4
    with watch.running("tool"):
        clock.now += 8
    clock.now += 16

    assert watch.seconds() == (6, 8, 17)


def test_several_calls_at_once_count_once() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    with watch.running("model"):
        clock.now += 1
        with watch.running("model"):
            clock.now += 1
        clock.now += 1

    assert watch.seconds() == (3, 0, 0)


@given(st.lists(st.tuples(st.sampled_from(["model", "tool", "end", "wait"]), st.integers(0, 9))))
def test_whatever_is_under_way_the_parts_add_up_to_the_turn(steps: Any) -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    under_way: list[ExitStack] = []
    for kind, seconds in steps:
        clock.now += seconds
        if kind in {"model", "tool"}:
            under_way.append(ExitStack())
            under_way[-1].enter_context(watch.running(kind))
        elif kind == "end" and under_way:
            under_way.pop(seconds % len(under_way)).close()

    assert sum(watch.seconds()) == clock.now - 100
