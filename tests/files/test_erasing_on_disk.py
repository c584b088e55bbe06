"""An erasure is whole, or it raises and names what is left; until it is whole nobody reads the session."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.exceptions import SessionException, SessionNotFoundError, SessionStorageError
from agent_sessions.file_session_manager import FileSessionManager
from agent_sessions.object_store import Absent, Unchanged
from agent_sessions.session_store import FileSessionStore
from tests.files.conversation import AGENT, MESSAGES, agent_in, restored
from tests.files.faults import BY_PATH, failing, the


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    agent_in(folder, "Hi.")("My secret")
    return folder


def erase(folder: Path) -> None:
    FileSessionStore(folder).delete_session("chat")


def words_left_in(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if b"secret" in path.read_bytes()]


@pytest.mark.parametrize("hidden", ["session_chat/agents", AGENT, MESSAGES])
def test_what_cannot_be_listed_is_not_taken_for_erased(folder: Path, hidden: str) -> None:
    hide = lambda path, number: path == str(folder / hidden)  # noqa: E731 - a predicate

    with failing("scandir", errno.EACCES, folder, hide), pytest.raises(SessionStorageError) as caught:
        erase(folder)

    assert (caught.value.code, caught.value.is_transient) == ("EACCES", False)
    assert str(folder / hidden) in str(caught.value)
    assert words_left_in(folder)


@pytest.mark.parametrize("hidden", ["session_chat/agents", AGENT, MESSAGES])
def test_until_it_is_whole_nobody_reads_the_session_or_begins_it_anew(folder: Path, hidden: str) -> None:
    hide = lambda path, number: path == str(folder / hidden)  # noqa: E731 - a predicate
    store = FileSessionStore(folder)
    with failing("scandir", errno.EACCES, folder, hide):
        with pytest.raises(SessionStorageError):
            erase(folder)

        for act in (lambda: store.describe("chat"), lambda: store.messages("chat")):
            with pytest.raises(SessionNotFoundError):
                act()
        assert store.sessions().session_ids == ()
        with pytest.raises(SessionStorageError):
            agent_in(folder)
        with pytest.raises(SessionStorageError):
            erase(folder)

    # Mended, what was begun is finished by whoever comes first.
    erase(folder)
    assert not (folder / "session_chat").exists()
    assert restored(folder) == []


def test_a_caller_that_opens_the_session_after_the_repair_begins_anew(folder: Path) -> None:
    hide = lambda path, number: path == str(folder / MESSAGES)  # noqa: E731 - a predicate
    with failing("scandir", errno.EACCES, folder, hide), pytest.raises(SessionStorageError):
        erase(folder)

    assert restored(folder) == []
    assert not words_left_in(folder)


@pytest.mark.parametrize("call", BY_PATH)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EBUSY, errno.EROFS], ids=errno.errorcode.get)
def test_a_failing_erasure_raises_or_leaves_nothing(tmp_path: Path, call: str, number: int) -> None:
    folder = tmp_path / "template"
    agent_in(folder, "Hi.")("My secret")
    with failing(call, 0, folder) as seen:
        erase(folder)
    assert not words_left_in(folder)

    for nth in range(len(seen)):
        folder = tmp_path / str(nth)
        agent_in(folder, "Hi.")("My secret")
        try:
            with failing(call, number, folder, the(nth)):
                erase(folder)
        except SessionException as error:
            assert str(folder) in str(error)  # noqa: PT017 - either is right
            closed = is_closed(folder)
            assert closed or len(restored(folder)) == 2, "neither closed nor whole"
            if (folder / "session_chat").exists():
                erase_again(folder)
        assert not words_left_in(folder)
        assert not (folder / "session_chat").exists()


def is_closed(folder: Path) -> bool:
    try:
        FileSessionStore(folder).describe("chat")
    except SessionNotFoundError:
        return True
    return False


def erase_again(folder: Path) -> None:
    with contextlib.suppress(SessionNotFoundError):  # nothing but empty folders was left, which are gone now
        erase(folder)


def test_an_erasure_deletes_all_it_can_before_it_names_what_is_left(folder: Path) -> None:
    stuck = folder / MESSAGES / "message_0.json"
    hold = lambda path, number: path == str(stuck)  # noqa: E731 - a predicate

    with failing("unlink", errno.EPERM, folder, hold), pytest.raises(SessionStorageError) as caught:
        erase(folder)

    files = [path for path in (folder / "session_chat").rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["message_0.json", "session.json"]
    assert f"{stuck} (EPERM)" in str(caught.value)
    assert caught.value.key == str(stuck)
    assert caught.value.session_id == "chat"


def test_many_that_are_left_are_counted_and_the_first_are_named(folder: Path) -> None:
    for number in range(2, 60):
        (folder / MESSAGES / f"message_{number}.json").write_text("{}")
    hold = lambda path, number: "/message_" in path  # noqa: E731 - a predicate

    with failing("unlink", errno.EPERM, folder, hold), pytest.raises(SessionStorageError) as caught:
        erase(folder)

    assert str(caught.value).count("(EPERM)") == 20
    assert "40 more" in str(caught.value)


def test_of_several_reasons_one_that_does_not_pass_is_told(folder: Path) -> None:
    reasons = {"message_0.json": errno.EIO, "message_1.json": errno.EACCES}
    real = os.unlink

    def unlink(path: str, **options: object) -> None:
        if (number := reasons.get(Path(path).name)) is not None:
            raise OSError(number, os.strerror(number), path)
        real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        with pytest.raises(SessionStorageError) as caught:
            erase(folder)

    assert (caught.value.code, caught.value.is_transient) == ("EACCES", False)


def test_a_file_that_a_dead_process_was_writing_goes_too_however_young_it_is(folder: Path) -> None:
    (folder / MESSAGES / ".writing-0123.tmp").write_bytes(b'{"message": "my secret')

    erase(folder)

    assert not (folder / "session_chat").exists()


def test_links_in_the_session_go_and_what_they_lead_to_stays(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("mine")
    (folder / MESSAGES / "photos").symlink_to(tmp_path / "photos", target_is_directory=True)
    (folder / MESSAGES / "one.jpg").symlink_to(tmp_path / "photos" / "one.jpg")
    (folder / MESSAGES / "dangling").symlink_to(tmp_path / "nowhere")

    erase(folder)

    assert not (folder / "session_chat").exists()
    assert (tmp_path / "photos" / "one.jpg").read_text() == "mine"


def test_a_session_folder_that_is_a_link_is_refused_and_what_it_leads_to_stays(folder: Path, tmp_path: Path) -> None:
    (folder / "session_chat").rename(tmp_path / "elsewhere")
    (folder / "session_chat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    with pytest.raises(SessionStorageError, match="symbolic link"):
        erase(folder)

    assert (tmp_path / "elsewhere" / "session.json").is_file()


def test_deep_folders_that_somebody_has_made_in_it_go_too(folder: Path) -> None:
    deep = folder / "session_chat" / "/".join(["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "file").write_text("secret")

    erase(folder)

    assert not (folder / "session_chat").exists()


WRITES: dict[str, Callable[[FileObjects, str], object]] = {
    "a new record": lambda objects, etag: objects.put(f"{MESSAGES}/message_9.json", b"{}", Absent()),
    "the session's record": lambda objects, etag: objects.put("session_chat/session.json", b"{}", Unchanged(etag)),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_writer_whose_unfinished_file_is_erased_writes_again(
    folder: Path, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = FileObjects(folder)
    found = objects.get("session_chat/session.json")
    assert found is not None
    real = os.fsync
    erased: list[Path] = []

    def erased_meanwhile(descriptor: int) -> None:
        real(descriptor)
        for path in folder.rglob(".writing-*"):
            if len(erased) < 2:
                erased.append(path)
                path.unlink()

    monkeypatch.setattr(os, "fsync", erased_meanwhile)
    WRITES[write](objects, found.etag)

    assert len(erased) == 2
    assert not list(folder.rglob(".writing-*"))


def test_a_writer_whose_folder_is_erased_again_and_again_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def erased_meanwhile(descriptor: int) -> None:
        real(descriptor)
        for path in folder.rglob(".writing-*"):
            path.unlink()

    monkeypatch.setattr(os, "fsync", erased_meanwhile)
    with pytest.raises(SessionStorageError) as caught:
        FileObjects(folder).put(f"{MESSAGES}/message_9.json", b"{}", Absent())

    assert (caught.value.code, caught.value.is_transient) == ("ENOENT", True)


def test_a_session_of_which_only_empty_folders_are_left_is_not_there_and_they_go(folder: Path) -> None:
    erase(folder)
    (folder / AGENT).mkdir(parents=True)

    with pytest.raises(SessionNotFoundError):
        erase(folder)

    assert not (folder / "session_chat").exists()


def test_deleting_several_records_goes_on_behind_one_that_cannot_be_deleted(folder: Path) -> None:
    objects = FileObjects(folder)
    keys = [f"{MESSAGES}/message_{number}.json" for number in (0, 1)]
    hold = lambda path, number: path.endswith("message_0.json")  # noqa: E731 - a predicate

    with failing("unlink", errno.EPERM, folder, hold), pytest.raises(SessionStorageError, match=r"message_0\.json"):
        objects.delete(keys)

    assert [path.name for path in (folder / MESSAGES).iterdir()] == ["message_0.json"]


def test_the_remains_of_a_deleted_but_open_file_on_nfs_are_no_failure_and_no_record(folder: Path) -> None:
    kept = folder / MESSAGES / ".nfs0000000000000001"
    kept.write_bytes((folder / MESSAGES / "message_0.json").read_bytes())
    hold = lambda path, number: "/.nfs" in path  # noqa: E731 - a predicate
    assert [entry.key for entry in FileObjects(folder).list(MESSAGES + "/")] == [
        f"{MESSAGES}/message_0.json",
        f"{MESSAGES}/message_1.json",
    ]

    with failing("unlink", errno.EBUSY, folder, hold):
        erase(folder)

    assert [path for path in (folder / "session_chat").rglob("*") if path.is_file()] == [kept]
    assert restored(folder) == []


def test_a_manager_erases_as_the_store_does(folder: Path) -> None:
    hide = lambda path, number: path == str(folder / MESSAGES)  # noqa: E731 - a predicate

    with failing("scandir", errno.EACCES, folder, hide), pytest.raises(SessionStorageError):
        FileSessionManager("other", str(folder)).delete_session("chat")

    with pytest.raises(SessionNotFoundError):
        FileSessionStore(folder).describe("chat")
