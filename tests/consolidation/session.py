"""A session on the S3 stand-in, spoken to by one process after the other."""

import json
from typing import Any, Final, Literal, cast

from botocore.config import Config
from strands import Agent
from strands.agent.conversation_manager import ConversationManager, NullConversationManager
from strands.session.s3_session_manager import S3SessionManager as StrandsS3SessionManager

from agent_sessions.s3_session_manager import S3SessionManager
from agent_sessions.session_store import S3SessionStore
from tests.contract.agents import add
from tests.doubles.s3.faults import Fault
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel, tool_use

BUCKET: Final = "sessions"
Durability = Literal["message", "turn"]


class KitSession:
    """One session, one agent; every call is a new process."""

    def __init__(self, server: S3Server, session_id: str = "s1") -> None:
        self.server = server
        self.session_id = session_id
        self.client = server.client(config=Config(retries={"total_max_attempts": 1}, max_pool_connections=8))
        self.folder = f"session_{session_id}/agents/agent_default"

    def manager(self, durability: Durability = "message", **options: Any) -> S3SessionManager:
        return S3SessionManager(self.session_id, BUCKET, client=self.client, durability=durability, **options)

    def open(self, *script: Any, durability: Durability = "message", **options: Any) -> Agent:
        """An agent restored by the kit's manager, all of whose messages stay in its memory unless told otherwise."""
        return _agent(self.manager(durability), script, options)

    def open_with(self, manager: S3SessionManager, *script: Any) -> Agent:
        """An agent restored by this manager."""
        return _agent(manager, script, {})

    def open_with_strands(self, *script: Any, **options: Any) -> Agent:
        """An agent restored by Strands' own manager."""
        manager = StrandsS3SessionManager(self.session_id, BUCKET, boto_session=cast("Any", _Ready(self.client)))
        return _agent(manager, script, options)

    def turn(self, prompt: str, durability: Durability = "message", *, with_tool: bool = False) -> Agent:
        agent = self.open(*reply_to(prompt, with_tool=with_tool), durability=durability)
        agent(prompt)
        return agent

    def turn_of_strands(self, prompt: str, *, with_tool: bool = False) -> Agent:
        agent = self.open_with_strands(*reply_to(prompt, with_tool=with_tool))
        agent(prompt)
        return agent

    def turn_whose_last_message_leaves_with_the_record(self, message_id: int, prompt: str) -> None:
        """The message is acknowledged after the agent's record has been sent, which cannot tell that it is."""
        agent = self.open(*reply_to(prompt), durability="turn")
        held = self.server.faults.add(Fault("hold", verb="PUT", key=f"*/message_{message_id}.json"))
        self.server.faults.add(
            Fault("call", verb="PUT", key="*/agent.json", applied=True, callback=lambda _: held.release())
        )
        agent(prompt)
        self.server.faults.clear()

    def turn_cut_off_in_its_last_round(self, message_id: int, prompt: str) -> None:
        """The agent's record got through, and the message that left with it did not."""
        self.turn_whose_last_message_leaves_with_the_record(message_id, prompt)
        self.remove(f"messages/message_{message_id}.json")

    def log(self) -> list[Any]:
        """The truth: the messages as the message objects hold them."""
        page = S3SessionStore(self.client, BUCKET).messages(self.session_id, limit=10_000, max_bytes=10**9)
        return [record.to_message() for record in page.messages]

    def ids(self) -> list[int]:
        names = [key.rpartition("/")[2] for key in self.objects() if key.startswith(f"{self.folder}/messages/")]
        return sorted(int(name.removeprefix("message_").removesuffix(".json")) for name in names)

    def objects(self) -> dict[str, bytes]:
        return self.server.objects(BUCKET)

    def history(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.objects()[f"{self.folder}/history.json"]))

    def has_history(self) -> bool:
        return f"{self.folder}/history.json" in self.objects()

    def put(self, name: str, body: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{self.folder}/{name}", Body=body)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"{self.folder}/{name}")


def reply_to(prompt: str, *, with_tool: bool = False) -> tuple[Any, ...]:
    return (tool_use("add", a=1, b=2), f"reply to {prompt}") if with_tool else (f"reply to {prompt}",)


def _agent(manager: Any, script: tuple[Any, ...], options: dict[str, Any]) -> Agent:
    keep: ConversationManager = options.pop("conversation_manager", None) or NullConversationManager()
    return Agent(
        model=ScriptedModel(*script),
        tools=[add],
        session_manager=manager,
        conversation_manager=keep,
        callback_handler=None,
        **options,
    )


class _Ready:
    """A boto3 session that hands out the client there is: making one takes longer than a turn."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def client(self, **_: Any) -> Any:
        return self._client
