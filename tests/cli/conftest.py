"""A terminal on a real store: a folder, or the S3 stand-in."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from strands import Agent

from agent_sessions.session_store import FileSessionStore, S3SessionStore, SessionStore
from agent_sessions_cli.commands import agent_sessions
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel

BUCKET = "sessions"
ROOT = Path(__file__).parents[2]


@dataclass
class Terminal:
    """Somebody at a terminal.

    Attributes:
        store: The store that the commands name.
        url: Its URL.
        options: What the commands need beside it.
    """

    store: SessionStore
    url: str
    options: tuple[str, ...] = ()

    def run(self, *words: str, answer: str | None = None) -> Result:
        """Run ``agent-sessions`` in this process, in this store."""
        return self.call(*words, "--store", self.url, *self.options, answer=answer)

    def call(self, *words: str, answer: str | None = None) -> Result:
        """Run ``agent-sessions`` in this process with these words alone."""
        return CliRunner().invoke(agent_sessions, [*words], input=answer, prog_name="agent-sessions")

    def talk(self, session_id: str, *replies: Any, agent_id: str = "default", **options: Any) -> None:
        """Take a turn with a real agent for each reply."""
        manager = self.store.session_manager(session_id)
        agent = Agent(
            model=ScriptedModel(*replies),
            session_manager=manager,
            agent_id=agent_id,
            callback_handler=None,
            **options,
        )
        for number in range(sum(isinstance(reply, str) for reply in replies)):
            agent(f"Question {number}")

    def stored(self) -> dict[str, bytes]:
        """Every object of the store."""
        found = {entry.key: self.store.objects.get(entry.key) for entry in self.store.objects.list("")}
        return {key: stored.body for key, stored in found.items() if stored is not None}


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[S3Server]:
    with S3Server(buckets=[BUCKET]) as server:
        yield server


@pytest.fixture
def on_bucket(request: pytest.FixtureRequest, other_s3: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, value in {"ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    if other_s3:
        client, bucket = boto3.client("s3", endpoint_url=other_s3), f"cli-{uuid.uuid4().hex}"
        client.create_bucket(Bucket=bucket)
        return Terminal(S3SessionStore(client, bucket, "chat"), f"s3://{bucket}/chat", ("--endpoint-url", other_s3))
    bucket_server: S3Server = request.getfixturevalue("bucket_server")
    bucket_server.reset()
    store = S3SessionStore(bucket_server.client(), BUCKET, "chat")
    return Terminal(store, f"s3://{BUCKET}/chat", ("--endpoint-url", bucket_server.url))


@pytest.fixture
def on_folder(tmp_path: Path) -> Terminal:
    folder = tmp_path / "sessions"
    return Terminal(FileSessionStore(folder), folder.as_uri())


@pytest.fixture(params=["folder", "bucket"])
def terminal(request: pytest.FixtureRequest) -> Terminal:
    found: Terminal = request.getfixturevalue(f"on_{request.param}")
    return found
