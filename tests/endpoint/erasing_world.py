"""A function whose sessions are erased, on an S3 that a test makes slow or silent."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_sessions.owner import owner_prefix
from tests.bounds.stored import session_objects
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import ALICE, Answer, Context, Function

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.doubles.s3_server import S3Server

BUCKET = "sessions"
PATH = "/sessions/chat"
OURS = owner_prefix(ALICE.account, ALICE.unique_id)


@dataclass
class ErasingWorld:
    """The function and the S3 under it.

    Attributes:
        s3: The server.
        function: The function; twenty seconds before its end it stops, five seconds before it nobody waits any more.
    """

    s3: S3Server
    function: Function

    def put(self, session_id: str = "chat", messages: int = 2, owner: str = OURS) -> None:
        """Put a session there."""
        for key, body in session_objects(session_id, messages=messages):
            self.s3.store.put(BUCKET, f"p/{owner}/{key}", body)

    def stored(self, owner: str = OURS) -> list[str]:
        """What is left of an owner's sessions."""
        return list(self.s3.store.current_objects(BUCKET, f"p/{owner}/session_"))

    def delete(self, path: str = PATH, remaining_seconds: float = 60) -> Answer:
        """Ask for the erasure of a session."""
        return self.function.http("DELETE", path, context=Context(remaining_seconds=remaining_seconds))

    def delete_all(self, remaining_seconds: float = 60) -> Answer:
        """Ask for the erasure of everything of the caller's."""
        return self.delete("/sessions", remaining_seconds)

    def nobody_reads_it(self) -> bool:
        """Whether the session is gone to readers."""
        statuses = {self.function.http("GET", path).status for path in (PATH, f"{PATH}/messages")}
        return statuses == {404} and self.function.http("GET", "/sessions").json["session_ids"] == []


@contextmanager
def erasing_world(s3: S3Server, credentials: Mapping[str, str]) -> Iterator[ErasingWorld]:
    """An empty one, whose function has started."""
    s3.reset()
    environment = {
        **credentials,
        "AWS_ACCESS_KEY_ID": "somebody",  # not the deployed role: to judge thousands of keys takes minutes
        "SESSION_STORE": f"s3://{BUCKET}/p",
        "AWS_ENDPOINT_URL_S3": s3.url,
        "AGENT_MODEL": "scripted:script",
        "LEASE_WAIT_SECONDS": "0",
        "DEADLINE_MARGIN_SECONDS": "20",
    }
    function = Function(environment)
    function.models["script"] = ScriptedModel(otherwise="Fine.")
    function.cold_start()
    yield ErasingWorld(s3, function)
    s3.faults.clear()
