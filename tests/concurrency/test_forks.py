"""A fork while its source changes, and a fork that dies: whole and as it was then, or nothing that opens."""

import contextlib
import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strands import Agent, tool
from strands.agent.conversation_manager import SlidingWindowConversationManager

from agent_sessions import forking
from agent_sessions.exceptions import SessionBusyError, SessionNotFoundError, SessionStorageError
from agent_sessions.incoming_session import IncomingSession
from agent_sessions.session_store import FileSessionStore, ObjectSessionStore, SessionStore
from tests.doubles.s3.faults import Fault
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import Redact, ScriptedModel, Stop, tool_use

WRITES = ("put", "copy_from", "delete", "delete_version", "delete_current", "erase_some", "sweep", "erase")


class KilledError(BaseException):
    """The process has died: nothing of it is sent any more."""


class Watched:
    """An object store that tells of each write, before it and after it.

    Args:
        objects: The store.
        tell: Gets the verb, and whether it has taken effect.
    """

    def __init__(self, objects: Any, tell: Callable[[str, bool], None]) -> None:
        self._objects = objects
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._objects, name)
        if name not in WRITES:
            return found

        def write(*arguments: Any, **options: Any) -> Any:
            self._tell(name, False)
            result = found(*arguments, **options)
            self._tell(name, True)
            return result

        return write


class Dying:
    """Kills the process at one of its writes, before or after it has taken effect."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.died = False

    def __call__(self, _verb: str, _applied: bool) -> None:
        self._left -= 1
        if self._left <= 0:
            self.died = True
            raise KilledError


@tool(context=True)
def remember(word: str, tool_context: Any) -> str:
    """Remember a word.

    Args:
        word: The word.
    """
    tool_context.agent.state.set("words", [*(tool_context.agent.state.get("words") or []), word])
    return f"{word} is noted."


def take_turn(
    store: Any, session_id: str, prompt: str, *script: Any, window: int | None = None, agent_id: str = "a1"
) -> tuple[Any, Any]:
    """One turn in a process of its own. Returns what the model saw at first, and the state before the turn."""
    options: dict[str, Any] = {}
    if window is not None:
        options["conversation_manager"] = SlidingWindowConversationManager(window_size=window)
    agent = Agent(
        agent_id=agent_id,
        model=(model := ScriptedModel(*script)),
        tools=[remember],
        callback_handler=None,
        session_manager=store.session_manager(session_id, durability="turn", recent=True),
        **options,
    )
    before = copy.deepcopy(agent.state.get())
    agent(prompt)
    return model.requests[0].messages, before


def a_session(folder: Path, turns: int = 3) -> FileSessionStore:
    store = FileSessionStore(folder)
    for number in range(turns):
        take_turn(store, "source", f"Prompt {number}", tool_use("remember", word=f"w{number}"), f"Reply {number}.")
    return store


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def recent(store: Any) -> list[str]:
    return [row.session_id for row in store.list_recent().sessions]


def markers_of(folder: Path, session_id: str) -> list[Path]:
    return [*folder.glob(f"recent/*/session_{session_id}/*")]


def test_a_fork_that_dies_at_any_write_leaves_nothing_that_opens(tmp_path: Path) -> None:
    store = a_session(tmp_path)
    before = {name: body for name, body in files(tmp_path).items() if "session_source/" in name}

    for at in range(1, 100):
        dying = Dying(at)
        watched: Any = Watched(store.objects, dying)
        with contextlib.suppress(KilledError):
            ObjectSessionStore(watched).fork("source", before_message=8, fork_id="fork")
        alive = [each for each in store.sessions().session_ids if each != "source"]
        if not dying.died:
            break
        if alive:  # killed behind its last write
            assert len(store.messages("fork").messages) == 8
            assert "fork" in recent(store)
            store.delete_session("fork")
            assert markers_of(tmp_path, "fork") == []
            continue
        with pytest.raises(SessionNotFoundError):
            store.describe("fork")
        assert recent(store) == ["source"]
        store.fork("source", before_message=8, fork_id="fork")
        assert [each.message_id for each in store.messages("fork").messages] == list(range(8))
        assert "fork" in recent(store)
        store.delete_session("fork")
        assert markers_of(tmp_path, "fork") == []

    assert at > 20
    assert alive == ["fork"]
    assert {name: body for name, body in files(tmp_path).items() if "session_source/" in name} == before


@pytest.mark.parametrize("at", range(1, 9))
def test_a_message_that_is_redacted_meanwhile_is_redacted_in_the_fork(tmp_path: Path, at: int) -> None:
    store = FileSessionStore(tmp_path)
    for prompt in ("Hello", "my secret is Zanzibar", "Bye"):
        take_turn(store, "source", prompt, "Yes.")
    writes = itertools.count(1)

    def redact(_verb: str, _applied: bool) -> None:
        if next(writes) == at:
            repository: Any = FileSessionStore(tmp_path).session_manager("source")
            record = repository.read_message("source", "a1", 2)
            record.message = record.redact_message = {"role": "user", "content": [{"text": "[taken back]"}]}
            repository.update_message("source", "a1", record)

    watched: Any = Watched(store.objects, redact)
    ObjectSessionStore(watched).fork("source", before_message=4, fork_id="fork")

    said = [each.to_message()["content"] for each in store.messages("fork").messages]
    assert said[2] == [{"text": "[taken back]"}]
    assert not any(b"Zanzibar" in body for body in files(tmp_path).values())


def test_a_title_is_that_of_the_prompt_as_it_was_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileSessionStore(tmp_path)
    for prompt in ("my secret is Zanzibar", "Bye"):
        manager = store.session_manager("source", durability="turn", recent=True)
        Agent(agent_id="a1", model=ScriptedModel("Yes."), callback_handler=None, session_manager=manager)(prompt)
    assert store.describe("source").title == "my secret is Zanzibar"
    look = forking._Source.parts_before

    def redact_first(source: Any, *arguments: Any) -> Any:
        repository: Any = FileSessionStore(tmp_path).session_manager("source")
        record = repository.read_message("source", "a1", 0)
        record.message = record.redact_message = {"role": "user", "content": [{"text": "[taken back]"}]}
        repository.update_message("source", "a1", record)
        return look(source, *arguments)

    monkeypatch.setattr(forking._Source, "parts_before", redact_first)
    store.fork("source", before_message=2, fork_id="fork")

    assert store.describe("fork").title == "[taken back]"
    assert not any(b"Zanzibar" in body for body in files(tmp_path).values())


def test_a_source_that_is_erased_meanwhile_leaves_no_fork(tmp_path: Path) -> None:
    store = a_session(tmp_path)

    def erase(verb: str, applied: bool) -> None:
        if verb == "put" and applied and "source" in store.sessions().session_ids:
            store.delete_session("source")

    watched: Any = Watched(store.objects, erase)
    with pytest.raises(SessionNotFoundError):
        ObjectSessionStore(watched).fork("source", before_message=8, fork_id="fork")

    assert not [name for name in files(tmp_path) if "session_" in name]


def test_a_fork_whose_place_another_one_takes_meanwhile_is_told_to_come_again(tmp_path: Path) -> None:
    store = a_session(tmp_path)
    others: list[IncomingSession] = []

    def overtake(verb: str, applied: bool) -> None:
        if verb == "put" and applied and not others:
            others.append(IncomingSession(store, "fork"))
            others[0].begin()

    watched: Any = Watched(store.objects, overtake)
    with pytest.raises(SessionBusyError, match="session_id=fork"):
        ObjectSessionStore(watched).fork("source", before_message=8, fork_id="fork")

    others[0].abandon()
    assert not [name for name in files(tmp_path) if "session_fork" in name]
    assert store.fork("source", before_message=8, fork_id="fork").message_count == 8


def test_a_turn_that_is_taken_meanwhile_is_not_in_the_fork(tmp_path: Path) -> None:
    store = a_session(tmp_path)
    taken: list[str] = []

    def take(verb: str, applied: bool) -> None:
        if verb == "put" and applied and not taken:
            taken.append("one")
            take_turn(FileSessionStore(tmp_path), "source", "Meanwhile", "Yes.")

    watched: Any = Watched(store.objects, take)
    ObjectSessionStore(watched).fork("source", before_message=8, fork_id="fork")

    assert len(store.messages("fork").messages) == 8
    assert len(store.messages("source", limit=1000).messages) == 14


def test_a_copy_that_comes_after_another_has_failed_is_not_left() -> None:
    with S3Server(buckets=["sessions"]) as s3:
        store = SessionStore.from_url("s3://sessions/p", client=s3.client())
        for number in range(3):
            take_turn(store, "source", f"Prompt {number}", "Yes.")
        s3.faults.add(
            Fault(verb="PUT", key="*session_fork/*message_0.json", action="error", code="AccessDenied", times=None)
        )
        s3.faults.add(Fault(verb="PUT", key="*session_fork/*message_1.json", action="delay", seconds=0.5))

        with pytest.raises(SessionStorageError):
            store.fork("source", before_message=4, fork_id="fork")

        assert not [key for key in s3.objects("sessions") if "session_fork/" in key]
        s3.faults.clear()
        assert store.fork("source", before_message=4, fork_id="fork").message_count == 4


TURNS = st.lists(
    st.tuples(st.sampled_from(["a1", "a1", "a2"]), st.sampled_from(["plain", "tool", "redacted"])),
    min_size=1,
    max_size=6,
)
SCRIPTS: dict[str, list[Any]] = {
    "plain": ["Yes."],
    "tool": [tool_use("remember", word="w"), "Noted."],
    "redacted": [Redact(user="[taken back]"), "No.", Stop("guardrail_intervened")],
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=TURNS, window=st.none() | st.integers(2, 6), data=st.data())
def test_after_a_fork_the_model_sees_what_it_saw_then(
    turns: list[tuple[str, str]], window: int | None, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = FileSessionStore(tmp_path_factory.mktemp("sessions"))

    def take(session_id: str, number: int) -> tuple[Any, Any]:
        agent_id, kind = turns[number]
        return take_turn(store, session_id, f"Prompt {number}", *SCRIPTS[kind], window=window, agent_id=agent_id)

    counts = {"a1": 0, "a2": 0}
    firsts, seen = [], []
    for number, (agent_id, _) in enumerate(turns):
        firsts.append(counts[agent_id])
        seen.append(take("source", number))
        counts[agent_id] = len(store.messages("source", agent_id, limit=1000).messages)
    number = data.draw(st.integers(0, len(turns) - 1))

    fork = store.fork("source", turns[number][0], before_message=firsts[number], fork_id="fork")

    assert fork.state == "as then"
    assert take("fork", number) == seen[number]
    # What another agent was asked next, it sees as it did then, too.
    others = (later for later in range(number, len(turns)) if turns[later][0] != turns[number][0])
    for later in itertools.islice(others, 1):
        assert take("fork", later) == seen[later]
