"""A store of very many sessions that holds none of them: keys and records are made when they are asked for.

    python -m tests.cli.many_sessions 100000

lists so many with ``agent-sessions ls`` and prints, as JSON, how much memory and time that took.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent_sessions.object_store import Erased, Expectation, ListedObject, ObjectStore, StoredObject, Written
from agent_sessions.session_store import ObjectSessionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_AGENT = b'{"agent_id": "default", "state": {}, "conversation_manager_state": {}}'


class ManySessions(ObjectStore):
    """So many sessions of one agent with one message each."""

    def __init__(self, count: int) -> None:
        self.count = count

    def list_folders(self, prefix: str, *, named: str = "", start_after: str = "") -> Iterator[str]:
        if prefix or not "session_".startswith(named):
            return
        first = int(start_after.rpartition("-")[2]) + 1 if start_after else 0
        for number in range(first, self.count):
            yield f"session_s-{number:09}"

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        if not prefix.endswith("/"):
            raise NotImplementedError
        agent = f"{prefix}agents/agent_default/"
        for key in (f"{agent}agent.json", f"{agent}messages/message_0.json", f"{prefix}session.json"):
            if key > start_after:
                yield ListedObject(key, '"1"', _AT, 100)

    def get(self, key: str) -> StoredObject | None:
        folder, _, name = key.partition("/")
        if name == "session.json":
            record = {"session_id": folder.removeprefix("session_"), "session_type": "AGENT"}
            return StoredObject(json.dumps(record).encode(), '"1"', _AT, _AT)
        return StoredObject(_AGENT, '"1"', _AT, _AT) if name.endswith("/agent.json") else None

    def put(self, key: str, body: bytes, expect: Expectation) -> Written:
        raise NotImplementedError

    def delete(self, keys: Iterable[str]) -> None:
        raise NotImplementedError

    def delete_version(self, key: str, etag: str, *, instead: bytes | None = None) -> bool:
        raise NotImplementedError

    def erase_some(self, prefix: str, *, keep: Sequence[str] = (), still: Callable[[], bool] | None = None) -> Erased:
        raise NotImplementedError


class Lines(io.TextIOBase):
    """Counts lines, and keeps none."""

    count = 0

    def write(self, text: str) -> int:
        self.count += text.count("\n")
        return len(text)


def list_all(count: int) -> tuple[int, float]:
    """List so many sessions to nowhere.

    Returns:
        How many lines were printed, and the memory of the process at its highest so far, in MB.
    """
    from agent_sessions_cli.commands import agent_sessions
    from agent_sessions_cli.place import Place

    store = ObjectSessionStore(ManySessions(count))
    Place.open_with = lambda _self, _ttl_days: store  # type: ignore[method-assign, assignment] # no URL names this store
    lines = Lines()
    with contextlib.redirect_stdout(lines):
        agent_sessions(["ls", "--json", "--store", "file:///nowhere"], standalone_mode=False)
    return lines.count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    _, few = list_all(2_000)
    began, worked = time.perf_counter(), time.process_time()
    listed, many = list_all(int(sys.argv[1]))
    facts = {"listed": listed, "few_mb": few, "many_mb": many, "seconds": time.perf_counter() - began}
    facts["cpu_seconds"] = time.process_time() - worked
    sys.stdout.write(json.dumps(facts))
