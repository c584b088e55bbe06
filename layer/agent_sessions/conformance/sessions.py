"""Sessions: created once, read back, apart from each other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from agent_sessions.conformance.capability import Capability, new_session


class SessionsConformance(Capability):
    """What a repository owes a session."""

    def test_a_created_session_is_read_back(self, repository: Any, types: Any) -> None:
        created = repository.create_session(new_session(types))

        found = repository.read_session("s1")

        assert created.session_id == found.session_id == "s1"
        assert found.session_type == types.SessionType.AGENT
        assert found.created_at == created.created_at
        assert datetime.fromisoformat(found.created_at).utcoffset() == timedelta(0)

    def test_a_session_that_was_never_created_reads_as_none(self, repository: Any) -> None:
        assert repository.read_session("nobody") is None

    def test_creating_a_session_twice_is_refused_and_the_first_stays(
        self, repository: Any, types: Any, session_exception: type[Exception]
    ) -> None:
        first = repository.create_session(new_session(types))

        with pytest.raises(session_exception, match="s1"):
            repository.create_session(new_session(types))

        assert repository.read_session("s1").created_at == first.created_at

    def test_sessions_of_similar_names_are_different_sessions(self, repository: Any, types: Any) -> None:
        for session_id in ("user1", "user10", "USER1-", "user-1"):
            repository.create_session(new_session(types, session_id))

        assert repository.read_session("user10").session_id == "user10"
        assert repository.read_session("user") is None
        assert repository.read_session("user1-") is None

    @pytest.mark.parametrize(
        "session_id",
        ["plain", "with space", "äöü-é", "日本語", "a+b=c&d", "per%20cent", "quote'\"", "tilde~.dot", "#?;"],
    )
    def test_every_allowed_id_names_exactly_its_session(self, repository: Any, types: Any, session_id: str) -> None:
        repository.create_session(new_session(types, session_id))

        assert repository.read_session(session_id).session_id == session_id
        assert repository.read_session(session_id + "x") is None
