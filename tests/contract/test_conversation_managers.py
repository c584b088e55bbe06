"""The contract with Strands' conversation managers: what they cut away stays away, and what they keep stays."""

import gc
import logging
import weakref
from typing import Any

import pytest
from strands.agent.conversation_manager import (
    NullConversationManager,
    SlidingWindowConversationManager,
    SummarizingConversationManager,
)

from tests.contract.agents import conversation, model_of, open_agent, stored, stored_ids, texts
from tests.contract.strands_features import needs_pins
from tests.contract.subjects import Subject
from tests.doubles.scripted_model import overflow, tool_use


def window(size: int = 4, **options: Any) -> SlidingWindowConversationManager:
    return SlidingWindowConversationManager(window_size=size, **options)


def summaries() -> SummarizingConversationManager:
    return SummarizingConversationManager(summary_ratio=0.5, preserve_recent_messages=2)


def test_a_sliding_window_is_restored_as_it_was_and_slides_on(managers: Subject) -> None:
    for turn in range(6):
        agent = open_agent(managers, f"reply {turn}", conversation_manager=window())
        agent(f"prompt {turn}")

        restored = open_agent(managers, conversation_manager=window())
        assert conversation(restored) == conversation(agent)
        assert restored.conversation_manager.get_state() == agent.conversation_manager.get_state()

    assert texts(conversation(restored)) == ["prompt 4", "reply 4", "prompt 5", "reply 5"]
    assert stored_ids(managers) == list(range(12))


def test_a_window_over_tool_calls_is_restored_as_it_was(managers: Subject) -> None:
    for turn in range(5):
        agent = open_agent(managers, tool_use("add", a=turn, b=1), f"{turn + 1}.", conversation_manager=window(5))
        agent(f"{turn}+1?")

        assert conversation(open_agent(managers, conversation_manager=window(5))) == conversation(agent)

    assert stored_ids(managers) == list(range(20))


def test_one_process_that_slides_for_many_turns_is_restored_as_it_was(managers: Subject) -> None:
    agent = open_agent(managers, *[f"reply {turn}" for turn in range(9)], conversation_manager=window(6))
    for turn in range(9):
        agent(f"prompt {turn}")

    restored = open_agent(managers, "more", conversation_manager=window(6))

    assert conversation(restored) == conversation(agent)
    restored("again")
    assert texts(conversation(open_agent(managers, conversation_manager=window(6)))) == texts(conversation(restored))


def test_a_summary_is_restored_in_front_of_what_it_left(managers: Subject) -> None:
    first = open_agent(managers, "r0", "r1", "r2", conversation_manager=summaries())
    for turn in range(3):
        first(f"p{turn}")
    second = open_agent(managers, overflow(), "A summary.", "r3", conversation_manager=summaries())
    second("p3")

    third = open_agent(managers, "r4", conversation_manager=summaries())

    assert "A summary." in texts(conversation(second))
    assert conversation(third) == conversation(second)
    assert third.conversation_manager.get_state() == second.conversation_manager.get_state()
    third("p4")
    assert model_of(third).requests[0].texts == [*texts(conversation(second)), "p4"]
    assert stored_ids(managers) == list(range(10))


def test_a_summary_of_a_summary_is_restored(managers: Subject) -> None:
    first = open_agent(managers, "r0", "r1", "r2", conversation_manager=summaries())
    for turn in range(3):
        first(f"p{turn}")
    for turn in (3, 4):
        agent = open_agent(managers, overflow(), f"Summary {turn}.", f"r{turn}", conversation_manager=summaries())
        agent(f"p{turn}")

        assert conversation(open_agent(managers, conversation_manager=summaries())) == conversation(agent)


def test_another_conversation_managers_state_is_ignored_with_a_warning_and_all_is_restored(
    our_managers: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    for turn in range(4):
        open_agent(our_managers, f"r{turn}", conversation_manager=window(4))(f"p{turn}")

    with caplog.at_level(logging.WARNING, logger="agent_sessions"):
        changed = open_agent(our_managers, "r4", conversation_manager=NullConversationManager())

    everything = [text for turn in range(4) for text in (f"p{turn}", f"r{turn}")]
    assert texts(conversation(changed)) == everything
    assert any("conversation" in record.getMessage().lower() for record in caplog.records)
    changed("p4")
    again = open_agent(our_managers, conversation_manager=NullConversationManager())
    assert texts(conversation(again)) == [*everything, "p4", "r4"]


@pytest.mark.parametrize("after", [summaries, NullConversationManager, window])
def test_editing_the_conversation_manager_never_bricks_a_session(our_managers: Subject, after: Any) -> None:
    open_agent(our_managers, "r0", conversation_manager=NullConversationManager())("p0")

    changed = open_agent(our_managers, "r1", conversation_manager=after())
    changed("p1")

    assert texts(conversation(open_agent(our_managers, conversation_manager=after()))) == ["p0", "r0", "p1", "r1"]


def test_what_has_left_the_window_is_not_kept_in_memory(our_managers: Subject) -> None:
    class Text(str):
        """A text that can be watched: plain strings take no weak references."""

        __slots__ = ("__weakref__",)

    prompt = Text("long ago")
    watched = weakref.ref(prompt)
    agent = open_agent(our_managers, *[f"r{turn}" for turn in range(6)], conversation_manager=window(4))
    content: list[Any] = [{"text": prompt}]
    agent(content)
    del prompt, content
    for turn in range(1, 6):
        agent(f"p{turn}")
    gc.collect()

    assert "long ago" not in texts(agent.messages)
    assert watched() is None
    assert "long ago" in texts([entry.to_message() for entry in stored(our_managers)])


@needs_pins
@pytest.mark.parametrize("pinned", [1, 2, 3])
def test_the_first_messages_stay_pinned_in_the_next_process(our_managers: Subject, pinned: int) -> None:
    for turn in range(6):
        agent = open_agent(our_managers, f"r{turn}", conversation_manager=window(4, pin_first=pinned))
        agent(f"p{turn}")

        restored = open_agent(our_managers, conversation_manager=window(4, pin_first=pinned))
        assert conversation(restored) == conversation(agent)

    first_said = [text for turn in range(6) for text in (f"p{turn}", f"r{turn}")][:pinned]
    assert texts(conversation(restored))[:pinned] == first_said
    assert stored_ids(our_managers) == list(range(12))


@needs_pins
def test_a_message_pinned_by_hand_stays_in_the_window_of_the_next_process(our_managers: Subject) -> None:
    from strands.agent.conversation_manager.compression.pin_message import pin_message

    agent = open_agent(our_managers, *[f"r{turn}" for turn in range(4)], conversation_manager=window(4))
    agent("p0")
    agent("remember this")
    pin_message(agent.messages, 2)
    agent("p2")
    agent("p3")

    restored = open_agent(our_managers, "r4", conversation_manager=window(4))

    assert "remember this" in texts(conversation(agent))
    assert conversation(restored) == conversation(agent)
    restored("p4")
    assert conversation(open_agent(our_managers, conversation_manager=window(4))) == conversation(restored)
    assert "remember this" in texts(conversation(restored))


@needs_pins
def test_a_message_unpinned_again_can_leave_the_window(our_managers: Subject) -> None:
    from strands.agent.conversation_manager.compression.pin_message import pin_message, unpin_message

    agent = open_agent(our_managers, *[f"r{turn}" for turn in range(3)], conversation_manager=window(4))
    agent("p0")
    pin_message(agent.messages, 0)
    agent("p1")
    agent("p2")
    second = open_agent(our_managers, "r3", "r4", conversation_manager=window(4))
    assert texts(conversation(second))[0] == "p0"
    unpin_message(second.messages, 0)
    second("p3")
    second("p4")

    restored = open_agent(our_managers, conversation_manager=window(4))

    assert "p0" not in texts(conversation(second))
    assert conversation(restored) == conversation(second)


@needs_pins
def test_pinned_messages_survive_a_summary(our_managers: Subject) -> None:
    def pinning() -> SummarizingConversationManager:
        return SummarizingConversationManager(summary_ratio=0.5, preserve_recent_messages=2, pin_first=1)

    first = open_agent(our_managers, "r0", "r1", "r2", conversation_manager=pinning())
    for turn in range(3):
        first(f"p{turn}")
    second = open_agent(our_managers, overflow(), "A summary.", "r3", conversation_manager=pinning())
    second("p3")

    third = open_agent(our_managers, conversation_manager=pinning())

    assert texts(conversation(second))[0] == "p0"
    # A summary is given back by the conversation manager to stand in front; nothing is lost and nothing doubled.
    assert sorted(texts(conversation(third))) == sorted(texts(conversation(second)))
