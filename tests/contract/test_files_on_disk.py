"""What the file manager promises beyond the contract: private, whole and not to be led astray by a symbolic link."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.contract.agents import open_agent, texts
from tests.contract.subjects import Subject, file_subject

MESSAGES = "session_conversation/agents/agent_a1/messages"
AGENT = "session_conversation/agents/agent_a1/agent.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def on_disk(folder: Path) -> Subject:
    return file_subject("file", folder)


def agent_record(subject: Subject, state: dict[str, Any]) -> Any:
    return subject.types.SessionAgent(agent_id="a1", state=state, conversation_manager_state={})


def test_sessions_lie_below_the_home_folder_unless_told_otherwise(tmp_path: Path, monkeypatch: Any) -> None:
    from agent_sessions.file_session_manager import FileSessionManager

    monkeypatch.setenv("HOME", str(tmp_path))
    FileSessionManager("s1")

    folder = tmp_path / ".strands" / "sessions"
    assert (folder / "session_s1" / "session.json").is_file()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_only_the_user_may_look_whatever_the_umask_says(on_disk: Subject, folder: Path) -> None:
    previous = os.umask(0)
    try:
        open_agent(on_disk, "Hi.", "Hi again.")("Hello")
    finally:
        os.umask(previous)

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


@pytest.mark.parametrize("key", [AGENT, f"{MESSAGES}/message_0.json", "session_conversation/session.json"])
def test_a_record_that_is_a_symbolic_link_is_refused_when_it_is_read(
    on_disk: Subject, folder: Path, tmp_path: Path, key: str
) -> None:
    open_agent(on_disk, "Hi.")("Hello")
    stolen = tmp_path / "stolen.json"
    (folder / key).rename(stolen)
    (folder / key).symlink_to(stolen)

    with pytest.raises(on_disk.session_exception, match="symbolic link"):
        open_agent(on_disk)


def test_a_record_that_is_a_symbolic_link_is_never_written_through(
    on_disk: Subject, folder: Path, tmp_path: Path
) -> None:
    manager = on_disk.manager()
    manager.create_agent("conversation", agent_record(on_disk, {"count": 1}))
    target = tmp_path / "somebody-elses.json"
    target.write_bytes((folder / AGENT).read_bytes())
    before = target.read_bytes()
    (folder / AGENT).unlink()
    (folder / AGENT).symlink_to(target)

    with pytest.raises(on_disk.session_exception):
        manager.update_agent("conversation", agent_record(on_disk, {"count": 2}))

    assert target.read_bytes() == before


def test_a_new_record_is_not_written_through_a_dangling_link(on_disk: Subject, folder: Path, tmp_path: Path) -> None:
    agent = open_agent(on_disk, "never said")
    target = tmp_path / "not-yet-there.json"
    (folder / MESSAGES).mkdir(exist_ok=True, parents=True)
    (folder / MESSAGES / "message_0.json").symlink_to(target)

    with pytest.raises(on_disk.session_exception):
        agent("Hello")

    assert not target.exists()


def test_a_folder_that_is_a_symbolic_link_is_refused(on_disk: Subject, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "session_conversation").symlink_to(elsewhere, target_is_directory=True)

    with pytest.raises(on_disk.session_exception):
        on_disk.manager()

    assert list(elsewhere.iterdir()) == []


def test_links_at_guessable_temporary_names_lead_nobody_astray(on_disk: Subject, folder: Path, tmp_path: Path) -> None:
    open_agent(on_disk, "Hi.")("Hello")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    for name in ("message_2.json.tmp", "message_2.tmp", ".message_2.json.tmp", "message_2.json~"):
        (folder / MESSAGES / name).symlink_to(victim)

    open_agent(on_disk, "Hi again.")("Hello again")

    assert victim.read_text() == "untouched"
    assert (folder / MESSAGES / "message_2.json").is_file()


def test_no_two_writes_use_the_same_temporary_name(on_disk: Subject, monkeypatch: Any) -> None:
    opened: list[str] = []
    original = os.open

    def spy(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT and flags & os.O_EXCL:
            opened.append(str(path))
        return original(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", spy)
    manager = on_disk.manager()
    manager.create_agent("conversation", agent_record(on_disk, {}))
    for count in range(5):
        manager.update_agent("conversation", agent_record(on_disk, {"count": count}))

    assert len(opened) >= 7
    assert len(set(opened)) == len(opened)


def test_a_write_that_fails_leaves_the_old_record_and_nothing_else(
    on_disk: Subject, folder: Path, monkeypatch: Any
) -> None:
    manager = on_disk.manager()
    manager.create_agent("conversation", agent_record(on_disk, {"count": 1}))
    before = sorted(path for path in folder.rglob("*") if path.is_file())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(on_disk.session_exception):
        manager.update_agent("conversation", agent_record(on_disk, {"count": 2}))
    monkeypatch.undo()

    assert manager.read_agent("conversation", "a1").state == {"count": 1}
    after = sorted(path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    assert after == [path for path in before if ".locks" not in path.parts]


def test_a_state_that_is_no_json_is_refused_and_the_old_one_stays(on_disk: Subject, folder: Path) -> None:
    manager = on_disk.manager()
    manager.create_agent("conversation", agent_record(on_disk, {"count": 1}))

    with pytest.raises(on_disk.session_exception, match="JSON"):
        manager.update_agent("conversation", agent_record(on_disk, {"count": object()}))

    assert manager.read_agent("conversation", "a1").state == {"count": 1}
    assert [path.name for path in (folder / AGENT).parent.iterdir() if path.is_file()] == ["agent.json"]


def test_temporary_files_of_a_process_that_died_are_not_taken_for_messages(on_disk: Subject, folder: Path) -> None:
    open_agent(on_disk, "Hi.")("Hello")
    for name in (".message_2.json.x7f3", "message_2.json.tmp", ".writing-abc.tmp"):
        (folder / MESSAGES / name).write_bytes(b'{"message": ')

    agent = open_agent(on_disk, "Hi again.")
    agent("Hello again")

    assert texts(list(agent.messages)) == ["Hello", "Hi.", "Hello again", "Hi again."]
    assert [entry.message_id for entry in on_disk.repository().list_messages("conversation", "a1")] == [0, 1, 2, 3]


def test_a_folder_that_may_not_be_written_is_a_storage_error(on_disk: Subject, monkeypatch: Any) -> None:
    from agent_sessions.exceptions import SessionStorageError

    agent = open_agent(on_disk, "never said")

    def refuse(*args: Any, **kwargs: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(SessionStorageError) as caught:
        agent("Hello")

    assert caught.value.key is not None
    assert caught.value.key.endswith("message_0.json")
