"""Sessions of each writer, every way to damage a record of theirs, and everything that reads records."""

import asyncio
import copy
import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from strands import Agent, ToolContext, tool
from strands.agent.conversation_manager import SlidingWindowConversationManager, SummarizingConversationManager

from agent_sessions._objects.object_repository import ObjectSessionRepository
from agent_sessions._records.layout import Layout
from agent_sessions.exceptions import SessionBusyError, SessionException
from agent_sessions.lease import SessionLease
from agent_sessions.multi_agent import MultiAgentBase
from agent_sessions.repository_session_manager import RepositorySessionManager
from agent_sessions.session_store import FileSessionStore, SessionStore
from agent_sessions.turn_request import TurnRequest
from tests.concurrency.memory_objects import MemoryObjects
from tests.contract.agents import add
from tests.doubles.scripted_model import Redact, ScriptedModel, reasoning, tool_use

SESSION: Final = "session_s/session.json"
AGENT: Final = "session_s/agents/agent_a1/agent.json"
HISTORY: Final = "session_s/agents/agent_a1/history.json"

Records = dict[str, bytes]
"""What is stored, by key."""


@tool(context=True)
def ask(tool_context: ToolContext) -> str:
    """Ask a person."""
    return f"They said {tool_context.interrupt('question', reason={'why': [1, 'x']})}."


class Orchestra(MultiAgentBase):
    """An orchestrator that keeps a number."""

    id = "o1"
    step = 0

    async def invoke_async(self, task: Any, invocation_state: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        return task

    def serialize_state(self) -> dict[str, Any]:
        return {"type": "orchestra", "id": self.id, "progress": {"step": self.step, "done": ["a", "b"]}}

    def deserialize_state(self, payload: dict[str, Any]) -> None:
        self.step = int(payload["progress"]["step"]) + len(payload["progress"]["done"].copy()) - 2


def manager_class(kind: str) -> Any:
    return (
        SummarizingConversationManager() if kind == "summarizing" else SlidingWindowConversationManager(window_size=6)
    )


def agent_with(session_manager: Any, *script: Any, kind: str = "sliding") -> Agent:
    return Agent(
        agent_id="a1",
        model=ScriptedModel(*script, otherwise="fine"),
        tools=[add, ask],
        session_manager=session_manager,
        conversation_manager=manager_class(kind),
        callback_handler=None,
    )


# --- the writers ------------------------------------------------------------------------------------------


class MemoryStore(SessionStore):
    """A store over objects in memory."""

    def __init__(self, objects: MemoryObjects) -> None:
        super().__init__()
        self._memory = objects

    @property
    def objects(self) -> MemoryObjects:
        return self._memory

    @property
    def layout(self) -> Layout:
        return Layout()

    @classmethod
    def open(cls, address: Any, options: Any) -> SessionStore:
        raise NotImplementedError

    def for_owner(self, owner_prefix: str) -> SessionStore:
        raise NotImplementedError

    def session_manager(self, session_id: str, **options: Any) -> RepositorySessionManager:
        repository = ObjectSessionRepository(self._memory, self.layout, consolidates=True, **options)
        return RepositorySessionManager(session_id, session_repository=repository)


def memory_with(records: Records) -> MemoryStore:
    """A store that keeps derived copies, as the one on S3 does."""
    seconds = itertools.count(1_800_000_000)
    objects = MemoryObjects(lambda: float(next(seconds)))
    for key, body in records.items():
        objects.bodies[key] = (body, objects._now())
    return MemoryStore(objects)


def folder_with(records: Records, folder: Path) -> FileSessionStore:
    """A store in a folder."""
    for name in ("agents", "multi_agents"):
        (folder / "session_s" / name).mkdir(parents=True, exist_ok=True)
    for key, body in records.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return FileSessionStore(folder)


def records_in(folder: Path) -> Records:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.json"))}


def _converse(make_manager: Any, *, pending: bool, kind: str) -> None:
    """Take turns, each in a process of its own: text, tools, a redaction, a pin, state, and a question at the end."""
    first = agent_with(make_manager(), [reasoning("hm"), "Hello."], kind=kind)
    first.state.set("profile", {"name": "Ada", "tags": ["x", 1, None, True]})
    picture: Any = {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}
    first([{"text": "Hi"}, picture])
    agent_with(make_manager(), tool_use("add", a=1, b=2), "3", kind=kind)("1+2?")
    agent_with(make_manager(), [Redact(user="[gone]"), "No."], kind=kind)("secret")
    pinning = agent_with(make_manager(), "Yes.", kind=kind)
    pinning.messages[-1].setdefault("metadata", {})["custom"] = {"pinned": True}
    pinning("More?")
    if kind == "summarizing":
        summed = agent_with(make_manager(), kind=kind)
        summed.conversation_manager._summary_message = {"role": "user", "content": [{"text": "So far."}]}  # type: ignore[attr-defined]
        summed.conversation_manager.removed_message_count = 2
        summed("Again?")
    if pending:
        agent_with(make_manager(), [tool_use("ask"), tool_use("add", a=2, b=2)], kind=kind)("Ask them.")


def written_by_strands(folder: Path, *, pending: bool = False, kind: str = "sliding") -> Records:
    """A session of Strands' own manager."""
    from strands.session.file_session_manager import FileSessionManager

    _converse(lambda: FileSessionManager("s", storage_dir=str(folder)), pending=pending, kind=kind)
    manager = FileSessionManager("s", storage_dir=str(folder))
    manager.create_multi_agent("s", Orchestra())
    return records_in(folder)


def written_by_us(*, pending: bool = False, kind: str = "sliding") -> Records:
    """A session of this kit's, with derived copies and a lease."""
    store = memory_with({})
    _converse(lambda: store.session_manager("s"), pending=pending, kind=kind)
    if not pending:
        for turn in range(2):  # long enough for a base
            manager = store.session_manager("s")
            agent = agent_with(manager, "y" * 40_000, kind=kind)
            manager.answer_request(agent, TurnRequest(f"turn {turn}", key=f"key {turn}", body="body"))
            agent(f"{turn}" + "x" * 20_000)
            manager.conclude_turn(agent, {"stop_reason": "end_turn"})
            manager.sync_agent(agent)
    store.session_manager("s").initialize_multi_agent(Orchestra())
    lease = SessionLease(store, "s", holder="somebody", renew_seconds=None)
    lease.acquire()
    return {key: body for key, (body, _) in store.objects.bodies.items()}


# --- damage -----------------------------------------------------------------------------------------------


class Damage(NamedTuple):
    """One record changed.

    Attributes:
        key: The record.
        what: What was done to it, in words.
        make: Makes what it is now; ``None`` when it is gone.
    """

    key: str
    what: str
    make: Callable[[], bytes | None]


class _Deep:
    """Stands for a value of many levels, which no Python value needs to be."""

    def __init__(self, levels: int) -> None:
        self.levels = levels


OTHERS: Final[list[Any]] = [
    None, True, 0, -1, 7, 10**30, 1.5, float("nan"), float("inf"), "", "x", "0", "2020-01-01", [], [None], ["x"], [[]],
    {}, {"x": None}, [{}], {"__bytes_encoded__": True, "data": "AA=="}, _Deep(200), _Deep(400), _Deep(900), _Deep(5000),
]  # fmt: skip


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything in a record, its own included."""
    yield path
    below: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in below:
        yield from nodes(item, (*path, key))


def damages(key: str, body: bytes) -> Iterator[Damage]:
    """Every way to drop, null, retype or nest any field of a record, and some to tear it."""
    yield Damage(key, "gone", lambda: None)
    torn_bodies = [
        b"",
        b"null",
        b"[]",
        b"{",
        b"{}",
        b"\xff\xfe",
        b'"x"',
        body[: len(body) // 2],
        body + b"}",
        b"\0" + body,
    ]
    for torn in torn_bodies:
        yield Damage(key, f"torn to {torn[:8]!r}", partial(bytes, torn))
    record = json.loads(body)
    for path in nodes(record):
        where = ".".join(map(str, path)) or "record"
        if path:
            yield Damage(key, f"{where} dropped", partial(_with, record, path, _DROP))
        old = _at(record, path)
        for nested in ([old], {"v": old}, [old, old]):
            yield Damage(key, f"{where} nested in {type(nested).__name__}", partial(_with, record, path, nested))
        for other in OTHERS:
            said = f"{other.levels} levels" if isinstance(other, _Deep) else f"{other!r}"
            yield Damage(key, f"{where} is {said}", partial(_with, record, path, other))
        if isinstance(old, dict):
            more = {**old, "later": {"x": [1]}, "__proto__": None}
            yield Damage(key, f"{where} has more", partial(_with, record, path, more))


_DROP: Final = object()


def _at(record: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        record = record[step]
    return record


def _with(record: Any, path: tuple[Any, ...], value: Any) -> bytes:
    changed = [copy.deepcopy(record)]
    parent: Any = changed
    for step in (0, *path)[:-1]:
        parent = parent[step]
    last = (0, *path)[-1]
    if value is _DROP:
        del parent[last]
        return json.dumps(changed[0]).encode()
    parent[last] = "@deep@" if isinstance(value, _Deep) else value
    text = json.dumps(changed[0])
    if isinstance(value, _Deep):
        text = text.replace('"@deep@"', "[" * value.levels + "]" * value.levels)
    return text.encode()


# --- reading ----------------------------------------------------------------------------------------------


def use_everything(store: SessionStore, kind: str) -> tuple[list[str], int]:
    """Read a session by every verb, restore its agent and take a turn.

    Returns:
        What was raised that is no error of this package, each with the verb; and how many verbs were tried.
    """
    raw: list[str] = []
    tried = 0

    def attempt(verb: str, work: Any) -> Any:
        nonlocal tried
        tried += 1
        try:
            return work()
        except SessionException:
            return None
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            original = getattr(error, "original_exception", error)
            if not isinstance(original, SessionException):
                raw.append(f"{verb}: {type(original).__name__}: {str(original)[:120]}")
            return None

    repository: Any = ObjectSessionRepository(store.objects, store.layout)
    attempt("read_session", lambda: repository.read_session("s"))
    attempt("read_agent", lambda: repository.read_agent("s", "a1"))
    attempt("list_messages", lambda: [entry.to_message() for entry in repository.list_messages("s", "a1")])
    attempt("list some messages", lambda: repository.list_messages("s", "a1", limit=2, offset=1))
    for number in (0, 3):
        attempt("read_message", lambda number=number: repository.read_message("s", "a1", number))
    attempt("read_multi_agent", lambda: repository.read_multi_agent("s", "o1"))
    attempt("describe", lambda: store.describe("s"))
    attempt("messages", lambda: store.messages("s", "a1", limit=3))
    attempt("messages of the only agent", lambda: store.messages("s"))
    attempt("sessions", store.sessions)
    attempt("lease", lambda: _take_lease(store))
    manager = attempt("open", lambda: store.session_manager("s"))
    if manager is None:
        return raw, tried
    attempt("find a turn", lambda: manager.find_turn(agent_with(manager, kind=kind), "x" * 64))
    attempt("restore an orchestrator", lambda: manager.initialize_multi_agent(Orchestra()))
    attempt("restore and take a turn", lambda: _take_turn(store.session_manager("s"), kind))
    attempt("take one more", lambda: _take_turn(store.session_manager("s"), kind))
    return raw, tried


def _take_lease(store: SessionStore) -> None:
    lease = SessionLease(store, "s", holder="another", renew_seconds=None)
    try:
        lease.acquire()
    except SessionBusyError:
        return
    lease.release()


def _take_turn(manager: Any, kind: str) -> None:
    agent = agent_with(manager, "fine", kind=kind)
    waiting = agent._interrupt_state
    prompt: Any = "next"
    if waiting.activated:
        prompt = [{"interruptResponse": {"interruptId": name, "response": "yes"}} for name in waiting.interrupts]
    asyncio.run(agent.invoke_async(prompt))
