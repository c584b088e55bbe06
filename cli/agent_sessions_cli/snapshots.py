"""Snapshots as Strands' ``SnapshotSessionManager`` keeps them: a file for each agent and each orchestrator.

    <folder>/session/<session id>/scopes/agent/<agent id>/snapshots/snapshot_latest.json
    <folder>/session/<session id>/scopes/multiAgent/<orchestrator id>/snapshots/snapshot_latest.json

The folder is the base of a ``LocalFileStorage``; below a prefix of a bucket the same names are an ``S3Storage``. A
snapshot holds what its agent remembers at that moment. What its conversation manager has let go is not in it, and a
summary stands in front of the messages. A session of ours keeps every message, and the summary in the manager's state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_sessions.types import (
    Session,
    SessionAgent,
    SessionMessage,
    SessionType,
    decode_bytes_values,
    encode_bytes_values,
)
from agent_sessions_cli.failures import ExitCode, TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA_VERSION = "1.0"
"""The version of snapshots that Strands 1.62 writes and reads."""

LATEST = "snapshot_latest.json"
_BASE = "session"
_INTERNAL = ("interrupt_state", "model_state")


class Snapshot(NamedTuple):
    """A snapshot in a file.

    Attributes:
        scope: ``agent`` or ``multiAgent``.
        name: Whose it is.
        content: Its JSON object, bytes decoded.
    """

    scope: str
    name: str
    content: dict[str, Any]


def path_of(session_id: str, scope: str, name: str) -> Path:
    """Where a snapshot lies in its folder."""
    return Path(_BASE, session_id, "scopes", scope, name, "snapshots", LATEST)


def encoded(snapshot: dict[str, Any]) -> bytes:
    """The bytes of a snapshot's file."""
    return json.dumps(encode_bytes_values(snapshot), ensure_ascii=False).encode()


def snapshot_of_agent(agent: SessionAgent, messages: Iterable[SessionMessage]) -> dict[str, Any]:
    """The snapshot of an agent, as it would be restored.

    Args:
        agent: Its record.
        messages: All its messages in order.
    """
    manager = agent.conversation_manager_state
    let_go = manager.get("removed_message_count", 0)
    summary = manager.get("summary_message")
    kept = [dict(record.to_message()) for number, record in enumerate(messages) if number >= let_go]
    internal: dict[str, Any] = agent._internal_state  # noqa: SLF001 - Strands names it so
    data = {
        "messages": [*([summary] if summary else []), *kept],
        "state": agent.state,
        "conversation_manager_state": manager,
        **{name: internal[name] for name in _INTERNAL if name in internal},
    }
    return _snapshot("agent", data, agent.updated_at)


def snapshot_of_orchestrator(name: str, state: dict[str, Any], at: str) -> dict[str, Any]:
    """The snapshot of a graph or a swarm."""
    return _snapshot("multiAgent", {"orchestrator_id": name, "state": state}, at)


def _snapshot(scope: str, data: dict[str, Any], at: str) -> dict[str, Any]:
    return {"scope": scope, "schema_version": SCHEMA_VERSION, "created_at": at, "data": data, "app_data": {}}


def sessions_in(folder: Path) -> list[str]:
    """The sessions that a folder has snapshots of, ordered."""
    base = folder / _BASE
    return sorted(entry.name for entry in base.iterdir() if (entry / "scopes").is_dir()) if base.is_dir() else []


def snapshots_in(folder: Path, session_id: str) -> Iterator[Snapshot]:
    """The latest snapshots of a session.

    Raises:
        TerminalError: One cannot be understood.
    """
    for scope in ("agent", "multiAgent"):
        for path in sorted((folder / _BASE / session_id / "scopes" / scope).glob(f"*/snapshots/{LATEST}")):
            yield Snapshot(scope, path.parts[-3], _read(path, scope))


def _read(path: Path, scope: str) -> dict[str, Any]:
    try:
        found = decode_bytes_values(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"is no JSON ({type(error).__name__})") from None
    match found:
        case {"scope": stated, "schema_version": version, "data": dict(), "created_at": str()}:
            if version != SCHEMA_VERSION:
                raise _refused(path, f"is of version {version}, and this release reads {SCHEMA_VERSION}")
            if stated != scope:
                raise _refused(path, f"says that it is of scope {stated}")
            return dict(found)
        case _:
            raise _refused(path, "is no snapshot")


def records_of(session_id: str, snapshots: Iterable[Snapshot]) -> dict[str, bytes]:
    """The records of a session, by their names below its folder. They look as Strands writes them.

    Raises:
        TerminalError: A snapshot holds no messages, or no state.
    """
    records: dict[str, bytes] = {}
    times: list[str] = []
    for snapshot in snapshots:
        at = snapshot.content["created_at"]
        times.append(at)
        if snapshot.scope == "multiAgent":
            state = snapshot.content["data"].get("state")
            if not isinstance(state, dict):
                raise _refused(Path(snapshot.name), "has no state")
            records[f"multi_agents/multi_agent_{snapshot.name}/multi_agent.json"] = _bytes(encode_bytes_values(state))
            continue
        folder = f"agents/agent_{snapshot.name}"
        agent, messages = _agent_in(snapshot, at)
        records[f"{folder}/agent.json"] = _bytes(agent.to_dict())
        for message in messages:
            records[f"{folder}/messages/message_{message.message_id}.json"] = _bytes(message.to_dict())
    if not records:
        raise TerminalError(f"Nothing was imported: there is no {LATEST} of session {session_id}.", ExitCode.NOT_FOUND)
    session = Session(session_id, SessionType.AGENT, created_at=min(times), updated_at=max(times))
    return {**records, "session.json": _bytes(session.to_dict())}


def _agent_in(snapshot: Snapshot, at: str) -> tuple[SessionAgent, list[SessionMessage]]:
    data = snapshot.content["data"]
    messages, manager = data.get("messages"), dict(data.get("conversation_manager_state") or {})
    if not isinstance(messages, list) or not all(isinstance(each, dict) and "role" in each for each in messages):
        raise _refused(Path(snapshot.name), "has no messages")
    summary = manager.get("summary_message")
    if summary and messages[:1] == [summary]:
        messages = messages[1:]  # whoever restores puts it in front again
    # What was let go is not in the snapshot: the first message that is has the number 0 here.
    manager |= {"removed_message_count": 0} if "removed_message_count" in manager else {}
    internal = {name: data[name] for name in _INTERNAL if name in data}
    agent = SessionAgent(snapshot.name, data.get("state") or {}, manager, internal, created_at=at, updated_at=at)
    made: list[Any] = messages
    return agent, [SessionMessage(message, number, created_at=at, updated_at=at) for number, message in enumerate(made)]


def _bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _refused(path: Path, why: str) -> TerminalError:
    return TerminalError(f"Nothing was imported: the snapshot {path} {why}.", ExitCode.DAMAGED)
