"""The capabilities that are this kit's own promise, and the shipped suite itself."""

from pathlib import Path
from typing import Any

import pytest

import agent_sessions
from agent_sessions.conformance.conversations import ConversationsConformance
from agent_sessions.conformance.messages import MessagesConformance
from agent_sessions.conformance.writers import WritersConformance
from agent_sessions.types import SessionMessage
from tests.contract.dict_repository import DictRepository
from tests.contract.subjects import OfEachOfOurs

pytest_plugins = ("pytester",)


class TestWriters(OfEachOfOurs, WritersConformance):
    pass


class TestConversations(OfEachOfOurs, ConversationsConformance):
    pass


class Forgetful(DictRepository):
    """A repository that forgets its oldest message: the suite has to notice."""

    def list_messages(self, *args: Any, **kwargs: Any) -> list[SessionMessage]:
        return super().list_messages(*args, **kwargs)[1:]


def test_a_repository_that_loses_a_message_does_not_pass() -> None:
    suite, repository = MessagesConformance(), Forgetful()
    from agent_sessions import types
    from agent_sessions.conformance.capability import with_agent

    with pytest.raises(AssertionError):
        suite.test_messages_are_listed_in_the_order_of_their_ids_beyond_ten(with_agent(repository, types), types)


def test_a_suite_without_a_repository_says_what_to_override(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(agent_sessions.__file__).parents[1]))
    pytester.makepyfile(
        """
        from agent_sessions.conformance.repository import RepositoryConformance

        class TestMine(RepositoryConformance):
            pass
        """
    )

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "never_created_reads_as_none and session")

    result.stdout.fnmatch_lines(["*TestMine needs a fixture `repository` that returns an empty one*"])
