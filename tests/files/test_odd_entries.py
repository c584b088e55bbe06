"""A folder, a pipe, a socket, a device or a link where a record or a folder should be: answered at once, and named."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.exceptions import SessionBusyError, SessionCorruptError, SessionException, SessionStorageError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged
from agent_sessions.session_store import FileSessionStore
from tests.files.conversation import AGENT, MESSAGES, agent_in, restored

RECORDS = ("session_chat/session.json", f"{AGENT}/agent.json", f"{MESSAGES}/message_0.json")
FOLDERS = ("session_chat", "session_chat/agents", AGENT, MESSAGES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside.json").write_text("{}")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    # A path of a socket may have some hundred bytes: it is bound from inside its folder.
    where = os.open(path.parent, os.O_RDONLY)
    before = os.open(".", os.O_RDONLY)
    try:
        os.fchdir(where)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.fchdir(before)
        os.close(before)
        os.close(where)


def a_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: who reads it reads for ever
    except OSError:
        pytest.skip("this user may not make devices")


def a_terminal(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(5, 0))
    except OSError:
        pytest.skip("this user may not make devices")


ODD: dict[str, Callable[[Path], None]] = {
    "a folder": a_folder,
    "a pipe": a_pipe,
    "a socket": a_socket,
    "a device": a_device,
    "a terminal": a_terminal,
}
odd_ones = pytest.mark.parametrize("odd", ODD.values(), ids=ODD)


def replace(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


@odd_ones
@pytest.mark.parametrize("key", RECORDS)
@pytest.mark.timeout(20)
def test_an_odd_entry_in_a_records_place_is_named_at_once(folder: Path, key: str, odd: Callable[[Path], None]) -> None:
    agent_in(folder, "Hi.")("Hello")
    replace(folder / key, odd)

    with pytest.raises(SessionCorruptError) as caught:
        agent_in(folder)

    assert caught.value.key == str(folder / key)
    assert caught.value.session_id == "chat"


@odd_ones
@pytest.mark.timeout(20)
def test_an_odd_entry_in_a_new_records_place_is_named_at_once(folder: Path, odd: Callable[[Path], None]) -> None:
    agent = agent_in(folder, "Hi.", "never said")
    agent("Hello")
    odd(folder / MESSAGES / "message_2.json")

    with pytest.raises(SessionException):
        agent("Again")

    assert restored_up_to_the_odd_one(folder) == 2


def restored_up_to_the_odd_one(folder: Path) -> int:
    return len(FileSessionManager("chat", str(folder)).list_messages("chat", "a", limit=2))


@odd_ones
@pytest.mark.timeout(20)
def test_no_verb_of_the_store_waits_or_takes_it_for_a_file(folder: Path, odd: Callable[[Path], None]) -> None:
    objects = FileObjects(folder)
    objects.make_folder("")
    odd(folder / "odd.json")

    for act in (
        lambda: objects.get("odd.json"),
        lambda: objects.put("odd.json", b"{}", Absent()),
        lambda: objects.put("odd.json", b"{}", Unchanged("etag")),
        lambda: objects.delete_version("odd.json", "etag"),
    ):
        with pytest.raises(SessionCorruptError) as caught:
            act()
        assert caught.value.key == str(folder / "odd.json")


@odd_ones
@pytest.mark.timeout(20)
def test_the_rest_of_the_session_stays_reachable_and_all_of_it_can_be_erased(
    folder: Path, odd: Callable[[Path], None]
) -> None:
    agent_in(folder, "Hi.")("Hello")
    odd(folder / MESSAGES / "message_7.json")
    manager = FileSessionManager("chat", str(folder))
    first = manager.read_message("chat", "a", 0)
    assert first is not None
    assert first.message["content"] == [{"text": "Hello"}]

    manager.delete_session("chat")

    assert not (folder / "session_chat").exists()
    assert restored(folder) == []


@odd_ones
@pytest.mark.timeout(20)
def test_an_odd_entry_in_a_leases_place_is_named_at_once_and_nothing_is_held(
    folder: Path, odd: Callable[[Path], None]
) -> None:
    agent_in(folder, "Hi.")("Hello")
    odd(folder / "session_chat" / "lease.json")

    with pytest.raises(SessionException) as caught:
        SessionLease(FileSessionStore(folder), "chat", holder="test").acquire()

    assert not isinstance(caught.value, SessionBusyError)
    assert caught.value.key == str(folder / "session_chat" / "lease.json")


@odd_ones
@pytest.mark.timeout(20)
def test_where_a_lock_should_be_an_update_is_refused_or_done_and_nobody_waits(
    folder: Path, odd: Callable[[Path], None]
) -> None:
    objects = FileObjects(folder)
    etag = objects.put("record.json", b"{}", Absent()).etag
    (folder / ".locks").mkdir()
    for number in range(64):
        odd(folder / ".locks" / f"{number:02d}")

    try:
        objects.put("record.json", b'{"n": 1}', Unchanged(etag))
    except SessionStorageError as error:
        assert error.key == str(folder / "record.json")  # noqa: PT017 - either is right
        assert (folder / "record.json").read_bytes() == b"{}"
    else:
        assert (folder / "record.json").read_bytes() == b'{"n": 1}'


READS: dict[str, Callable[[Path], Any]] = {
    "messages": lambda folder: FileSessionStore(folder).messages("chat", "a"),
    "describe": lambda folder: FileSessionStore(folder).describe("chat"),
    "restore": lambda folder: FileSessionManager("chat", str(folder)).read_agent("chat", "a"),
    "list messages": lambda folder: FileSessionManager("chat", str(folder)).list_messages("chat", "a"),
}


@pytest.mark.parametrize("read", ["restore", "list messages"])
@pytest.mark.parametrize("key", FOLDERS)
def test_a_file_where_a_folder_should_be_is_an_error(folder: Path, key: str, read: str) -> None:
    agent_in(folder, "Hi.")("Hello")
    (folder / key).rename(folder / "aside")
    (folder / key).write_text("{}")
    if key == MESSAGES and read == "restore":
        assert READS[read](folder) is not None  # the agent's record is not in there
        return

    with pytest.raises(SessionStorageError) as caught:
        READS[read](folder)

    assert (caught.value.code, caught.value.is_transient) == ("ENOTDIR", False)
    assert str(folder / key) in str(caught.value)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("key", FOLDERS)
def test_a_link_where_a_folder_should_be_is_refused_by_whoever_reads(folder: Path, key: str, read: str) -> None:
    agent_in(folder, "Hi.")("Hello")
    (folder / key).rename(folder / "aside")
    (folder / key).symlink_to(folder / "aside", target_is_directory=True)
    if key == MESSAGES and read == "restore":
        assert READS[read](folder) is not None  # the agent's record is not in there
        return

    with pytest.raises(SessionStorageError, match="symbolic link") as caught:
        READS[read](folder)

    assert (caught.value.code, caught.value.is_transient) == ("SymbolicLink", False)


@pytest.mark.parametrize("key", [*RECORDS, f"{MESSAGES}/message_1.json"])
def test_links_that_lead_in_a_circle_are_refused(folder: Path, key: str) -> None:
    agent_in(folder, "Hi.")("Hello")
    (folder / key).unlink()
    (folder / key).symlink_to(folder / key)

    with pytest.raises(SessionStorageError, match="symbolic link"):
        agent_in(folder)


def test_a_link_that_is_put_there_between_the_look_and_the_opening_is_not_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = FileObjects(folder)
    objects.put("record.json", b"{}", Absent())
    (tmp_path / "secret").write_text('{"secret": true}')
    real = os.open

    def swapped(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if str(path).endswith("record.json") and not Path(path).is_symlink():
            Path(path).unlink()
            Path(path).symlink_to(tmp_path / "secret")
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(SessionStorageError) as caught:
        objects.get("record.json")

    assert caught.value.code == "ELOOP"


def test_a_record_that_is_there_is_not_replaced_by_a_writer_who_finds_a_folder(folder: Path) -> None:
    objects = FileObjects(folder)
    objects.put("record.json", b"{}", Absent())

    with pytest.raises(PreconditionFailedError):
        objects.put("record.json", b'{"n": 1}', Absent())


@odd_ones
@pytest.mark.timeout(20)
def test_a_page_before_the_odd_entry_is_read_and_the_page_that_reaches_it_names_it(
    folder: Path, odd: Callable[[Path], None]
) -> None:
    agent_in(folder, "Hi.")("Hello")
    agent_in(folder, "Hi again.")("Hello again")
    replace(folder / MESSAGES / "message_2.json", odd)
    store = FileSessionStore(folder)

    page = store.messages("chat", "a", limit=2)

    assert [entry.message_id for entry in page.messages] == [0, 1]
    with pytest.raises(SessionCorruptError) as caught:
        store.messages("chat", "a", limit=2, cursor=page.next_cursor)
    assert caught.value.key == str(folder / MESSAGES / "message_2.json")


@odd_ones
@pytest.mark.timeout(20)
def test_a_list_of_sessions_has_the_others_and_the_damaged_one(folder: Path, odd: Callable[[Path], None]) -> None:
    for session_id in ("before", "chat", "later"):
        agent_in(folder, "Hi.", session_id=session_id)("Hello")
    replace(folder / "session_chat/session.json", odd)

    assert FileSessionStore(folder).sessions().session_ids == ("before", "chat", "later")
