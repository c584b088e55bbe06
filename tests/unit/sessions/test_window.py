"""Which messages an agent gets back when its conversation manager has removed some: decided on values alone."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent_sessions._conversation.window import is_pinned, split_window, with_pin


def said(text: str, *, pinned: bool = False) -> Any:
    return with_pin({"role": "user", "content": [{"text": text}]}, pinned)


def call(call_id: str, *, pinned: bool = False) -> Any:
    return with_pin(
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": call_id, "name": "f", "input": {}}}]}, pinned
    )


def result(call_id: str) -> Any:
    return {"role": "user", "content": [{"toolResult": {"toolUseId": call_id, "status": "success", "content": []}}]}


def numbered(*messages: Any, first: int = 0) -> list[tuple[int, Any]]:
    return list(enumerate(messages, first))


def ids(messages: list[tuple[int, Any]]) -> list[int]:
    return [number for number, _ in messages]


def test_nothing_removed_leaves_everything_in_the_window() -> None:
    pinned, window = split_window(numbered(said("a"), said("b")), 0)

    assert (ids(pinned), ids(window)) == ([], [0, 1])


def test_pinned_messages_survive_and_are_not_counted_as_removed() -> None:
    messages = numbered(said("a"), said("kept", pinned=True), said("b"), said("c"))

    pinned, window = split_window(messages, 2)

    assert (ids(pinned), ids(window)) == ([1], [3])


def test_a_tool_call_and_its_result_survive_together_when_one_is_pinned() -> None:
    messages = numbered(said("a"), call("t1", pinned=True), result("t1"), said("b"))

    pinned, window = split_window(messages, 2)

    assert (ids(pinned), ids(window)) == ([1, 2], [])


def test_a_message_that_is_missing_from_storage_counts_as_removed() -> None:
    messages = [(0, said("a")), (3, said("b")), (4, said("c"))]  # 1 and 2 are lost

    pinned, window = split_window(messages, 3)

    assert (ids(pinned), ids(window)) == ([], [3, 4])


def test_more_removed_than_there_is_leaves_an_empty_window() -> None:
    assert split_window(numbered(said("a")), 9) == ([], [])


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 14))
def test_every_message_is_kept_once_or_removed_and_as_many_are_removed_as_was_said(
    pins: list[bool], removed: int
) -> None:
    messages = numbered(*(said(str(n), pinned=pin) for n, pin in enumerate(pins)))

    pinned, window = split_window(messages, removed)

    kept = ids(pinned) + ids(window)
    assert kept == sorted(set(kept))
    gone = [n for n, _ in messages if n not in kept]
    assert not any(pins[n] for n in gone)
    assert len(gone) == min(removed, sum(not pin for pin in pins))


@given(st.dictionaries(st.text(), st.integers()), st.booleans())
def test_a_pin_changes_nothing_else_of_a_message(metadata: dict[str, Any], pinned: bool) -> None:
    message: Any = {"role": "user", "content": [{"text": "x"}], "metadata": {**metadata, "custom": {"mine": 1}}}

    changed = with_pin(message, pinned)

    assert is_pinned(changed) is pinned
    assert with_pin(changed, pinned=False) == message
