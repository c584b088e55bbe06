"""What every session repository owes, as tests that yours can run: one module a capability, all in ``repository``.

    # test_my_repository.py
    import pytest
    from agent_sessions.conformance.repository import RepositoryConformance

    class TestMyRepository(RepositoryConformance):
        @pytest.fixture
        def repository(self, tmp_path):
            return MyRepository(tmp_path)

What an object store owes is in ``object_store``: see ``docs/CUSTOM_STORE.md``.

Needs ``pip install "agent-session-kit[conformance]"``: pytest, and Strands for the conversations.
"""

import pytest

# So that a failed assertion says what it compared, as in a test file.
for _capability in (
    "agents",
    "binary",
    "conversations",
    "messages",
    "object_store",
    "orchestrators",
    "sessions",
    "writers",
):
    pytest.register_assert_rewrite(f"{__name__}.{_capability}")
