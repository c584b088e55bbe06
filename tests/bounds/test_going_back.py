"""What a fork costs, and what a turn keeps so that it can be gone back to."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from strands import Agent

from agent_sessions._objects.agent_objects import AgentObjects
from agent_sessions._objects.before_turn import MOST_BYTES
from tests.bounds.world import World
from tests.doubles.scripted_model import ScriptedModel


@pytest.mark.parametrize("count", [20, 200])
def test_a_fork_copies_messages_in_the_storage_and_reads_and_writes_no_more_of_a_long_session(
    world: World, count: int
) -> None:
    world.put("s", messages=count + 2)
    world.s3.log.take()

    assert world.store.fork("s", before_message=count).message_count == count

    entries = world.s3.log.take()
    bodies = [entry for entry in entries if entry.verb == "PUT" and "/messages/" in entry.key]
    others = Counter(entry.verb for entry in entries if entry not in bodies)
    assert {entry.bytes_in for entry in bodies} == {0}, "a copy sends none"
    assert len(bodies) <= count + 1, "the first copy of a process is asked for twice"
    assert others["GET"] <= 6
    assert others["PUT"] <= 3
    assert sum(entry.bytes_out for entry in entries if entry.verb == "GET") < 10_000


@contextmanager
def keeping_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Turns that keep nothing to go back to."""
    with monkeypatch.context() as patched:
        patched.setattr(AgentObjects, "opening", lambda _, content: content)
        patched.setattr(AgentObjects, "record_opening", AgentObjects.record_message)
        yield


@pytest.mark.parametrize("size", [0, MOST_BYTES - 200, MOST_BYTES, 100_000])
def test_what_a_turn_keeps_to_go_back_to_costs_no_request_and_at_most_16_kib(
    world: World, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def spent(session_id: str) -> tuple[Counter[str], int]:
        """The writes of a turn that finds a state nobody has kept yet, and the bytes of its messages."""
        for number in range(2):
            world.s3.log.take()
            agent = Agent(
                agent_id="default",
                model=ScriptedModel("Yes."),
                callback_handler=None,
                session_manager=world.store.session_manager(session_id, durability="turn"),
            )
            agent.state.set("notes", str(number) * size)
            agent("Hello")
        entries = [entry for entry in world.s3.log.take() if entry.verb not in {"GET", "HEAD"}]
        return Counter(entry.verb for entry in entries), sum(e.bytes_in for e in entries if "/messages/" in e.key)

    kept = spent("kept")
    with keeping_nothing(monkeypatch):
        plain = spent("plain")

    assert kept[0] == plain[0]
    assert 0 < kept[1] - plain[1] <= MOST_BYTES + 50
