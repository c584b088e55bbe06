"""Writers at the same time: if two create one record, one is refused, and nothing is overwritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from agent_sessions.conformance.capability import Capability, new_message, new_session, with_agent
from agent_sessions.exceptions import SessionException

if TYPE_CHECKING:
    from collections.abc import Callable

WRITERS = 8


class WritersConformance(Capability):
    """What keeps two callers from losing each other's turns: creating is exclusive."""

    def test_creating_a_message_in_a_place_that_is_taken_is_refused_and_the_first_stays(
        self, repository: Any, types: Any
    ) -> None:
        conversation = with_agent(repository, types)
        conversation.create_message("s1", "a1", new_message(types, 0, "first"))

        with pytest.raises(SessionException):
            conversation.create_message("s1", "a1", new_message(types, 0, "second"))

        assert conversation.read_message("s1", "a1", 0).message["content"] == [{"text": "first"}]

    def test_of_many_writers_of_one_message_exactly_one_is_stored(self, repository: Any, types: Any) -> None:
        conversation = with_agent(repository, types)

        won = _race(lambda n: conversation.create_message("s1", "a1", new_message(types, 0, f"writer {n}")))

        assert len(won) == 1
        assert conversation.read_message("s1", "a1", 0).message["content"] == [{"text": f"writer {won[0]}"}]

    def test_of_many_creators_of_one_session_exactly_one_creates_it(self, repository: Any, types: Any) -> None:
        won = _race(lambda _: repository.create_session(new_session(types)))

        assert len(won) == 1
        assert repository.read_session("s1") is not None


def _race(write: Callable[[int], object]) -> list[int]:
    """Let many writers write at once; returns the numbers of those who were not refused."""
    start = Barrier(WRITERS)

    def attempt(number: int) -> int | None:
        start.wait()
        try:
            write(number)
        except SessionException:
            return None
        return number

    with ThreadPoolExecutor(WRITERS) as pool:
        return [number for number in pool.map(attempt, range(WRITERS)) if number is not None]
