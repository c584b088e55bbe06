"""A bucket, its lifecycle rule and processes that use it, under one clock: the storage's. Theirs stand still."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from strands import Agent
from strands.agent.conversation_manager import SlidingWindowConversationManager

from agent_sessions.expiry import lifecycle_days
from agent_sessions.s3_session_manager import S3SessionManager
from agent_sessions.session_store import SessionStore
from tests.doubles.scripted_model import ScriptedModel

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.doubles.s3_server import S3Server

BUCKET = "sessions"
PREFIX = "kit"
HOUR = 3_600.0
DAY = 24 * HOUR
BEGIN = datetime(2026, 3, 1, 15, 30, tzinfo=UTC).timestamp()
WINDOW = 4


@dataclass
class Bucket:
    """Sessions in a bucket with a lifecycle rule.

    Attributes:
        s3: The server; its clock is the only one that goes on.
        ttl_days: What the processes are configured with.
        rule_days: The deployed rule; ``None`` for none.
    """

    s3: S3Server
    ttl_days: float = 7.0
    rule_days: int | None = lifecycle_days(7)
    client: S3Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = client_of(self.s3)
        self.s3.reset()
        self.s3.clock.set(BEGIN)

    def deploy(self, ttl_days: float) -> None:
        """Deploy a lifetime and its rule."""
        self.ttl_days, self.rule_days = ttl_days, lifecycle_days(ttl_days)

    # --- time ---

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.s3.clock(), UTC)

    def wait(self, seconds: float, *, rule_runs: bool = True) -> None:
        """Let time pass, and the rule run at its end, when everything that is due goes at once."""
        self.s3.clock.advance(round(seconds))
        if rule_runs:
            self.run_rule()

    def run_rule(self, days: int | None = None) -> tuple[str, ...]:
        """Let the deployed rule, or another one, run."""
        return self.s3.expire(BUCKET, days=days or self.rule_days, prefix=f"{PREFIX}/").objects

    # --- use ---

    def manager(self, session_id: str = "chat", **options: Any) -> S3SessionManager:
        """A new process's manager."""
        given: dict[str, Any] = {"ttl_days": self.ttl_days, "durability": "turn", **options}
        return S3SessionManager(session_id, BUCKET, PREFIX, client=self.client, **given)

    def agent(self, session_id: str = "chat", agent_id: str = "default", **options: Any) -> Agent:
        """A new process's agent; it answers whatever it is asked."""
        given: dict[str, Any] = {"model": ScriptedModel(otherwise=f"Hello from {agent_id}."), "callback_handler": None}
        if agent_id == "windowed":
            given["conversation_manager"] = SlidingWindowConversationManager(window_size=WINDOW)
        session = options.pop("session_manager", None) or self.manager(session_id, agent_id=agent_id)
        return Agent(agent_id=agent_id, session_manager=session, **given | options)

    def turn(self, text: str, session_id: str = "chat", agent_id: str = "default", **options: Any) -> Agent:
        """A turn in a process of its own."""
        agent = self.agent(session_id, agent_id, **options)
        agent(text)
        return agent

    # --- looking ---

    @property
    def store(self) -> SessionStore:
        """The store as a reader opens it."""
        return SessionStore.from_url(f"s3://{BUCKET}/{PREFIX}", client=self.client, ttl_days=self.ttl_days)

    def said(self, session_id: str = "chat", agent_id: str = "default") -> list[str]:
        """Every stored message's text, read with no derived copy."""
        return [
            text_of(message.message) for message in self.store.messages(session_id, agent_id, limit=10_000).messages
        ]

    def ages(self, session_id: str = "chat") -> dict[str, float]:
        """The age of each object of a session in days, by its key below the session's folder."""
        folder = f"{PREFIX}/session_{session_id}/"
        found = self.s3.store.current_objects(BUCKET, folder)
        return {
            key.removeprefix(folder): (self.s3.clock() - version.last_modified) / DAY for key, version in found.items()
        }


def client_of(s3: S3Server) -> S3Client:
    """A client that does not repeat what fails."""
    return s3.client(config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20))


def text_of(message: Any) -> str:
    """The text of a message."""
    return "".join(block.get("text", "") for block in message["content"])


def texts(agent: Agent) -> list[str]:
    """The texts of an agent's messages."""
    return [text_of(message) for message in agent.messages]


def exchange(*prompts: str, agent_id: str = "default") -> list[str]:
    """What is said when an agent is asked these."""
    return [text for prompt in prompts for text in (prompt, f"Hello from {agent_id}.")]
