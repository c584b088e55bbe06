"""``agent-sessions export`` and ``import``: a session goes from store to store whole, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strands import Agent, tool

from agent_sessions.incoming_session import IncomingSession
from agent_sessions.object_store import Absent
from agent_sessions.session_export import NamedRecord, write_records
from agent_sessions.session_store import FileSessionStore, SessionStore
from tests.cli.conftest import Terminal
from tests.doubles.scripted_model import ScriptedModel, tool_use


@tool
def clock(zone: str) -> str:
    """Tell the time.

    Args:
        zone: Where.
    """
    return f"noon in {zone}"


def below(terminal: Terminal, session_id: str) -> dict[str, bytes]:
    """The records of a session by their names in it."""
    folder = terminal.store.layout.session_folder(session_id)
    return {key.removeprefix(folder): body for key, body in terminal.stored().items() if key.startswith(folder)}


def restored(store: SessionStore, session_id: str) -> list[Any]:
    agent = Agent(
        model=ScriptedModel("Unused."),
        session_manager=store.session_manager(session_id),
        agent_id="default",
        callback_handler=None,
    )
    return list(agent.messages)


@pytest.fixture
def exported(on_folder: Terminal, tmp_path: Path) -> Path:
    """A session of 6 messages, exported from the folder."""
    on_folder.talk("ada", [tool_use("clock", zone="Rome")], "It is noon.", tools=[clock], state={"city": "Rome"})
    on_folder.talk("ada", "Second.", agent_id="second")
    file = tmp_path / "ada.jsonl"
    told = on_folder.run("export", "ada", "-o", str(file))
    assert told.exit_code == 0, told.output
    return file


@pytest.fixture
def elsewhere(tmp_path: Path) -> Terminal:
    folder = tmp_path / "elsewhere"
    return Terminal(FileSessionStore(folder), folder.as_uri())


def test_every_record_arrives_byte_for_byte_from_any_store_in_any_other(
    terminal: Terminal, elsewhere: Terminal, tmp_path: Path
) -> None:
    terminal.talk("ada", [tool_use("clock", zone="Rome")], "It is noon.", tools=[clock], state={"city": "Rome"})
    terminal.talk("ada", "Second.", agent_id="second")
    folder = terminal.store.layout.session_folder("ada")
    terminal.store.objects.put(f"{folder}multi_agents/multi_agent_g/multi_agent.json", b"\xff not UTF-8", Absent())
    before, file = terminal.stored(), tmp_path / "ada.jsonl"

    assert terminal.run("export", "ada", "--output", str(file)).exit_code == 0
    told = elsewhere.run("import", str(file), "--json")
    assert told.exit_code == 0, told.output
    back = tmp_path / "back.jsonl"
    assert elsewhere.run("export", "ada", "--output", str(back)).exit_code == 0

    assert terminal.stored() == before
    assert below(elsewhere, "ada") == below(terminal, "ada")
    assert json.loads(told.output)["records"] == len(below(terminal, "ada"))
    assert back.read_bytes() == file.read_bytes()
    assert restored(elsewhere.store, "ada") == restored(terminal.store, "ada")


def test_what_was_imported_goes_on_as_a_session_does(exported: Path, on_bucket: Terminal) -> None:
    assert on_bucket.run("import", str(exported)).exit_code == 0

    on_bucket.talk("ada", "And now?")

    assert "And now?" in on_bucket.run("show", "ada", "--agent", "default").output
    assert len(restored(on_bucket.store, "ada")) == 6


def test_an_import_brings_the_life_back_and_whoever_writes_in_it_goes_on(terminal: Terminal, tmp_path: Path) -> None:
    resident = Agent(
        model=ScriptedModel("One.", "Two."),
        session_manager=terminal.store.session_manager("ada"),
        agent_id="default",
        callback_handler=None,
    )
    resident("1")
    file = tmp_path / "ada.jsonl"
    for command in (["export", "ada", "-o", str(file)], ["rm", "ada", "--yes"], ["import", str(file)]):
        assert terminal.run(*command).exit_code == 0

    resident("2")

    said = [message["content"][0]["text"] for message in restored(terminal.store, "ada")]
    assert said == ["1", "One.", "2", "Two."]


def test_the_standard_output_gets_the_same_bytes(exported: Path, on_folder: Terminal) -> None:
    seen = on_folder.run("export", "ada")

    assert seen.stdout_bytes == exported.read_bytes()


def test_a_session_that_is_there_is_not_touched(exported: Path, terminal: Terminal) -> None:
    terminal.talk("ada", "Mine.")
    before = terminal.stored()

    seen = terminal.run("import", str(exported))

    assert seen.exit_code == 4
    assert "already exists" in seen.stderr
    assert terminal.stored() == before


def test_a_file_that_is_there_is_not_overwritten(exported: Path, on_folder: Terminal) -> None:
    before = exported.read_bytes()

    seen = on_folder.run("export", "ada", "-o", str(exported))

    assert seen.exit_code == 2
    assert exported.read_bytes() == before


def without_last_line(body: bytes) -> bytes:
    return b"".join(body.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    "damage",
    [
        without_last_line,
        lambda body: body[: len(body) // 2],
        lambda body: body.replace(b"It is noon.", b"It is dark."),
        lambda body: b"".join(body.splitlines(keepends=True)[:2] + body.splitlines(keepends=True)[3:]),
        lambda body: b"",
        lambda body: b"# A document\n",
        lambda body: body.replace(b'"version": 1', b'"version": 2', 1),
    ],
    ids=["no checksum", "half", "other words", "a line less", "empty", "another file", "later version"],
)
def test_a_damaged_file_is_refused_before_anything_is_written(
    damage: Callable[[bytes], bytes], exported: Path, elsewhere: Terminal
) -> None:
    exported.write_bytes(damage(exported.read_bytes()))

    seen = elsewhere.run("import", str(exported))

    assert seen.exit_code == 6
    assert "Nothing was imported" in seen.stderr
    assert elsewhere.stored() == {}


@pytest.mark.parametrize("name", ["../session_eve/session.json", "/etc/x", "agents//x", "a\\..\\b", "lease.json"])
def test_a_file_cannot_write_outside_of_its_session(name: str, elsewhere: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "evil.jsonl"
    with file.open("wb") as opened:
        write_records(opened.write, "ada", [NamedRecord(name, b"{}"), NamedRecord("session.json", b"{}")])

    seen = elsewhere.run("import", str(file))

    assert (seen.exit_code, elsewhere.stored()) == (2, {})
    assert len(seen.stderr.splitlines()) == 1


class DeadError(BaseException):
    """The process died: nothing runs any more."""


# The mark, two agents, six messages and the session's record: each of these writes is the one that is not done.
@pytest.mark.parametrize("writes", range(10))
def test_an_import_that_dies_leaves_nothing_that_opens_and_can_be_run_again(
    writes: int, exported: Path, elsewhere: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = type(elsewhere.store.objects)
    left, put = iter(range(writes)), objects.put

    def dying(self: Any, *arguments: Any) -> Any:
        if next(left, None) is None:
            raise DeadError
        return put(self, *arguments)

    def dead(*_: Any, **__: Any) -> Any:
        raise DeadError

    with monkeypatch.context() as patched:
        patched.setattr(objects, "put", dying)
        for name in ("delete", "delete_version", "sweep", "erase_some"):
            patched.setattr(objects, name, dead)
        with pytest.raises(DeadError):
            elsewhere.run("import", str(exported))

    assert elsewhere.store.sessions().session_ids == ()
    assert elsewhere.run("show", "ada").exit_code == 3
    again = elsewhere.run("import", str(exported))
    assert again.exit_code == 0, again.output
    assert len(restored(elsewhere.store, "ada")) == 4


def test_a_session_begun_after_a_dead_import_is_new(
    exported: Path, elsewhere: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: Any) -> None:
        raise DeadError

    with monkeypatch.context() as patched:
        patched.setattr(IncomingSession, "finish", dead)
        patched.setattr(IncomingSession, "abandon", dead)
        with pytest.raises(DeadError):
            elsewhere.run("import", str(exported))
    assert len(elsewhere.stored()) > 5

    assert restored(elsewhere.store, "ada") == []
    assert elsewhere.run("show", "ada", "--json").output == ""


def test_ctrl_c_takes_everything_back(exported: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(IncomingSession, "finish", interrupted)

    # The folder holds the session already; its owner's part does not.
    seen = terminal.run("import", str(exported), "--issuer", "local", "--owner", "ada")

    assert seen.exit_code == 130
    assert not [key for key in terminal.stored() if "o_" in key and "/.locks/" not in key]


def test_a_session_that_begins_during_an_import_stays(
    exported: Path, on_bucket: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = IncomingSession.finish

    def late(self: IncomingSession, record: bytes) -> None:
        on_bucket.talk("ada", "Mine.")
        finish(self, record)

    monkeypatch.setattr(IncomingSession, "finish", late)

    seen = on_bucket.run("import", str(exported))

    assert seen.exit_code == 4
    assert [message["content"][0]["text"] for message in restored(on_bucket.store, "ada")] == ["Question 0", "Mine."]


def test_a_session_that_is_used_meanwhile_is_not_exported(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.talk("ada", "One.")
    objects = type(terminal.store.objects)
    get_many = objects.get_many
    said: list[bool] = []

    def used(self: Any, keys: Any) -> Any:
        found = get_many(self, keys)
        if not said and any("message_1" in key for key in keys):
            said.append(True)
            terminal.talk("ada", "Meanwhile.")
        return found

    monkeypatch.setattr(objects, "get_many", used)

    seen = terminal.run("export", "ada", "-o", str(tmp_path / "ada.jsonl"))

    assert seen.exit_code == 4
    assert "was used while it was exported" in seen.stderr
    assert list(tmp_path.glob("*ada*")) == []


def test_markdown_is_for_reading(exported: Path, on_folder: Terminal) -> None:
    on_folder.talk("bob", "See:\n\n```python\nprint(1)\n```", [tool_use("clock", zone="``` x")], "Done.", tools=[clock])

    seen = on_folder.run("export", "bob", "--format", "markdown")

    assert seen.exit_code == 0, seen.output
    assert "# Session bob\n" in seen.output
    assert "### user (#0, " in seen.output
    assert "\nSee:\n\n```python\nprint(1)\n```\n" in seen.output
    assert '\n````text\ncalls clock {"zone": "``` x"}\n````\n' in seen.output


def page(*session_ids: str, cursor: str | None = None, left_out: tuple[str, ...] = ()) -> bytes:
    """A page of an export of several sessions."""
    written: list[bytes] = []
    for session_id in session_ids:
        record = NamedRecord("session.json", json.dumps({"session_id": session_id, "session_type": "AGENT"}).encode())
        write_records(written.append, session_id, [record])
    last = {"format": "agent-sessions", "version": 1, "sessions": len(session_ids)}
    end = json.dumps({**last, "left_out": list(left_out), "next_cursor": cursor}).encode() + b"\n"
    return b"".join([*written, end])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (without_last_line(page("one", "two")), "without the last line"),
        (page("one", cursor="c") + without_last_line(page("two")), "without the last line"),
        (page("one", "two", cursor="c-7"), "cursor=c-7"),
        (page("one", "two", left_out=("three",)), "too long to read: three"),
    ],
    ids=["no last line", "no last line of the second page", "more pages", "left out"],
)
def test_an_export_that_was_cut_off_is_not_taken_for_the_whole(
    body: bytes, said: str, elsewhere: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    file.write_bytes(body)

    for _ in range(2):  # the second finds every session there, and it is still not everything
        seen = elsewhere.run("import", str(file))
        assert (seen.exit_code, "not everything" in seen.stderr, said in seen.stderr) == (8, True, True), seen.stderr
    assert elsewhere.store.sessions().session_ids == ("one", "two")


@pytest.mark.parametrize("pages", ["with sessions", "empty"])
def test_pages_in_a_row_are_one_export_with_or_without_sessions(
    pages: str, elsewhere: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    empty = page(cursor="b") + page(cursor="c")
    file.write_bytes(page("one", cursor="a") + empty + page("two") if pages == "with sessions" else page() + page())

    seen = elsewhere.run("import", str(file))

    assert seen.exit_code == 0, seen.stderr
    assert elsewhere.store.sessions().session_ids == (("one", "two") if pages == "with sessions" else ())
