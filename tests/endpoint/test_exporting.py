"""GET /export: everything of the caller as JSON lines that can be imported, streamed or in pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from agent_sessions import session_export
from agent_sessions.owner import owner_prefix
from agent_sessions.session_store import FileSessionStore
from agent_sessions_cli.commands import agent_sessions
from tests.bounds.stored import session_objects
from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import ALICE, BOB, Answer, Function

if TYPE_CHECKING:
    from pathlib import Path

OURS = owner_prefix(ALICE.account, ALICE.unique_id)


def make_function(folder: Path, *, streaming: bool) -> Function:
    environment = {
        "SESSION_STORE": folder.as_uri(),
        "AGENT_MODEL": "scripted:script",
        "STREAMING": str(streaming).lower(),
    }
    function = Function(environment)
    function.models["script"] = ScriptedModel(otherwise="Fine.")
    return function


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture(params=["streamed", "whole"])
def function(request: pytest.FixtureRequest, folder: Path) -> Function:
    return make_function(folder, streaming=request.param == "streamed")


def put(folder: Path, session_id: str, owner: str = OURS, **options: Any) -> None:
    for key, body in session_objects(session_id, **options):
        path = folder / owner / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def last_line(answer: Answer) -> Any:
    return json.loads(answer.text.splitlines()[-1])


def exported(function: Function) -> tuple[str, list[Any]]:
    """All pages, and the last line of each."""
    text, ends = "", []
    query: dict[str, str] = {}
    while True:
        answer = function.http("GET", "/export", query=query)
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"] == "application/jsonl"
        ends.append(last_line(answer))
        text += answer.text
        if ends[-1]["next_cursor"] is None:
            return text, ends
        query = {"cursor": ends[-1]["next_cursor"]}


def bodies(folder: Path) -> dict[str, bytes]:
    """The records of the sessions in a folder. Marks of recent use are made anew where sessions come to."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.json")
        if not {".locks", "recent"} & set(path.relative_to(folder).parts) and path.name != "lease.json"
    }


def test_what_was_exported_can_be_imported_byte_for_byte(function: Function, folder: Path, tmp_path: Path) -> None:
    assert function.say("Hello", "one").status == 200
    put(folder, "two", messages=30, text='"quoted"')
    put(folder, "bobs", owner_prefix(BOB.account, BOB.unique_id))

    text, ends = exported(function)
    file, elsewhere = tmp_path / "all.jsonl", tmp_path / "elsewhere"
    file.write_text(text)
    words = ["import", str(file), "--store", elsewhere.as_uri()]
    told = CliRunner().invoke(agent_sessions, words)

    assert told.exit_code == 0, told.output
    assert [(end["sessions"], end["left_out"]) for end in ends] == [(2, [])]
    assert bodies(elsewhere) == bodies(folder / OURS)
    assert FileSessionStore(elsewhere).sessions().session_ids == ("one", "two")
    again = CliRunner().invoke(agent_sessions, words)
    assert again.exit_code == 4
    assert "one, two" in again.output


def test_without_sessions_there_is_the_last_line_alone(function: Function) -> None:
    text, ends = exported(function)

    assert len(text.splitlines()) == 1
    assert ends[0] == {
        "format": "agent-sessions",
        "version": 1,
        "sessions": 0,
        "left_out": [],
        "next_cursor": None,
    }


def test_what_does_not_fit_into_an_answer_comes_with_the_next_page(folder: Path, tmp_path: Path) -> None:
    function = make_function(folder, streaming=False)
    for number in range(7):
        put(folder, f"s{number}", text="x" * 1_000_000, messages=1)

    text, ends = exported(function)

    assert [end["sessions"] for end in ends] == [3, 3, 1]
    file = tmp_path / "pages.jsonl"
    file.write_text(text)
    told = CliRunner().invoke(agent_sessions, ["import", str(file), "--store", (tmp_path / "elsewhere").as_uri()])
    assert told.exit_code == 0, told.output
    assert bodies(tmp_path / "elsewhere") == bodies(folder / OURS)


def test_a_session_larger_than_an_answer_is_refused_by_name_and_the_cursor_leads_past_it(folder: Path) -> None:
    function = make_function(folder, streaming=False)
    put(folder, "a")
    put(folder, "large", text="x" * 4_000_000, messages=1)
    put(folder, "z")

    first = function.http("GET", "/export")
    refused = function.http("GET", "/export", query={"cursor": last_line(first)["next_cursor"]})
    rest = function.http("GET", "/export", query={"cursor": refused.json["next_cursor"]})

    assert last_line(first)["sessions"] == 1
    assert (refused.status, refused.problem) == (413, "payload-too-large")
    assert "Session large" in refused.json["detail"]
    assert (rest.status, last_line(rest)["sessions"]) == (200, 1)


def test_streamed_it_is_sent_as_a_whole(folder: Path) -> None:
    function = make_function(folder, streaming=True)
    put(folder, "large", text="x" * 4_000_000, messages=2)

    _, ends = exported(function)

    assert [end["sessions"] for end in ends] == [1]


class Hours:
    """Time for so many answers."""

    def __init__(self, answers: int) -> None:
        self.left = answers

    def goes_on(self) -> bool:
        self.left -= 1
        return self.left >= 0


def reads_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the records that are read from now on."""
    named: list[str] = []
    stored = session_export.stored_records

    def noted(place: Any, session_id: str, **options: Any) -> Any:
        for record in stored(place, session_id, **options):
            named.append(record.name)
            yield record

    monkeypatch.setattr(session_export, "stored_records", noted)
    return named


def pages_of(folder: Path, answers: int, **options: Any) -> list[Any]:
    """The last lines of all pages, each of which has time for so many answers."""
    store = FileSessionStore(folder).for_owner(OURS)
    ends: list[Any] = []
    cursor: str | None = None
    while not ends or cursor is not None:
        lines = b"".join(store.export(cursor=cursor, goes_on=Hours(answers).goes_on, **options).pieces())
        ends.append(json.loads(lines.splitlines()[-1]))
        cursor = ends[-1]["next_cursor"]
    return ends


def test_no_more_of_a_session_is_read_than_has_room_in_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "large", text="x" * 10_000, messages=200)
    names = reads_of(monkeypatch)

    with pytest.raises(session_export.SessionTooLargeError):
        list(FileSessionStore(folder).for_owner(OURS).export(max_bytes=50_000).pieces())

    assert len(names) < 10


def test_a_session_that_takes_longer_than_a_page_may_is_left_out_and_the_others_come(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "a")
    put(folder, "long", messages=500)
    put(folder, "z")
    names = reads_of(monkeypatch)

    ends = pages_of(folder, 100)

    assert sum(end["sessions"] for end in ends) == 2
    assert [name for end in ends for name in end["left_out"]] == ["long"]
    assert len(names) < 300


def test_without_time_a_page_has_one_session(folder: Path) -> None:
    for session_id in ("a", "b", "c"):
        put(folder, session_id)

    ends = pages_of(folder, 0)

    assert [(end["sessions"], end["left_out"]) for end in ends if end["next_cursor"]] == [(1, [])] * len(ends[:-1])
    assert sum(end["sessions"] for end in ends) == 3


def test_a_session_that_is_used_all_the_time_is_left_out_and_named(
    function: Function, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "calm")
    put(folder, "used")
    listed = session_export.listed_records

    def used(place: Any, session_id: str) -> Any:
        if session_id == "used":
            put(folder, "used", text=f"{len(list(listed(place, session_id)))}")
        return listed(place, session_id)

    monkeypatch.setattr(session_export, "listed_records", used)
    text, ends = exported(function)

    assert [(end["sessions"], end["left_out"]) for end in ends] == [(1, ["used"])]
    assert "session_used" not in text


def test_a_session_that_is_closed_meanwhile_is_not_exported(
    function: Function, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "calm")
    put(folder, "gone")
    stored = session_export.stored_records

    def closed(place: Any, session_id: str, **options: Any) -> Any:
        if session_id == "gone":
            (folder / OURS / "session_gone/session.json").write_text('{"kit": {"erased": true}}')
        return stored(place, session_id, **options)

    monkeypatch.setattr(session_export, "stored_records", closed)
    text, ends = exported(function)

    assert [(end["sessions"], end["left_out"]) for end in ends] == [(1, [])]
    assert '"gone"' not in text


def test_a_cursor_that_is_none_is_refused(function: Function) -> None:
    assert function.http("GET", "/export", query={"cursor": "bm9uZQ"}).status == 422


def test_a_failure_in_the_middle_ends_the_answer_without_its_last_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent_sessions.exceptions import SessionStorageError

    function = make_function(folder, streaming=True)
    put(folder, "one")
    put(folder, "two")
    stored = session_export.stored_records

    def failing(place: Any, session_id: str, **options: Any) -> Any:
        if session_id == "two":
            raise SessionStorageError("the disk is gone", code="EIO")
        return stored(place, session_id, **options)

    monkeypatch.setattr(session_export, "stored_records", failing)
    answer = function.http("GET", "/export")

    assert answer.status == 200
    assert "sha256" in last_line(answer), "what has come is whole, and nobody takes it for everything"
    assert '"two"' not in answer.text
