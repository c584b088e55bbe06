"""Events are told in their order, and none before the turn's fence."""

from typing import Any

from lambda_src.turns.told_in_order import ToldInOrder
from lambda_src.turns.turn_events import MessageStored, Restored, TextDelta

RESTORED, WORD = Restored("a1", 2, "turn"), TextDelta("word")


def test_a_first_message_that_went_behind_others_is_told_under_its_own_id() -> None:
    happened: list[Any] = []
    told = ToldInOrder(happened.append)
    told.add(RESTORED)
    told.add(MessageStored(2, "user"))
    assert happened == []

    told.record_stored(5)
    assert happened == [RESTORED]
    told.renumber_first(5)
    told.add(WORD)

    assert happened == [RESTORED, MessageStored(5, "user"), WORD]
