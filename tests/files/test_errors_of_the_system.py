"""Whatever the system answers, and to whichever call: an error of this package with the path, nothing half done."""

import errno
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.exceptions import SessionException, SessionStorageError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent, Unchanged
from agent_sessions.session_store import FileSessionStore
from tests.files.conversation import AGENT, agent_in, ours, restored
from tests.files.faults import ALL, BY_PATH, failing, name_of, open_descriptors, the

PERMANENT = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)
TRANSIENT = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ENOMEM)
FATAL = (errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EROFS, errno.ESTALE)
"""What no file system answers to say that it lacks something."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors where Linux shows them")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def use(folder: Path) -> None:
    """A request as the endpoint takes it: the lease, a turn, a look at the session."""
    store = FileSessionStore(folder)
    with SessionLease(store, "chat", holder="test") as lease:
        agent_in(folder, "Yes.", lease=lease)("Hello")
    store.describe("chat")
    store.messages("chat")
    assert store.sessions().session_ids == ("chat",)


def calls_of_a_use(folder: Path, call: str) -> int:
    agent_in(folder, "Hi.")("First")
    with failing(call, 0, folder) as seen:
        use(folder)
    return len(seen)


@pytest.mark.parametrize("call", ALL)
def test_whichever_call_of_a_turn_fails_the_error_is_ours_and_the_next_turn_works(folder: Path, call: str) -> None:
    times = calls_of_a_use(folder, call)
    said = ["First", "Hi.", "Hello", "Yes."]
    assert restored(folder) == said
    numbers = itertools.cycle(FATAL)
    before = open_descriptors()

    for number in range(times):
        code = next(numbers)
        try:
            with failing(call, code, folder, the(number)):
                use(folder)
        except Exception as error:  # noqa: BLE001 - looked at
            found = ours(error)
            if isinstance(found, SessionStorageError):
                assert found.code == name_of(code), found
                assert str(folder) in str(found), found
        else:
            assert call in {"fstat", "lstat", "unlink", "rmdir"}, f"{call} {number} failed and nobody said so"

        assert open_descriptors() <= before
        said = restored(folder)
        assert said[:4] == ["First", "Hi.", "Hello", "Yes."]

    use(folder)
    assert restored(folder)[-2:] == ["Hello", "Yes."]
    # A temporary file that cannot be removed stays until its session is erased.
    assert call == "unlink" or not list(folder.rglob(".writing-*"))


READS: dict[str, Callable[[Path], Any]] = {
    "restore": agent_in,
    "describe": lambda folder: FileSessionStore(folder).describe("chat"),
    "messages": lambda folder: FileSessionStore(folder).messages("chat"),
    "list sessions": lambda folder: FileSessionStore(folder).sessions(),
    "read a session": lambda folder: manager_in(folder).read_session("chat"),
    "read an agent": lambda folder: manager_in(folder).read_agent("chat", "a"),
    "list messages": lambda folder: manager_in(folder).list_messages("chat", "a"),
}


def manager_in(folder: Path) -> FileSessionManager:
    return FileSessionManager("chat", str(folder))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("call", ["open", "read", "lstat", "scandir"])
def test_what_cannot_be_read_is_an_error_and_never_nothing(folder: Path, read: str, call: str) -> None:
    agent_in(folder, "Hi.")("Hello")
    expected = READS[read](folder)
    with failing(call, 0, folder) as seen:
        READS[read](folder)
    numbers = itertools.cycle((*PERMANENT, *TRANSIENT))

    for number in range(len(seen)):
        code = next(numbers)
        with failing(call, code, folder, the(number)), pytest.raises(SessionException) as caught:
            READS[read](folder)

        assert isinstance(caught.value, SessionStorageError)
        assert caught.value.code == name_of(code)
        assert caught.value.key is not None
        assert caught.value.key.startswith(str(folder))

    again = READS[read](folder)
    assert type(again) is type(expected)


def objects_in(folder: Path) -> FileObjects:
    return FileObjects(folder)


def put_new(objects: FileObjects) -> None:
    objects.put("session_chat/new.json", b"{}", Absent())


def replace(objects: FileObjects) -> None:
    found = objects.get(f"{AGENT}/agent.json")
    assert found is not None
    objects.put(f"{AGENT}/agent.json", found.body, Unchanged(found.etag))


VERBS: dict[str, tuple[Callable[[FileObjects], Any], str]] = {
    "get": (lambda objects: objects.get(f"{AGENT}/agent.json"), "open"),
    "create": (put_new, "open"),
    "replace": (replace, "replace"),
    "delete": (lambda objects: objects.delete([f"{AGENT}/agent.json"]), "unlink"),
    "list": (lambda objects: list(objects.list("session_chat/")), "scandir"),
    "list folders": (lambda objects: list(objects.list_folders("")), "scandir"),
    "erase": (lambda objects: objects.erase("session_chat/"), "unlink"),
    "make a folder": (lambda objects: objects.make_folder("session_new/agents/"), "mkdir"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("number", [*PERMANENT, *TRANSIENT], ids=name_of)
def test_each_error_number_is_told_as_what_it_is(folder: Path, verb: str, number: int) -> None:
    agent_in(folder, "Hi.")("Hello")
    act, call = VERBS[verb]

    with failing(call, number, folder), pytest.raises(SessionStorageError) as caught:
        act(objects_in(folder))

    assert caught.value.code == name_of(number)
    assert caught.value.is_transient is (number in TRANSIENT)
    assert caught.value.key is not None
    assert caught.value.key.startswith(str(folder))


@pytest.mark.parametrize("call", [call for call in BY_PATH if call in {"lstat", "mkdir", "stat"}])
def test_a_folder_for_sessions_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path, call: str) -> None:
    with failing(call, errno.EACCES, tmp_path), pytest.raises(SessionStorageError) as caught:
        FileSessionManager("chat", str(tmp_path / "deep" / "sessions"))

    assert caught.value.code == "EACCES"


def test_a_file_where_the_folder_for_sessions_should_be_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("somebody's")

    for folder in (tmp_path / "file", tmp_path / "file" / "sessions"):
        with pytest.raises(SessionStorageError) as caught:
            FileSessionManager("chat", str(folder))
        assert (caught.value.code, caught.value.is_transient) == ("ENOTDIR", False)
        with pytest.raises(SessionStorageError):
            FileSessionStore(folder).sessions()

    assert (tmp_path / "file").read_text() == "somebody's"


def test_a_user_without_a_home_has_to_name_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)

    with pytest.raises(SessionStorageError, match="storage_dir"):
        FileSessionManager("chat")


def test_a_name_that_this_file_system_does_not_take_is_refused_for_good(folder: Path) -> None:
    with failing("mkdir", errno.ENAMETOOLONG, folder), pytest.raises(SessionStorageError) as caught:
        agent_in(folder, session_id="x" * 200)

    assert (caught.value.code, caught.value.is_transient) == ("ENAMETOOLONG", False)


@pytest.mark.parametrize("read", READS)
def test_an_error_says_which_session_it_is_about(folder: Path, read: str) -> None:
    agent_in(folder, "Hi.")("Hello")
    number = errno.EIO
    inside = lambda path, nth: "session_chat" in path  # noqa: E731 - a predicate

    with failing("lstat", number, folder, inside), pytest.raises(SessionStorageError) as caught:
        READS[read](folder)

    assert caught.value.session_id == "chat"
