"""A process that dies at any write of a turn, in the middle of renewing the copies too, leaves nothing wrong."""

import contextlib

import pytest

from tests.consolidation.session import Durability, KitSession
from tests.doubles.s3.faults import Fault

TURNS = 9


def _writes_of_a_turn(session: KitSession, prompt: str, durability: Durability) -> int:
    session.server.log.take()
    session.turn(prompt, durability, with_tool=True)
    return sum(entry.verb == "PUT" for entry in session.server.log.take())


@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("durability", ["message", "turn"])
def test_after_dying_at_any_write_the_next_turn_has_every_durable_message(
    durability: Durability, applied: bool, session: KitSession
) -> None:
    for turn in range(TURNS):
        session.turn(f"prompt {turn}", durability)
    assert session.has_history()
    writes = _writes_of_a_turn(session, "how many writes?", durability)

    for nth in range(1, writes + 2):  # a new base makes one more
        before = session.log()
        # Nothing leaves a dead process: every write from the n-th on fails, the n-th perhaps after it took effect.
        faults = [Fault("drop", verb="PUT", nth=nth, applied=applied), Fault("drop", verb="PUT", nth=nth, times=None)]
        for fault in faults if applied else faults[1:]:
            session.server.faults.add(fault)
        with contextlib.suppress(Exception):
            session.turn(f"dies at {nth}", durability, with_tool=True)
        session.server.faults.clear()
        durable = session.log()
        assert durable[: len(before)] == before

        agent = session.turn(f"after {nth}", durability)

        log = session.log()
        assert agent.messages == log
        assert log[: len(durable)] == durable
        assert log[-2]["content"] == [{"text": f"after {nth}"}]
        assert session.ids() == list(range(len(log)))
        assert session.open_with_strands().messages == session.open().messages == log


def test_a_last_message_lost_in_a_crash_is_written_from_the_tail(session: KitSession) -> None:
    session.turn("first", "turn")
    session.turn_cut_off_in_its_last_round(3, "second")
    assert session.ids() == [0, 1, 2]

    agent = session.turn("third", "turn")

    assert session.ids() == [0, 1, 2, 3, 4, 5]
    assert [message["content"][0].get("text") for message in session.log()] == [
        *("first", "reply to first", "second", "reply to second"),
        *("third", "reply to third"),
    ]
    assert agent.messages == session.log()


def test_a_message_that_another_writer_put_there_instead_is_kept(session: KitSession) -> None:
    session.turn("first", "turn")
    session.turn_cut_off_in_its_last_round(3, "second")
    session.turn_of_strands("a guest")  # whose manager does not know the tail

    agent = session.turn("third", "turn")

    texts = [message["content"][0].get("text") for message in session.log()]
    assert texts == ["first", "reply to first", "second", "a guest", "reply to a guest", "third", "reply to third"]
    assert agent.messages == session.log()
