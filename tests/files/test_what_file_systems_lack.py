"""Sessions work on file systems without hard links, without a flush of folders and without locks; docs/FILES.md."""

import errno
import logging
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent_sessions._storage import file_system
from agent_sessions._storage.file_locks import NO_LOCKS, FileLocks
from agent_sessions._storage.file_objects import FileObjects
from agent_sessions._storage.file_system import NO_FOLDER_FLUSH, NO_LINKS, FileSystem
from agent_sessions.exceptions import SessionBusyError, SessionStorageError
from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent, PreconditionFailedError, Unchanged
from agent_sessions.session_store import FileSessionStore
from tests.files.conversation import agent_in, ours, restored
from tests.files.faults import failing, folders_not_flushed, name_of, without_locks

NAMED = {"ids": lambda number: errno.errorcode.get(number, str(number))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def lacking() -> Any:
    """Enter what is lacking for the rest of the test."""
    with ExitStack() as stack:
        yield stack.enter_context


def turns(folder: Path) -> list[str]:
    agent_in(folder, "Hi.")("Hello")
    agent_in(folder, "Again.")("Once more")
    return restored(folder)


@pytest.mark.parametrize("number", sorted(NO_LINKS), **NAMED)  # type: ignore[arg-type] # ids
def test_without_hard_links_a_conversation_is_stored(folder: Path, number: int) -> None:
    with failing("link", number, folder) as tried:
        assert turns(folder) == ["Hello", "Hi.", "Once more", "Again."]

    assert tried


@pytest.mark.parametrize("number", sorted(NO_FOLDER_FLUSH), **NAMED)  # type: ignore[arg-type] # ids
def test_where_folders_cannot_be_flushed_a_conversation_is_stored(folder: Path, number: int) -> None:
    with folders_not_flushed(number):
        assert turns(folder) == ["Hello", "Hi.", "Once more", "Again."]


@pytest.mark.parametrize("number", sorted(file_system.NO_FLUSH), **NAMED)  # type: ignore[arg-type] # ids
def test_where_nothing_can_be_flushed_a_conversation_is_stored(folder: Path, number: int) -> None:
    with failing("fsync", number, folder):
        assert turns(folder) == ["Hello", "Hi.", "Once more", "Again."]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=name_of)
def test_a_flush_that_fails_is_an_error_for_what_was_to_be_durable_may_be_lost(folder: Path, number: int) -> None:
    agent = agent_in(folder, "never said")

    with folders_not_flushed(number), pytest.raises(Exception) as caught:
        agent("Hello")

    error = ours(caught.value)
    assert isinstance(error, SessionStorageError)
    assert error.code == name_of(number)


@pytest.mark.parametrize("number", sorted(NO_LOCKS), **NAMED)  # type: ignore[arg-type] # ids
def test_without_locks_a_conversation_is_stored(folder: Path, number: int) -> None:
    with without_locks(number):
        assert turns(folder) == ["Hello", "Hi.", "Once more", "Again."]


def test_without_links_locks_and_flushes_a_conversation_is_stored(folder: Path) -> None:
    with failing("link", errno.EPERM, folder), failing("fsync", errno.EINVAL, folder), without_locks(errno.ENOSYS):
        assert turns(folder) == ["Hello", "Hi.", "Once more", "Again."]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE], ids=name_of)
def test_a_link_that_fails_for_another_reason_is_an_error(folder: Path, number: int) -> None:
    agent = agent_in(folder, "never said")

    with failing("link", number, folder), pytest.raises(Exception) as caught:
        agent("Hello")

    error = ours(caught.value)
    assert isinstance(error, SessionStorageError)
    assert error.code == name_of(number)
    assert error.key is not None
    assert error.key.endswith("message_0.json")
    assert restored(folder) == []


# --- of many who create one record, one does -----------------------------------------------------------------


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without locks"])
def test_without_hard_links_one_of_many_creates_a_record(folder: Path, locks: bool, lacking: Any) -> None:
    lacking(failing("link", errno.EOPNOTSUPP, folder))
    if not locks:
        lacking(without_locks(errno.ENOLCK))
    objects = FileObjects(folder)
    objects.make_folder("")
    outcomes: list[bytes | None] = []

    for round_ in range(20):
        start = threading.Barrier(8)

        def create(number: int, key: str = f"record-{round_}.json", start: threading.Barrier = start) -> None:
            body = b'{"writer": %d}' % number
            start.wait()
            try:
                objects.put(key, body, Absent())
            except PreconditionFailedError:
                outcomes.append(None)
            else:
                outcomes.append(body)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        winners = [body for body in outcomes[-8:] if body is not None]
        assert len(winners) == 1
        assert (folder / f"record-{round_}.json").read_bytes() == winners[0]


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without locks"])
def test_without_hard_links_nothing_that_is_there_is_replaced(folder: Path, locks: bool, lacking: Any) -> None:
    objects = FileObjects(folder)
    objects.put("record.json", b'{"was": "there"}', Absent())
    lacking(failing("link", errno.EPERM, folder))
    if not locks:
        lacking(without_locks(errno.ENOSYS))

    with pytest.raises(PreconditionFailedError) as refused:
        objects.put("record.json", b'{"comes": "late"}', Absent())

    assert refused.value.found is not None
    assert (folder / "record.json").read_bytes() == b'{"was": "there"}'
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".locks")) == ["record.json"]


def test_a_writer_that_was_applied_without_knowing_it_is_recognised_without_links_as_well(folder: Path) -> None:
    objects = FileObjects(folder)
    with failing("link", errno.EPERM, folder):
        first = objects.put("record.json", b'{"nonce": 1}', Absent())

        assert objects.put("record.json", b'{"nonce": 1}', Absent()).etag == first.etag


def test_without_locks_the_threads_of_a_process_lose_no_update(folder: Path) -> None:
    objects = FileObjects(folder)
    objects.put("count.json", b"0", Absent())

    def add_ten() -> None:
        for _ in range(10):
            while True:
                found = objects.get("count.json")
                assert found is not None
                try:
                    objects.put("count.json", b"%d" % (int(found.body) + 1), Unchanged(found.etag))
                except PreconditionFailedError:
                    continue
                break

    with without_locks(errno.ENOSYS):
        threads = [threading.Thread(target=add_ten) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (folder / "count.json").read_bytes() == b"40"


# --- the lease ------------------------------------------------------------------------------------------------


def test_without_locks_a_lease_is_a_record_that_runs_out(folder: Path) -> None:
    store = FileSessionStore(folder)
    with without_locks(errno.ENOSYS):
        with SessionLease(store, "chat", holder="first", renew_seconds=None) as lease:
            assert lease.held
            with pytest.raises(SessionBusyError) as refused:
                SessionLease(store, "chat", holder="second", renew_seconds=None).acquire()
            assert refused.value.holder == "first"
            assert refused.value.retry_after_seconds > 1
        with SessionLease(store, "chat", holder="third", renew_seconds=None) as lease:
            assert lease.held
            assert not lease.found_unfinished

    assert not list(folder.rglob("lease.json"))


def test_without_locks_a_lease_that_was_not_given_back_is_taken_over_when_it_has_run_out(folder: Path) -> None:
    store = FileSessionStore(folder)
    with without_locks(errno.ENOLCK):
        SessionLease(store, "chat", holder="died", duration_seconds=5, renew_seconds=None).acquire()
        (left,) = folder.rglob("lease.json")
        died_at = left.stat().st_mtime - 7
        os.utime(left, (died_at, died_at))

        with SessionLease(store, "chat", holder="next", renew_seconds=None) as lease:
            assert lease.held
            assert lease.found_unfinished


# --- what is lacking is told once --------------------------------------------------------------------------------


@pytest.mark.parametrize("lacks", ["links", "flush", "locks"])
def test_what_is_lacking_is_told_once_for_a_store(
    folder: Path, lacks: str, lacking: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ways: dict[str, Any] = {
        "links": failing("link", errno.EPERM, folder),
        "flush": failing("fsync", errno.EINVAL, folder),
        "locks": without_locks(errno.ENOLCK),
    }
    lacking(ways[lacks])

    with caplog.at_level(logging.WARNING, logger="agent_sessions"):
        for session_id in ("one", "two"):
            agent_in(folder, "Hi.", session_id=session_id)("Hello")
            agent_in(folder, "Hi.", session_id=session_id)("Hello")

    told = [record.getMessage() for record in caplog.records if record.name.startswith("agent_sessions")]
    assert len(told) == 1, told
    assert str(folder) in told[0]


def test_nothing_is_told_where_nothing_is_lacking(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="agent_sessions"):
        turns(folder)

    assert [record for record in caplog.records if record.name.startswith("agent_sessions")] == []


# --- nobody waits for ever --------------------------------------------------------------------------------------


def test_a_writer_that_is_stopped_keeps_no_other_waiting_for_ever(folder: Path) -> None:
    folder.mkdir()
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    system = FileSystem(str(folder))
    with FileLocks(str(folder), system).held("key"):
        waiting = FileLocks(str(folder), system, clock=lambda: now[0], sleep=sleep)
        with pytest.raises(TimeoutError), waiting.held("key"):
            pytest.fail("two hold one lock")

    assert 9 < now[0] < 12
    with FileLocks(str(folder), system).held("key") as among_processes:
        assert among_processes


def test_it_is_told_as_something_that_can_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = FileObjects(folder)
    etag = objects.put("record.json", b"{}", Absent()).etag

    def stopped(self: FileLocks, key: str) -> Any:
        raise TimeoutError(errno.ETIMEDOUT, "another writer has held the lock for 10 s", "path")

    monkeypatch.setattr(FileLocks, "held", stopped)
    with pytest.raises(SessionStorageError) as caught:
        objects.put("record.json", b"{}", Unchanged(etag))

    assert (caught.value.code, caught.value.is_transient) == ("ETIMEDOUT", True)
