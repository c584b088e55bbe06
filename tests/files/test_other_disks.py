"""Sessions on disks that are full, read-only, or not like this one. What cannot be mounted here is told as left out."""

import contextlib
import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_sessions.exceptions import (
    InvalidIdentifierError,
    SessionException,
    SessionNotFoundError,
    SessionStorageError,
)
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import FileSessionStore
from tests.files.conversation import MESSAGES, agent_in, ours, restored
from tests.files.disks import ext4_that_ignores_case, remount, small_disk
from tests.files.odd_disk import Oddities, mounted, why_not

ROOT = Path(__file__).parents[2]


# --- full ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["size=64k", "size=8m,nr_inodes=24"], ids=["no space", "no room for another file"])
def full(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A session on a disk that has no room for another file."""
    with small_disk(tmp_path / "disk", request.param) as disk:
        folder = disk / "sessions"
        agent_in(folder, "Hi.")("Hello")
        with SessionLease(FileSessionStore(folder), "warm-up", holder="test"):
            pass
        fill(disk)
        yield folder


def fill(disk: Path) -> None:
    (disk / "filler").mkdir()
    with contextlib.suppress(OSError):
        for number in range(100):
            (disk / "filler" / str(number)).write_bytes(b"x" * 4096)


def make_room(folder: Path) -> None:
    for path in (folder.parent / "filler").iterdir():
        path.unlink()


def assert_full(error: SessionException) -> None:
    assert isinstance(error, SessionStorageError)
    assert (error.code, error.is_transient) == ("ENOSPC", True)


def test_a_turn_that_finds_the_disk_full_is_refused_and_the_next_one_works(full: Path) -> None:
    agent = agent_in(full, "never said")
    with pytest.raises(Exception, match="No space left") as caught:
        agent("x" * 5_000)
    assert_full(ours(caught.value))
    assert restored(full) == ["Hello", "Hi."]
    assert not list(full.rglob(".writing-*"))

    make_room(full)
    agent_in(full, "Again.")("Once more")

    assert restored(full) == ["Hello", "Hi.", "Once more", "Again."]


def test_a_new_session_on_a_full_disk_is_refused_and_can_begin_later(
    full: Path,
) -> None:
    with pytest.raises(SessionStorageError) as caught:
        agent_in(full, session_id="new" + "x" * 200)
    assert_full(caught.value)

    make_room(full)
    assert restored(full, "new" + "x" * 200) == []


def test_a_lease_that_finds_the_disk_full_is_not_held(full: Path) -> None:
    before = sorted(full.rglob("*"))
    for _ in range(3):
        with pytest.raises(SessionStorageError) as caught:
            SessionLease(FileSessionStore(full), "chat", holder="h" * 5_000).acquire()
        assert_full(caught.value)
    assert sorted(full.rglob("*")) == before

    make_room(full)
    with SessionLease(FileSessionStore(full), "chat", holder="test") as lease:
        assert lease.held


def test_an_erasure_that_finds_the_disk_full_is_refused_or_whole(full: Path) -> None:
    store = FileSessionStore(full)
    try:
        store.delete_session("chat")
    except SessionStorageError as error:
        assert_full(error)
        assert restored(full) == ["Hello", "Hi."]
        make_room(full)
        store.delete_session("chat")

    assert not (full / "session_chat").exists()


# --- read-only -----------------------------------------------------------------------------------------------------


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A session on a disk that was mounted for reading alone since."""
    with small_disk(tmp_path / "disk") as disk:
        agent_in(disk / "sessions", "Hi.")("Hello")
        remount(disk, "ro")
        yield disk / "sessions"


def test_on_a_read_only_disk_a_session_can_be_read(read_only: Path) -> None:
    store = FileSessionStore(read_only)

    assert restored(read_only) == ["Hello", "Hi."]
    assert store.sessions().session_ids == ("chat",)
    assert store.describe("chat").agents[0].message_count == 2
    assert len(store.messages("chat").messages) == 2


def test_on_a_read_only_disk_everything_else_is_refused_for_good(read_only: Path) -> None:
    store = FileSessionStore(read_only)
    agent = agent_in(read_only, "never said")

    for act in (
        lambda: agent("Once more"),
        lambda: store.delete_session("chat"),
        lambda: agent_in(read_only, session_id="new"),
        lambda: SessionLease(store, "chat", holder="test").acquire(),
        lambda: SessionLease(store, "new", holder="test").acquire(),
    ):
        with pytest.raises(SessionStorageError) as caught:
            act()
        assert (caught.value.code, caught.value.is_transient) == ("EROFS", False)

    assert restored(read_only) == ["Hello", "Hi."]


# --- not like this one -----------------------------------------------------------------------------------------------

DISKS = {
    "SMB": Oddities(link=errno.EOPNOTSUPP, flush_folder=errno.EINVAL, ignores_case=True),
    "exFAT": Oddities(link=errno.EPERM, ignores_case=True),
    "macOS": Oddities(ignores_case=True, composes=True),
    "a virtual machine's": Oddities(link=errno.EPERM, flush_folder=errno.EINVAL),
    "NFS without locks": Oddities(lock=errno.ENOLCK),
    "Lustre without locks": Oddities(lock=errno.ENOSYS),
    "nothing but files": Oddities(
        link=errno.ENOSYS, flush=errno.ENOSYS, flush_folder=errno.ENOTSUP, lock=errno.ENOTSUP
    ),
    "like this one": Oddities(),
}


@pytest.fixture(params=DISKS)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    reason = why_not()
    if reason is not None:
        pytest.skip(f"left out: {reason}")
    with mounted(tmp_path / "behind", tmp_path / "disk", DISKS[request.param]) as disk:
        yield disk / "sessions"


@pytest.fixture(params=["through FUSE", "ext4"])
def ignoring_case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "ext4":
        with ext4_that_ignores_case(tmp_path / "ext4") as folder:
            yield folder / "sessions"
        return
    reason = why_not()
    if reason is not None:
        pytest.skip(f"left out: {reason}")
    with mounted(tmp_path / "behind", tmp_path / "disk", Oddities(ignores_case=True, composes=True)) as disk:
        yield disk / "sessions"


def test_a_conversation_goes_on_from_process_to_process_and_is_erased(odd: Path) -> None:
    store = FileSessionStore(odd)
    for number in range(3):
        with SessionLease(store, "chat", holder="test") as lease:
            assert lease.held
            agent_in(odd, f"Answer {number}.", lease=lease)(f"Question {number}")

    assert len(restored(odd)) == 6
    assert [page.message_count for page in store.describe("chat").agents] == [6]
    store.delete_session("chat")
    assert store.sessions().session_ids == ()
    assert not (odd / "session_chat").exists()


CREATE = """
import sys
from pathlib import Path
from agent_sessions._storage.file_objects import FileObjects
from agent_sessions.object_store import Absent, PreconditionFailedError
objects = FileObjects(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    try:
        objects.put(f"record-{number}.json", b'{"writer": "%s"}' % sys.argv[2].encode(), Absent())
    except PreconditionFailedError:
        continue
    print(number, flush=True)
"""


def test_of_several_processes_that_create_one_record_one_does(odd: Path) -> None:
    writers, records = 4, 40
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, str(odd), str(writer), str(records)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT / "layer")},
        )
        for writer in range(writers)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    created = [process.communicate(timeout=100)[0].split() for process in processes]

    by_record = {number: writer for writer, numbers in enumerate(created) for number in numbers}
    assert sum(len(numbers) for numbers in created) == records == len(by_record)
    for number, writer in by_record.items():
        assert json.loads((odd / f"record-{number}.json").read_text()) == {"writer": str(writer)}


@pytest.mark.parametrize("other", ["ada", "ADA", "aDa"])
def test_on_a_disk_that_ignores_case_the_second_of_two_alike_is_refused(ignoring_case: Path, other: str) -> None:
    agent_in(ignoring_case, "Hi Ada.", session_id="Ada")("It is me")
    store = FileSessionStore(ignoring_case)

    with pytest.raises(InvalidIdentifierError):
        agent_in(ignoring_case, session_id=other)
    for act in (lambda: store.delete_session(other), lambda: store.messages(other)):
        with pytest.raises(SessionNotFoundError):
            act()

    assert restored(ignoring_case, "Ada") == ["It is me", "Hi Ada."]
    assert store.sessions().session_ids == ("Ada",)
    store.delete_session("Ada")
    assert restored(ignoring_case, other) == []


def test_a_message_that_was_stored_is_one_file_with_one_content(odd: Path) -> None:
    agent_in(odd, "Hi.")("Hello")

    names = sorted(path.name for path in (odd / MESSAGES).iterdir())
    assert names == ["message_0.json", "message_1.json"]
    records: list[Any] = [json.loads((odd / MESSAGES / name).read_text()) for name in names]
    assert [record["message"]["content"][0]["text"] for record in records] == ["Hello", "Hi."]
