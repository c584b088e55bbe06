"""A session is the same to this kit's managers and to Strands', whoever took its turns, in whatever order.

After every turn each writer opens the session anew. What it restores must be what the turn's own agent held, to the
last field, and what it lists must be what was said. ``INTEROP_FACTOR=20`` tries so many times more conversations.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from mypy_boto3_s3 import S3Client

from tests.conftest import TOTAL
from tests.contract.agents import open_agent, texts
from tests.contract.interop.conversations import WRITERS, Conversation, Session, conversations
from tests.contract.subjects import Subject, file_subject, s3_subject

FACTOR = int(os.environ.get("INTEROP_FACTOR", "1"))
_numbers = itertools.count()


def check(session: Session, conversation: Conversation, totals: Counter[str]) -> None:
    """Run a conversation and compare after every turn."""
    for turn in conversation.turns:
        held = session.take(turn)
        for reader in WRITERS:
            restored = session.open(reader, turn.agent_id)
            assert restored.messages == held.messages, reader
            assert restored.state.get() == held.state, reader
            assert restored.conversation_manager.get_state() == held.manager_state, reader
            assert restored._interrupt_state.to_dict() == held.interrupts, reader
            totals["restores compared"] += 1
            for agent_id, said in session.said.items():
                assert session.stored(reader, agent_id) == said, (reader, agent_id)
                totals["histories compared"] += 1
    totals["conversations"] += 1
    totals["turns"] += len(conversation.turns)


def try_many(make_writers: Callable[[], dict[str, Subject]], examples: int, max_turns: int) -> Counter[str]:
    """Try random conversations, each in a place of its own."""
    totals: Counter[str] = Counter()

    @settings(max_examples=examples * FACTOR, deadline=None, suppress_health_check=list(HealthCheck))
    @given(conversation=conversations(max_turns))
    def run(conversation: Conversation) -> None:
        check(Session(make_writers(), conversation.manager), conversation, totals)

    run()
    return totals


Report: TypeAlias = Callable[[str, Counter[str]], None]


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Add totals to the summary that pytest prints at its end."""

    def add(where: str, totals: Counter[str]) -> None:
        for name, value in totals.items():
            record_property(f"{TOTAL}interop {where}, {name}", value)
        # Reaching this line means that no comparison found a difference.
        record_property(f"{TOTAL}interop {where}, differing", 0)

    return add


@pytest.mark.parametrize("first", ["file", "strands-file"])
@pytest.mark.parametrize("second", ["file", "file-turn", "strands-file"])
def test_an_agent_that_never_spoke_is_opened_by_the_other(tmp_path: Path, first: str, second: str) -> None:
    open_agent(file_subject(first, tmp_path), state={"x": 1})

    agent = open_agent(file_subject(second, tmp_path), "Hi.")

    assert agent.messages == []
    assert agent.state.get() == {"x": 1}
    agent("Hello")
    assert texts(list(open_agent(file_subject(first, tmp_path)).messages)) == ["Hello", "Hi."]


@pytest.mark.timeout(120 + 60 * FACTOR)
def test_on_disk_every_writer_restores_what_any_writer_stored(tmp_path: Path, report: Report) -> None:
    def writers() -> dict[str, Subject]:
        folder = tmp_path / str(next(_numbers))
        names = {"ours": "file", "ours-turn": "file-turn", "strands": "strands-file"}
        return {writer: file_subject(name, folder) for writer, name in names.items()}

    report("on disk", try_many(writers, examples=40, max_turns=8))


@pytest.mark.timeout(120 + 60 * FACTOR)
def test_on_s3_every_writer_restores_what_any_writer_stored(s3_client: S3Client, bucket: str, report: Report) -> None:
    def writers() -> dict[str, Subject]:
        prefix = f"conversations/{next(_numbers)}"
        names = {"ours": "s3", "ours-turn": "s3-turn", "strands": "strands-s3"}
        return {writer: s3_subject(name, s3_client, bucket, prefix) for writer, name in names.items()}

    report("on S3", try_many(writers, examples=12, max_turns=6))
