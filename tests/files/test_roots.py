"""The store's folder, owners' folders and the folder of locks: nothing is read or made outside of the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.exceptions import SessionStorageError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import FileSessionStore, SessionStore
from tests.files.conversation import agent_in, restored

OWNER = "o_aaaa/"
PART = "o_aaaa/o_bbbb/"

ACTS: dict[str, Callable[[SessionStore], Any]] = {
    "open a session": lambda store: store.session_manager("chat"),
    "read it": lambda store: store.messages("chat"),
    "list sessions": lambda store: store.sessions(),
    "erase": lambda store: store.delete_session("chat"),
    "take its lease": lambda store: SessionLease(store, "chat", holder="test").acquire(),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that somebody would have read or written, with a session in it."""
    elsewhere = tmp_path / "elsewhere"
    agent_in(elsewhere, "Hi.")("Hello")
    return elsewhere


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(("owner", "link"), [(OWNER, "o_aaaa"), (PART, "o_aaaa"), (PART, "o_aaaa/o_bbbb")])
def test_an_owners_folder_that_is_a_link_is_refused(
    folder: Path, elsewhere: Path, owner: str, link: str, act: str
) -> None:
    (folder / link).parent.mkdir(parents=True)
    (folder / link).symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "o_bbbb").mkdir()
    before = everything_in(elsewhere)

    with pytest.raises(SessionStorageError, match="symbolic link") as caught:
        ACTS[act](FileSessionStore(folder).for_owner(owner))

    assert (caught.value.code, caught.value.is_transient) == ("SymbolicLink", False)
    assert caught.value.key == str(folder / link)
    assert everything_in(elsewhere) == before
    assert restored(elsewhere) == ["Hello", "Hi."]


@pytest.mark.parametrize("act", ["open a session", "list sessions", "erase"])
def test_an_owners_folder_that_is_a_file_is_an_error(folder: Path, act: str) -> None:
    folder.mkdir()
    (folder / "o_aaaa").write_text("somebody's")

    with pytest.raises(SessionStorageError) as caught:
        ACTS[act](FileSessionStore(folder).for_owner(OWNER))

    assert caught.value.code == "ENOTDIR"


@pytest.mark.parametrize("place", ["", OWNER])
def test_a_folder_of_locks_that_is_a_link_is_refused(folder: Path, tmp_path: Path, place: str) -> None:
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()
    store: SessionStore = FileSessionStore(folder)
    store = store.for_owner(place) if place else store
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / ".locks").symlink_to(elsewhere, target_is_directory=True)
    manager = store.session_manager("chat")

    for act in (
        lambda: manager.delete_session("chat"),  # type: ignore[attr-defined] # of FileSessionManager
        lambda: SessionLease(store, "chat", holder="test").acquire(),
    ):
        with pytest.raises(SessionStorageError, match="symbolic link") as caught:
            act()
        assert not caught.value.is_transient

    assert list(elsewhere.iterdir()) == []


def test_a_folder_of_locks_that_is_a_file_is_an_error(folder: Path) -> None:
    manager = FileSessionManager("chat", str(folder))
    (folder / ".locks").write_text("somebody's")

    with pytest.raises(SessionStorageError):
        manager.delete_session("chat")


def test_the_stores_own_folder_may_be_a_link_and_lie_behind_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "mounted").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk" / "sessions").mkdir()
    (tmp_path / "sessions").symlink_to(tmp_path / "mounted" / "sessions", target_is_directory=True)

    for folder in (tmp_path / "sessions", tmp_path / "mounted" / "new"):
        agent_in(folder, "Hi.")("Hello")
        assert restored(folder) == ["Hello", "Hi."]
        store = FileSessionStore(folder).for_owner(OWNER)
        store.session_manager("chat")
        assert store.sessions().session_ids == ("chat",)


def test_an_owners_sessions_are_the_same_by_whichever_way_they_are_opened(folder: Path) -> None:
    store = FileSessionStore(folder).for_owner(OWNER)
    store.session_manager("chat")

    direct = FileSessionManager("chat", str(folder / "o_aaaa"))

    assert direct.read_session("chat") is not None
    with SessionLease(store, "chat", holder="one") as lease:
        assert (folder / "o_aaaa" / "session_chat" / "lease.json").is_file()
        assert lease.held


def test_folders_are_made_for_their_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "two"

    agent_in(folder / "o_aaaa", "Hi.")("Hello")

    assert {
        path.stat().st_mode & 0o777 for path in [tmp_path / "one", folder, *folder.rglob("*")] if path.is_dir()
    } == {0o700}
