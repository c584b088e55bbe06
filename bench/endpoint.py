"""The endpoint's turn: a whole request, answered by the function's handler in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from agent_sessions.owner import owner_prefix
from agent_sessions.session_store import SessionStore
from bench.contenders import SESSION_ID, Contender, Taken
from bench.conversation import AGENT_ID
from tests.endpoint.function import ALICE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from strands.session.session_manager import SessionManager

    from bench.conversation import InstantModel

NAME = "endpoint"
STREAMED = "endpoint-stream"
TTL_DAYS = 30


class EndpointProcess:
    """The function, started when it is first asked.

    Used as a context manager: its process ends with the ``with``, and with this process.

    Args:
        url: The S3 stand-in.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Return this function, which does not run yet."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.communicate(timeout=30)

    def contenders(self) -> list[Contender]:
        """Return who takes part in the comparison: the whole answer, and a stream as far as its reply."""
        return [
            Contender(NAME, "kit's endpoint, the whole request", _open, "turns", partial(self._take, False)),
            Contender(STREAMED, "kit's endpoint, streamed, to the reply", _open, "turns", partial(self._take, True)),
        ]

    def _take(
        self, streamed: bool, _client: S3Client, bucket: str, model: InstantModel, prompt: str, window: int | None
    ) -> Taken:
        asked = {
            "bucket": bucket,
            "prompt": prompt,
            "window": window,
            "think_seconds": model.think_seconds,
            "streamed": streamed,
        }
        answer = self._ask(asked)
        model.calls += [(start, end) for start, end in answer["calls"]]
        return Taken(answer["start"], None, answer["end"], answer["restored_messages"], None)

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            command = [sys.executable, "-m", "bench.endpoint_process", self._url]
            root = Path(__file__).parents[1]
            self._process = subprocess.Popen(  # noqa: S603  # ours
                command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the function's process is not connected")
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the function's process has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _open(client: S3Client, bucket: str) -> SessionManager:
    """Open the session where the function finds it, to give it the beginning of a long conversation."""
    store = SessionStore.from_url(f"s3://{bucket}", client=client, ttl_days=TTL_DAYS)
    owner = store.for_owner(owner_prefix(ALICE.account, ALICE.unique_id))
    return cast("SessionManager", owner.session_manager(SESSION_ID, agent_id=AGENT_ID, durability="turn"))
