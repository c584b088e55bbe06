"""A session at a terminal as text, for ``docs/CLI.md``: made by running the commands on a store with fixed records."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from agent_sessions.incoming_session import IncomingSession
from agent_sessions.session_store import FileSessionStore
from agent_sessions.types import Session, SessionAgent, SessionMessage, SessionType
from agent_sessions_cli.commands import agent_sessions

COMMANDS = (
    "ls --size",
    "show ada",
    "export ada --output ada.jsonl",
    "doctor bob",
    "doctor bob --fix --yes",
    "rm bob --yes",
    "show bob",
)
"""What is typed."""

_AT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
_SAID = {
    "ada": ("What is the capital of Peru?", "Lima.", "And of Chile?", "Santiago."),
    "bob": ("Remember the number 7.", "I will: 7.", "Which number was it?", "7."),
}


def recorded() -> str:
    """What a terminal shows when the commands are run, one after the other."""
    runner = CliRunner()
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as work, contextlib.chdir(work):
        folder = Path("sessions").resolve()
        _prepare(folder)
        environment = {"AGENT_SESSIONS_STORE": folder.as_uri()}
        for command in COMMANDS:
            ran = runner.invoke(agent_sessions, command.split(), prog_name="agent-sessions", env=environment)
            lines += [f"$ agent-sessions {command}", *ran.output.rstrip("\n").split("\n")]
            lines += [f"(exit code {ran.exit_code})"] if ran.exit_code else []
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _prepare(folder: Path) -> None:
    store = FileSessionStore(folder)
    at = _AT.isoformat()
    for session_id, said in _SAID.items():
        incoming = IncomingSession(store, session_id)
        incoming.begin()
        agent = SessionAgent("default", {}, {}, created_at=at, updated_at=at)
        incoming.write("agents/agent_default/agent.json", _bytes(agent.to_dict()))
        for number, text in enumerate(said):
            message: Any = {"role": "assistant" if number % 2 else "user", "content": [{"text": text}]}
            record = _bytes(SessionMessage(message, number, created_at=at, updated_at=at).to_dict())
            is_damaged = session_id == "bob" and number == 1
            incoming.write(f"agents/agent_default/messages/message_{number}.json", record[: 40 if is_damaged else None])
        incoming.finish(_bytes(Session(session_id, SessionType.AGENT, created_at=at, updated_at=at).to_dict()))
    for path in folder.rglob("*.json"):
        os.utime(path, (_AT.timestamp(), _AT.timestamp()))


def _bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()
