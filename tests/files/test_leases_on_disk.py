"""A lease that cannot be taken is not held: no lock, no file, no descriptor stays."""

import errno
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from agent_sessions.exceptions import SessionBusyError, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.session_store import FileSessionStore
from tests.files.conversation import agent_in
from tests.files.faults import failing, name_of, open_descriptors

NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.EACCES, errno.ESTALE)
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors where Linux shows them")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    lease_of(folder).acquire()  # the store's locks are known to work, as in a process that has taken one before
    return folder


def lease_of(folder: Path, session_id: str = "warm-up", **options: Any) -> SessionLease:
    return SessionLease(FileSessionStore(folder), session_id, holder="test", **options)


@pytest.mark.parametrize("call", ["open", "write", "ftruncate", "fstat", "lstat"])
@pytest.mark.parametrize("number", NUMBERS, ids=name_of)
@pytest.mark.parametrize("session", ["new", "known"])
def test_a_lease_that_could_not_be_taken_holds_nothing(folder: Path, call: str, number: int, session: str) -> None:
    if session == "known":
        agent_in(folder, "Hi.")("Hello")
    before, files = open_descriptors(), sorted(folder.rglob("*"))
    if call == "lstat":
        in_question = lambda path, number: path.endswith("lease.json")  # noqa: E731 - a predicate
    else:
        in_question = lambda path, number: path.endswith(("lease.json", "lease.json (deleted)"))  # noqa: E731 - a predicate

    with failing(call, number, folder / "session_chat", in_question), pytest.raises(SessionStorageError) as caught:
        lease_of(folder, "chat").acquire()

    if not (call in {"fstat", "lstat"} and number == errno.ESTALE):
        assert caught.value.code == name_of(number)
    assert caught.value.key == str(folder / "session_chat" / "lease.json")
    assert open_descriptors() == before
    with lease_of(folder, "chat") as lease:
        assert lease.held
    if call in {"write", "ftruncate"}:
        assert not lease.found_unfinished
        assert sorted(folder.rglob("*")) == files


def test_a_lease_file_that_is_written_half_is_not_left(folder: Path) -> None:
    real = os.write
    written: list[int] = []

    def until_the_disk_is_full(descriptor: int, data: bytes) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(real(descriptor, data[:10]))
        return written[0]

    with mock.patch.object(os, "write", until_the_disk_is_full), pytest.raises(SessionStorageError):
        lease_of(folder, "chat").acquire()

    assert written == [10]
    assert not (folder / "session_chat").exists()


def test_that_the_holder_before_died_is_still_known_after_a_disk_was_full(folder: Path) -> None:
    agent_in(folder, "Hi.")("Hello")
    (folder / "session_chat" / "lease.json").write_text('{"holder": "died"}')
    with failing("write", errno.ENOSPC, folder), pytest.raises(SessionStorageError):
        lease_of(folder, "chat").acquire()

    with lease_of(folder, "chat") as lease:
        assert lease.found_unfinished


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOMEM], ids=name_of)
def test_a_lock_that_fails_does_not_mean_that_the_session_is_held(folder: Path, number: int) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    before = open_descriptors()
    with mock.patch("fcntl.flock", fail), pytest.raises(SessionStorageError) as caught:
        lease_of(folder, "chat").acquire()

    assert caught.value.code == name_of(number)
    assert open_descriptors() == before


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES], ids=name_of)
def test_a_lock_that_somebody_has_says_so_and_gives_its_descriptor_back(folder: Path, number: int) -> None:
    def held(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    before = open_descriptors()
    with mock.patch("fcntl.flock", held), pytest.raises(SessionBusyError):
        lease_of(folder, "chat").acquire()

    assert open_descriptors() == before


def test_what_the_file_says_of_its_holder_need_not_be_readable(folder: Path) -> None:
    with lease_of(folder, "chat"), failing("pread", errno.EIO, folder), pytest.raises(SessionStorageError) as caught:
        lease_of(folder, "chat").acquire()

    assert caught.value.code == "EIO"
    for body in (b"\xff\xfe", b"[" * 60_000, b"null", b'{"holder": 5}'):
        with lease_of(folder, "chat"):
            (folder / "session_chat" / "lease.json").write_bytes(body)
            with pytest.raises(SessionBusyError) as busy:
                lease_of(folder, "chat").acquire()
            assert busy.value.holder is None


def test_a_lease_that_cannot_be_given_back_lets_go_of_its_lock(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = open_descriptors()
    lease = lease_of(folder, "chat")
    lease.acquire()

    with failing("unlink", errno.EIO, folder):
        lease.release()

    assert "EIO" in caplog.text
    assert open_descriptors() == before
    with lease_of(folder, "chat") as lease:
        assert lease.found_unfinished


def test_a_holder_that_cannot_tell_whether_it_still_holds_the_lease_does_not_believe_it(folder: Path) -> None:
    with lease_of(folder, "chat") as lease:
        with failing("lstat", errno.EIO, folder):
            assert lease.lost
            assert not lease.held
            assert not lease.renew()
        assert lease.held


def test_a_file_that_is_another_one_each_time_is_an_error_and_no_endless_loop(folder: Path) -> None:
    before = open_descriptors()
    with mock.patch("os.path.samestat", return_value=False), pytest.raises(SessionStorageError) as caught:
        lease_of(folder, "chat").acquire()

    assert caught.value.code == "EBUSY"
    assert open_descriptors() == before
