"""The contract with bidirectional agents, whichever half of Strands they come from."""

import asyncio
import inspect
from typing import Any

import pytest

from tests.contract.agents import stored, stored_ids, texts
from tests.contract.bidi_model import BidiAgent, TranscriptModel, is_end_of_transcript, talk
from tests.contract.strands_features import HAS_BIDI
from tests.contract.subjects import Subject

pytestmark = pytest.mark.skipif(
    "session_manager" not in inspect.signature(BidiAgent).parameters,
    reason="bidirectional agents of this version of Strands take no session manager",
)
needs_replaced_messages = pytest.mark.skipif(
    not HAS_BIDI, reason="bidirectional agents of this version of Strands do not replace messages"
)


def open_bidi(subject: Subject, *replies: str, **options: Any) -> Any:
    """A new process's bidirectional agent in the session."""
    defaults = {"agent_id": "a1", "model": TranscriptModel(*replies), "session_manager": subject.manager()}
    return BidiAgent(**defaults | options)


def test_a_spoken_conversation_is_restored(our_managers: Subject) -> None:
    first = open_bidi(our_managers, "Hello Ada.", "Again?")
    asyncio.run(talk(first, "I am Ada.", "Hello"))
    assert texts(first.messages) == ["I am Ada.", "Hello Ada.", "Hello", "Again?"]

    second = open_bidi(our_managers, "Ada.")

    assert second.messages == first.messages
    asyncio.run(talk(second, "Who am I?"))
    assert texts(second.model.started_with) == ["I am Ada.", "Hello Ada.", "Hello", "Again?"]
    assert stored_ids(our_managers) == [0, 1, 2, 3, 4, 5]


def test_the_state_of_a_bidirectional_agent_is_restored(our_managers: Subject) -> None:
    first = open_bidi(our_managers, "Noted.", state={"colour": "blue"})
    asyncio.run(talk(first, "Remember"))
    first.state.set("colour", "green")
    first._session_manager.sync_agent(first)

    assert open_bidi(our_managers).state.get() == {"colour": "green"}


def test_what_a_bidirectional_agent_changes_while_it_stops_is_stored(our_managers: Subject) -> None:
    first = open_bidi(our_managers, "Noted.")

    async def conversation() -> None:
        await first.start()
        await first.send("Remember")
        async for event in first.receive():
            if is_end_of_transcript(event):
                break
        first.state.set("late", True)
        await first.stop()

    asyncio.run(conversation())

    assert open_bidi(our_managers).state.get() == {"late": True}


@needs_replaced_messages
def test_a_transcript_is_stored_once_and_whole_at_the_place_reserved_when_it_starts(
    our_managers: Subject,
) -> None:
    first = open_bidi(our_managers, "Hello Ada, how are you?")
    asyncio.run(talk(first, "I am Ada."))

    records = stored(our_managers)

    assert [entry.message_id for entry in records] == [0, 1]
    assert records[1].message["content"] == [{"text": "Hello Ada, how are you?"}]
    assert records[1].message["metadata"]["custom"]["bidi"]["status"] == "complete"
    assert records[1].message == first.messages[1]


@needs_replaced_messages
def test_a_transcript_that_was_cut_off_is_stored_as_the_agent_left_it(our_managers: Subject) -> None:
    class CutOff(TranscriptModel):
        async def send(self, content: Any) -> None:
            from tests.contract.bidi_model import transcript

            for event in transcript("Half a sentence")[:5]:
                await self._queue.put(event)
            await self._queue.put(None)

    first = open_bidi(our_managers, model=CutOff())

    async def conversation() -> None:
        await first.start()
        await first.send("Speak")
        received = 0
        async for _ in first.receive():
            received += 1
            if received == 5:
                break
        await first.stop()

    asyncio.run(conversation())
    second = open_bidi(our_managers)

    assert first.messages[1]["metadata"]["custom"]["bidi"]["status"] == "incomplete"
    assert second.messages == first.messages


def test_a_bidirectional_and_a_plain_agent_share_a_session(our_managers: Subject) -> None:
    from tests.contract.agents import open_agent

    asyncio.run(talk(open_bidi(our_managers, "Spoken.", agent_id="voice"), "Hello"))
    open_agent(our_managers, "Written.", agent_id="text")("Hello")

    assert texts(open_bidi(our_managers, agent_id="voice").messages) == ["Hello", "Spoken."]
    assert texts(open_agent(our_managers, agent_id="text").messages) == ["Hello", "Written."]


def test_two_bidirectional_agents_of_one_id_in_one_manager_are_refused(our_managers: Subject) -> None:
    manager = our_managers.manager()
    open_bidi(our_managers, agent_id="twin", session_manager=manager)

    with pytest.raises(our_managers.session_exception, match="unique in a session"):
        open_bidi(our_managers, agent_id="twin", session_manager=manager)
