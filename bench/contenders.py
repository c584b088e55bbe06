"""Who is compared: how each opens a session, and how its sessions of a given length come to be."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import boto3
from strands.session.s3_session_manager import S3SessionManager as StrandsS3SessionManager

from agent_sessions.s3_session_manager import S3SessionManager
from bench.conversation import TURN_MESSAGES, InstantModel, build_agent, history, question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_s3 import S3Client
    from strands.session.session_manager import SessionManager

SESSION_ID = "bench"

# What a session prepared by turns grew by: enough that whatever a manager does now and then has happened.
_GROWN_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """A turn that was taken.

    Attributes:
        start: Monotonic seconds when it began.
        restored: The same when the agent was restored; ``None`` where that cannot be seen from outside.
        end: The same when it was over.
        restored_messages: How many messages the agent had when it was restored.
        messages: How many it had in the end, where that can be seen.
    """

    start: float
    restored: float | None
    end: float
    restored_messages: int
    messages: int | None


@dataclass(frozen=True, slots=True)
class Contender:
    """A session manager in one of its settings.

    Attributes:
        name: In JSON and on the command line.
        label: In tables and plots.
        open: Opens the session in a bucket with a client that is ready.
        grow: How a long session is prepared. ``turns``: by turns, each with a fresh agent, as a function would.
            ``import``: given to a new session whole, but for one turn; for managers whose stored form does not depend
            on how it came to be.
        take: Takes a turn some other way than by opening the session and building an agent.
    """

    name: str
    label: str
    open: Callable[[S3Client, str], SessionManager]
    grow: Literal["turns", "import"]
    take: Callable[[S3Client, str, InstantModel, str, int | None], Taken] | None = None

    def take_turn(self, client: S3Client, bucket: str, model: InstantModel, prompt: str, window: int | None) -> Taken:
        """Do what a function does for one request: open the session, restore the agent, run, return.

        Args:
            client: Speaks to the bucket.
            bucket: Holds the session.
            model: What answers.
            prompt: What the user says.
            window: The agent's sliding window in messages; ``None`` keeps all.
        """
        if self.take is not None:
            return self.take(client, bucket, model, prompt, window)
        start = time.monotonic()
        agent = build_agent(self.open(client, bucket), model, window=window)
        restored = time.monotonic()
        restored_messages = len(agent.messages)
        agent(prompt)
        return Taken(start, restored, time.monotonic(), restored_messages, len(agent.messages))

    def begins_from(self, count: int, prepared: Iterable[int]) -> int:
        """Choose, of the sessions prepared already, the one that one of ``count`` messages can go on from.

        Returns:
            Its length, or 0 for an empty bucket.
        """
        if self.grow == "import":
            return 0
        fit = [one for one in prepared if 0 < count - one <= _GROWN_MESSAGES and (count - one) % TURN_MESSAGES == 0]
        return max(fit, default=0)

    def prepare(self, client: S3Client, bucket: str, count: int, *, window: int | None, begin: int) -> None:
        """Let the manager itself make a session of ``count`` messages of the one in the bucket.

        Args:
            client: Speaks to the bucket.
            bucket: Holds a session of ``begin`` messages, or nothing.
            count: How many messages there are to be.
            window: The agent's sliding window in messages; ``None`` keeps all.
            begin: How many there are; 0 for an empty bucket.
        """
        if not begin:
            grown = min(count, _GROWN_MESSAGES if self.grow == "turns" else TURN_MESSAGES)
            begin = count - grown // TURN_MESSAGES * TURN_MESSAGES
            manager = self.open(client, bucket)
            manager.sync_agent(build_agent(manager, InstantModel(), window=window, messages=history(begin)))
        for number in range(begin // TURN_MESSAGES, count // TURN_MESSAGES):
            self.take_turn(client, bucket, InstantModel(), question(number), window)


class _ReadySession(boto3.Session):
    """A boto3 session that hands out one client that is ready, to managers that insist on making theirs."""

    def __init__(self, client: S3Client) -> None:
        self._ready = client

    def client(self, *_args: Any, **_kwargs: Any) -> Any:
        return self._ready


def _ours(**options: Any) -> Callable[[S3Client, str], SessionManager]:
    def open_session(client: S3Client, bucket: str) -> SessionManager:
        # Ours plugs in by structure, not by inheritance.
        return cast("SessionManager", S3SessionManager(SESSION_ID, bucket, client=client, **options))

    return open_session


def _strands_messages(client: S3Client, bucket: str) -> SessionManager:
    return StrandsS3SessionManager(SESSION_ID, bucket, boto_session=_ReadySession(client))


def _strands_snapshot(save_latest_on: Literal["invocation", "message"]) -> Callable[[S3Client, str], SessionManager]:
    # Not in every Strands that the kit supports, and only this contender needs them.
    from strands.session import SnapshotSessionManager
    from strands.storage import S3Storage

    def open_session(client: S3Client, bucket: str) -> SessionManager:
        storage = S3Storage(bucket, boto_session=_ReadySession(client))
        return SnapshotSessionManager(SESSION_ID, storage=storage, save_latest_on=save_latest_on)

    return open_session


def contenders() -> list[Contender]:
    """Return every session manager that can be compared here, the kit's first."""
    found = [
        Contender("kit-message", "kit, durable by message", _ours(durability="message"), "turns"),
        Contender("kit-turn", "kit, durable by turn", _ours(durability="turn"), "turns"),
        Contender("kit-effects", "kit, the model at once", _ours(durability="turn", fence="effects"), "turns"),
    ]
    found += [
        Contender("strands-s3", "Strands S3SessionManager", _strands_messages, "import"),
        Contender("snapshot-message", "Strands Snapshot, saved by message", _strands_snapshot("message"), "import"),
        Contender("snapshot-turn", "Strands Snapshot, saved by turn", _strands_snapshot("invocation"), "import"),
    ]
    return found
