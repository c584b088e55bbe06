"""Two messages of one role become one where the writer has noted that they were never neighbours."""

from typing import Any

import pytest

from agent_sessions._conversation.role_runs import with_alternating_roles
from agent_sessions.tool_pairing import Repaired


def said(role: str, text: str, **more: Any) -> Any:
    return {"role": role, "content": [{"text": text}], **more}


def items(*messages: Any) -> list[Repaired]:
    return [Repaired(message, position) for position, message in enumerate(messages)]


def shown(found: list[Any]) -> list[tuple[str, list[str], tuple[int, ...]]]:
    return [(it.message["role"], [block["text"] for block in it.message["content"]], it.sources) for it in found]


HELLO, AGAIN, ANSWER = said("user", "Hello"), said("user", "Hello?"), said("assistant", "Hi")


def test_what_was_never_neighbours_becomes_one_message_of_both() -> None:
    found = with_alternating_roles(items(HELLO, AGAIN, ANSWER), {1}, window_at=0)

    assert shown(found) == [("user", ["Hello", "Hello?"], (0, 1)), ("assistant", ["Hi"], (2,))]


def test_what_was_neighbours_stays_two_messages() -> None:
    found = with_alternating_roles(items(HELLO, AGAIN, ANSWER), set(), window_at=0)

    assert [it.sources for it in found] == [(0,), (1,), (2,)]


def test_a_run_of_three_becomes_one() -> None:
    found = with_alternating_roles(items(HELLO, AGAIN, said("user", "Well?")), {1, 2}, window_at=0)

    assert shown(found) == [("user", ["Hello", "Hello?", "Well?"], (0, 1, 2))]


def test_roles_that_differ_are_never_one() -> None:
    found = with_alternating_roles(items(HELLO, ANSWER), {1}, window_at=0)

    assert [it.sources for it in found] == [(0,), (1,)]


@pytest.mark.parametrize("pinned", [0, 1])
def test_a_pinned_message_stays_alone(pinned: int) -> None:
    messages = [HELLO, AGAIN]
    messages[pinned] = {**messages[pinned], "metadata": {"custom": {"pinned": True}}}

    assert len(with_alternating_roles(items(*messages), {1}, window_at=0)) == 2


def test_the_windows_beginning_keeps_two_apart() -> None:
    assert len(with_alternating_roles(items(HELLO, AGAIN), {1}, window_at=1)) == 2
    assert len(with_alternating_roles(items(HELLO, AGAIN), {1}, window_at=2)) == 1


def test_what_a_message_carries_beside_its_words_is_of_the_later_one() -> None:
    first, second = said("user", "Hello", tracking_id="one"), said("user", "Hello?", tracking_id="two")

    (joined,) = with_alternating_roles(items(first, second), {1}, window_at=0)

    assert joined.message == {**second, "content": [{"text": "Hello"}, {"text": "Hello?"}]}
    assert first == said("user", "Hello", tracking_id="one")


def test_a_message_that_was_added_has_no_source_and_is_joined_to_none() -> None:
    found = with_alternating_roles([*items(HELLO), Repaired(AGAIN, None)], {0, 1}, window_at=0)

    assert [it.sources for it in found] == [(0,), ()]
