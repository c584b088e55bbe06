"""As a user whom permissions mean something to: what may not be read is an error, not nothing, and stays closed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.exceptions import SessionException, SessionNotFoundError, SessionStorageError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import FileSessionStore
from tests.files.conversation import AGENT, MESSAGES, agent_in, restored
from tests.files.disks import as_another_user, permissions

FOLDERS = ("session_chat/agents", AGENT, MESSAGES)
RECORDS = ("session_chat/session.json", f"{AGENT}/agent.json", f"{MESSAGES}/message_0.json")


@pytest.fixture
def folder() -> Iterator[Path]:
    with as_another_user() as home:
        agent_in(home / "sessions", "Hi.")("My secret")
        yield home / "sessions"


def messages(folder: Path) -> Any:
    return FileSessionStore(folder).messages("chat", "a")


def erase(folder: Path) -> Any:
    FileSessionStore(folder).delete_session("chat")


ACTS: dict[str, Callable[[Path], Any]] = {
    "open": agent_in,
    "messages": messages,
    "erase": erase,
    "describe": lambda folder: FileSessionStore(folder).describe("chat"),
    "take its lease": lambda folder: SessionLease(FileSessionStore(folder), "chat", holder="test").acquire(),
}


def assert_refused(error: BaseException, path: Path) -> None:
    assert isinstance(error, SessionStorageError), repr(error)
    assert (error.code, error.is_transient) == ("EACCES", False)
    assert str(path) in str(error)


@pytest.mark.parametrize("hidden", FOLDERS)
def test_a_folder_that_may_not_be_read_is_an_error_for_whoever_reads(folder: Path, hidden: str) -> None:
    with permissions(folder / hidden, 0o000), pytest.raises(SessionStorageError) as caught:
        messages(folder)
    assert_refused(caught.value, folder / hidden)

    assert [entry.message["content"] for entry in messages(folder).messages] == [
        [{"text": "My secret"}],
        [{"text": "Hi."}],
    ]


@pytest.mark.parametrize("hidden", FOLDERS)
def test_an_erasure_that_cannot_see_everything_raises_and_keeps_the_session_closed(folder: Path, hidden: str) -> None:
    with permissions(folder / hidden, 0o000):
        for _ in range(2):
            with pytest.raises(SessionStorageError) as caught:
                erase(folder)
            assert_refused(caught.value, folder / hidden)
        with pytest.raises(SessionStorageError):
            agent_in(folder)

    # Readable again, it is as closed as before: nobody gets the erased conversation.
    with pytest.raises(SessionNotFoundError):
        messages(folder)
    assert restored(folder) == []
    assert not [path for path in folder.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


@pytest.mark.parametrize("hidden", FOLDERS)
def test_sent_again_when_it_is_readable_it_goes_on(folder: Path, hidden: str) -> None:
    with permissions(folder / hidden, 0o000), pytest.raises(SessionStorageError):
        erase(folder)

    erase(folder)

    assert not (folder / "session_chat").exists()


@pytest.mark.parametrize("kept", [*FOLDERS, "session_chat"])
def test_a_folder_that_nothing_may_be_removed_from_is_an_error(folder: Path, kept: str) -> None:
    with permissions(folder / kept, 0o555), pytest.raises(SessionStorageError) as caught:
        erase(folder)
    assert_refused(caught.value, folder / kept)

    erase(folder)
    assert not (folder / "session_chat").exists()


def test_if_the_empty_folder_may_not_be_removed_the_caller_is_told_and_the_words_are_gone(folder: Path) -> None:
    FileSessionManager("other", str(folder)).delete_session("other")  # there are locks
    with permissions(folder, 0o555), pytest.raises(SessionStorageError) as caught:
        erase(folder)

    assert_refused(caught.value, folder / "session_chat")
    assert [path for path in (folder / "session_chat").rglob("*") if path.is_file()] == []
    with pytest.raises(SessionNotFoundError):
        messages(folder)


@pytest.mark.parametrize("act", ACTS)
def test_a_session_that_may_not_be_entered_is_an_error(folder: Path, act: str) -> None:
    with permissions(folder / "session_chat", 0o000), pytest.raises(SessionStorageError) as caught:
        ACTS[act](folder)
    assert_refused(caught.value, folder / "session_chat")

    assert restored(folder) == ["My secret", "Hi."]


@pytest.mark.parametrize("act", ACTS)
def test_a_store_that_may_not_be_entered_is_an_error(folder: Path, act: str) -> None:
    with permissions(folder, 0o000), pytest.raises(SessionStorageError) as caught:
        ACTS[act](folder)
    assert_refused(caught.value, folder)

    assert restored(folder) == ["My secret", "Hi."]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_that_may_not_be_read_is_an_error_and_stays_as_it_is(folder: Path, record: str) -> None:
    before = (folder / record).read_bytes()
    with permissions(folder / record, 0o000), pytest.raises(SessionStorageError) as caught:
        agent_in(folder)

    assert_refused(caught.value, folder / record)
    assert (folder / record).read_bytes() == before


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o333])
def test_owners_and_stores_that_may_not_be_listed_are_errors(folder: Path, mode: int) -> None:
    owner = FileSessionStore(folder).for_owner("o_aaaa/")
    owner.session_manager("chat")

    for store, path in ((owner, folder / "o_aaaa"), (FileSessionStore(folder), folder)):
        with permissions(path, mode), pytest.raises(SessionStorageError) as caught:
            store.sessions()
        assert_refused(caught.value, path)

    assert owner.sessions().session_ids == ("chat",)


def test_a_store_that_may_not_be_written_reads_and_refuses_the_rest(folder: Path) -> None:
    everything = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in everything:
        path.chmod(0o555)
    try:
        assert restored(folder) == ["My secret", "Hi."]
        agent = agent_in(folder, "never said")
        for act in (lambda: agent("Hello"), lambda: erase(folder), lambda: agent_in(folder, session_id="new")):
            with pytest.raises(SessionException) as caught:
                act()
            assert_refused(caught.value, folder)
    finally:
        for path in everything:
            path.chmod(0o700)

    assert restored(folder) == ["My secret", "Hi."]


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_locks_of_another_user_are_an_error_for_whoever_updates(folder: Path, mode: int) -> None:
    FileSessionManager("other", str(folder)).delete_session("other")
    for lock in (folder / ".locks").iterdir():
        lock.unlink()
    for number in range(64):
        (folder / ".locks" / f"{number:02d}").touch(mode=mode)

    with pytest.raises(SessionStorageError) as caught:
        erase(folder)

    assert_refused(caught.value, folder)
    assert restored(folder) == ["My secret", "Hi."]


def test_a_lease_file_of_another_user_is_an_error_and_no_word_of_a_holder(folder: Path) -> None:
    (folder / "session_chat" / "lease.json").touch(mode=0o000)

    with pytest.raises(SessionStorageError) as caught:
        SessionLease(FileSessionStore(folder), "chat", holder="test").acquire()

    assert_refused(caught.value, folder / "session_chat" / "lease.json")


def test_a_folder_that_may_be_written_and_not_be_listed_takes_messages(folder: Path) -> None:
    agent = agent_in(folder, "Again.")
    with permissions(folder / MESSAGES, 0o333):
        agent("Once more")

    assert restored(folder) == ["My secret", "Hi.", "Once more", "Again."]
