"""Titles, and the sessions used last, over HTTP."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Caller, Function


@pytest.fixture
def function(store: dict[str, str]) -> Function:
    function = Function({**CREDENTIALS, **store, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(*(f"Reply {number}." for number in range(40)))
    return function


@pytest.fixture
def on_files(file_store: dict[str, str]) -> Function:
    function = Function({**CREDENTIALS, **file_store, "AGENT_MODEL": "scripted:script"})
    function.models["script"] = ScriptedModel(*(f"Reply {number}." for number in range(40)))
    return function


def recent(function: Function, **query: str) -> Any:
    answer = function.http("GET", "/sessions", query={"order": "recent", **query})
    assert answer.status == 200, answer.text
    return answer.json


def titles(function: Function) -> dict[str, str | None]:
    return {row["session_id"]: row["title"] for row in recent(function)["sessions"]}


def rename(function: Function, body: Any, session_id: str = "chat", **event: Any) -> Any:
    return function.http("PATCH", f"/sessions/{session_id}", body, **event)


def test_a_session_is_called_by_the_first_words_of_its_first_prompt(function: Function) -> None:
    function.reply("  What \n is   the state of\torder 1? " + "And of the others, please? " * 9)
    function.reply("Something else")

    title = function.http("GET", "/sessions/chat").json["title"]

    assert title == "What is the state of order 1? And of the others, please? And of the others,"
    assert titles(function) == {"chat": title}
    by_id = function.http("GET", "/sessions").json
    assert by_id["session_ids"] == ["chat"]
    assert by_id["sessions"] == [
        {
            "session_id": "chat",
            "title": title,
            "created_at": recent(function)["sessions"][0]["created_at"],
            "forked_from": None,
            "last_used_at": None,
            "running_turn": None,
        }
    ]


def test_a_given_title_stays_until_it_is_taken_back(function: Function) -> None:
    function.reply("Hello")

    given = rename(function, {"title": "  Orders & refunds "})
    function.reply("More")

    assert (given.status, given.json) == (200, {"session_id": "chat", "title": "Orders & refunds"})
    assert function.http("GET", "/sessions/chat").json["title"] == "Orders & refunds"
    assert titles(function) == {"chat": "Orders & refunds"}
    assert rename(function, {"title": None}).json["title"] == "Hello"
    assert titles(function) == {"chat": "Hello"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"title": ""},
        {"title": " \u2003"},
        {"title": "x" * 201},
        {"title": "a\nb"},
        {"title": "\u200b\ufeff"},
        {"title": "\u061c"},
        {"title": "\u3164"},
        {"title": "\U000e0041"},
        {"title": "a\u202eb"},
        {"title": 1},
        {"name": "x"},
    ],
)
def test_what_is_no_title_is_422_and_changes_nothing(on_files: Function, body: Any) -> None:
    on_files.reply("Hello")

    answer = rename(on_files, body)

    assert answer.status == 422, answer.text
    assert on_files.http("GET", "/sessions/chat").json["title"] == "Hello"


def test_there_is_nothing_to_rename_for_anybody_else(on_files: Function) -> None:
    on_files.reply("Hello")

    assert rename(on_files, {"title": "Mine"}, caller=Caller("AROAOTHER")).status == 404
    assert rename(on_files, {"title": "Mine"}, session_id="none").status == 404
    assert on_files.http("GET", "/sessions/chat").json["title"] == "Hello"
    assert (
        on_files.http("GET", "/sessions", query={"order": "recent"}, caller=Caller("AROAOTHER")).json["sessions"] == []
    )


def test_a_session_that_is_renamed_while_its_turn_runs_keeps_both(function: Function) -> None:
    function.reply("Hello")
    seen: list[Any] = []

    class Renaming(ScriptedModel):
        async def stream(self, *args: Any, **kwargs: Any) -> Any:
            thread = threading.Thread(
                target=lambda: seen.extend([rename(function, {"title": "While it runs"}), recent(function)])
            )
            thread.start()
            thread.join()
            async for event in super().stream(*args, **kwargs):
                yield event

    function.models["script"] = Renaming("While.")
    function.cold_start()
    reply = function.reply("Second")

    renamed, page = seen
    assert renamed.status == 200
    assert page["sessions"][0]["running_turn"] == {"turn_id": reply["turn_id"], "agent_id": "default"}
    assert page["sessions"][0]["title"] == "While it runs"
    after = recent(function)["sessions"][0]
    assert (after["running_turn"], after["title"]) == (None, "While it runs")
    assert function.http("GET", "/sessions/chat").json["agents"] == [{"agent_id": "default", "message_count": 4}]


def test_sessions_of_a_day_are_in_the_order_of_their_last_use(on_files: Function, tmp_path: Path) -> None:
    for number in range(5):
        on_files.reply("Hello", f"s{number}")
    for number in range(5):
        on_files.reply("Again", f"s{(number * 3) % 5}")
    records = sorted(tmp_path.rglob("agent.json"), key=lambda path: path.stat().st_mtime_ns)
    for seconds, record in enumerate(records):
        os.utime(record, (record.stat().st_mtime - 100 + seconds,) * 2)

    first = recent(on_files, limit="2")
    second = recent(on_files, limit="2", cursor=first["next_cursor"])
    third = recent(on_files, limit="2", cursor=second["next_cursor"])

    assert [page["session_ids"] for page in (first, second, third)] == [["s2", "s4"], ["s1", "s3"], ["s0"]]
    assert third["next_cursor"] is None


def test_a_cursor_of_another_order_is_422(on_files: Function) -> None:
    for number in range(3):
        on_files.reply("Hello", f"s{number}")
    by_id = on_files.http("GET", "/sessions", query={"limit": "1"}).json["next_cursor"]

    assert on_files.http("GET", "/sessions", query={"order": "recent", "cursor": by_id}).status == 422
    latest = recent(on_files, limit="1")["next_cursor"]
    assert on_files.http("GET", "/sessions", query={"cursor": latest}).status == 422
    assert on_files.http("GET", "/sessions", query={"order": "newest"}).status == 422


def test_what_is_erased_is_listed_nowhere_and_leaves_no_marker(function: Function, store: dict[str, str]) -> None:
    function.reply("Hello")
    function.reply("Hello", "other")

    assert function.http("DELETE", "/sessions/chat").status == 204
    assert recent(function)["session_ids"] == ["other"]
    assert function.http("DELETE", "/sessions").status == 200
    assert recent(function)["session_ids"] == []


def test_a_fork_is_listed_with_its_title_and_what_it_began_as(function: Function) -> None:
    function.reply("Hello")
    turn = function.reply("Second")["turn_id"]
    rename(function, {"title": "Mine"})

    fork = function.http("POST", "/sessions/chat/fork", {"before_turn": turn}).json["session_id"]

    row = next(row for row in recent(function)["sessions"] if row["session_id"] == fork)
    assert (row["title"], row["forked_from"]) == ("Mine", "chat")
    rename(function, {"title": None}, session_id=fork)
    assert titles(function) == {"chat": "Mine", fork: "Hello"}
