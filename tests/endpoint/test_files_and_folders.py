"""What a disk refuses or fails to do, as the caller of the endpoint sees it."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import ALICE, BOB, Answer, Function
from tests.files.disks import as_another_user, permissions
from tests.files.faults import failing
from tests.files.folding import folding, ignoring_case

Scripted = Callable[..., tuple[Function, ScriptedModel]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a user whom permissions mean something to, whose process this is during the test."""
    with as_another_user() as home:
        yield home / "sessions"


@pytest.fixture
def function(scripted: Scripted, folder: Path) -> Function:
    """A function with a session."""
    function, _ = scripted(otherwise="Hello.", SESSION_STORE=folder.as_uri())
    function.reply("My secret")
    return function


def session_in(folder: Path) -> Path:
    return next(folder.rglob("session_chat"))


def assert_refused_for_good(answer: Answer, code: str) -> None:
    assert (answer.status, answer.problem) == (500, "storage-refused"), answer.text
    assert code in answer.json["detail"]
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("hidden", ["agents", "agents/agent_default", "agents/agent_default/messages"])
def test_an_erasure_that_cannot_see_everything_is_no_204(function: Function, folder: Path, hidden: str) -> None:
    session = session_in(folder)
    with permissions(session / hidden, 0o000):
        for _ in range(2):
            assert_refused_for_good(function.http("DELETE", "/sessions/chat"), "EACCES")
        assert function.http("GET", "/sessions/chat").status == 404
        assert function.say("Again").status == 500

    # Whatever the caller does next, nothing of what was to be erased comes back.
    assert function.http("GET", "/sessions/chat/messages").status == 404
    assert function.reply("Again")["restored_messages"] == 0
    assert not [path for path in folder.rglob("*.json") if b"secret" in path.read_bytes()]


def test_messages_that_may_not_be_read_are_no_empty_page(function: Function, folder: Path) -> None:
    with permissions(session_in(folder) / "agents/agent_default/messages", 0o000):
        assert_refused_for_good(function.http("GET", "/sessions/chat/messages"), "EACCES")

    assert len(function.http("GET", "/sessions/chat/messages").json["messages"]) == 2


def test_an_owners_folder_that_cannot_be_listed_is_no_empty_list(function: Function, folder: Path) -> None:
    with permissions(session_in(folder).parent, 0o000):
        assert_refused_for_good(function.http("GET", "/sessions"), "EACCES")


@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
@pytest.mark.parametrize("record", ["session.json", "agents/agent_default/agent.json"])
@pytest.mark.timeout(30)
def test_an_entry_that_is_no_file_is_told_as_damage_at_once(
    function: Function, folder: Path, record: str, kind: str
) -> None:
    path = session_in(folder) / record
    path.unlink()
    path.mkdir() if kind == "a folder" else os.mkfifo(path)

    answer = function.say("Again")

    assert (answer.status, answer.problem) == (500, "session-corrupt")
    assert "retry-after" not in answer.headers


def test_a_disk_that_is_full_is_503_and_the_session_is_free_afterwards(function: Function, folder: Path) -> None:
    for call in ("write", "fsync", "open"):
        with failing(call, errno.ENOSPC, folder):
            refused = function.say("Second")
        assert (refused.status, refused.problem) == (503, "storage-failed"), refused.text
        assert refused.headers["retry-after"] == "2"
        assert function.reply("Third")["stop_reason"] == "end_turn"


def test_a_disk_that_is_read_only_is_refused_for_good(function: Function, folder: Path) -> None:
    with failing("open", errno.EROFS, folder, lambda path, number: path.endswith((".tmp", "lease.json"))):
        assert_refused_for_good(function.say("Second"), "EROFS")
        assert_refused_for_good(function.http("DELETE", "/sessions/chat"), "EROFS")

    assert function.reply("Third")["restored_messages"] == 2


def test_an_owners_folder_that_is_a_link_is_neither_read_nor_written(function: Function, folder: Path) -> None:
    alices = session_in(folder).parent
    function.reply("Mine", caller=BOB)
    bobs = next(path for path in folder.iterdir() if path.name.startswith("o_") and path != alices)
    bobs.rename(folder / "aside")
    bobs.symlink_to(alices, target_is_directory=True)

    for answer in (
        function.http("GET", "/sessions", caller=BOB),
        function.http("GET", "/sessions/chat/messages", caller=BOB),
        function.http("DELETE", "/sessions/chat", caller=BOB),
        function.say("Whose is this?", caller=BOB),
    ):
        assert_refused_for_good(answer, "SymbolicLink")

    assert len(function.http("GET", "/sessions/chat/messages", caller=ALICE).json["messages"]) == 2


def test_where_case_is_ignored_the_second_id_is_422_and_erases_nothing(scripted: Scripted, tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    function, _ = scripted(otherwise="Hello.")
    folder.mkdir()
    with folding(folder, ignoring_case):
        function.reply("My secret", session_id="Ada")

        assert function.http("DELETE", "/sessions/aDa").status == 404
        assert function.http("GET", "/sessions/ada/messages").status == 404
        refused = function.say("Hi", session_id="ada")

        assert (refused.status, refused.problem) == (422, "invalid-request")
        assert "Ada" not in refused.text
        assert len(function.http("GET", "/sessions/Ada/messages").json["messages"]) == 2
        assert function.http("DELETE", "/sessions/Ada").status == 204
        assert function.reply("Hi", session_id="ada")["restored_messages"] == 0
