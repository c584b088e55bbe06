"""``agent-sessions cp``: sessions go from store to store whole, verified, or not at all."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.lease import SessionLease
from agent_sessions.object_store import Absent, Unchanged
from agent_sessions.owner import owner_prefix
from agent_sessions.session_store import FileSessionStore, S3SessionStore, SessionStore
from agent_sessions_cli import copying
from agent_sessions_cli.progress import Work
from tests.cli.conftest import BUCKET, ROOT, Terminal
from tests.concurrency.killing import EVERYTHING
from tests.doubles.s3_server import Fault, S3Server


@pytest.fixture
def elsewhere(tmp_path: Path) -> Terminal:
    folder = tmp_path / "elsewhere"
    return Terminal(FileSessionStore(folder), folder.as_uri())


@pytest.fixture
def other_prefix(on_bucket: Terminal, bucket_server: S3Server) -> Terminal:
    return Terminal(S3SessionStore(bucket_server.client(), BUCKET, "copy"), f"s3://{BUCKET}/copy", on_bucket.options)


def copy(source: Terminal, target: Terminal, *words: str) -> Any:
    to = [part.replace("--endpoint-url", "--to-endpoint-url") for part in target.options]
    return source.call("cp", source.url, target.url, *words, *source.options, *to)


def below(store: SessionStore) -> dict[str, bytes]:
    """The records of a store by their names below its prefix; a lease, which a store may keep, is none."""
    listed = (entry.key for entry in store.objects.list(store.layout.root))
    keys = [key for key in listed if "/.locks/" not in key and not key.endswith("/lease.json")]
    found = {key: store.objects.get(key) for key in keys}
    return {key.removeprefix(store.layout.root): stored.body for key, stored in found.items() if stored is not None}


@pytest.fixture
def three(terminal: Terminal) -> Terminal:
    for name in ("ada", "bob", "eve"):
        terminal.talk(name, f"Hello, {name}.", "Again.")
    return terminal


def test_every_session_arrives_byte_for_byte_and_a_second_copy_finds_it(three: Terminal, elsewhere: Terminal) -> None:
    first, second = copy(three, elsewhere), copy(three, elsewhere, "--json")

    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert below(elsewhere.store) == below(three.store)
    assert first.output.startswith("3 sessions copied")
    assert [json.loads(line).get("became") for line in second.output.splitlines()] == ["was there already"] * 3 + [None]
    elsewhere.talk("ada", "And on.")
    assert len(elsewhere.store.messages("ada").messages) == 6


def test_between_prefixes_of_one_s3_the_storage_copies_and_only_what_titles_a_session_is_read(
    on_bucket: Terminal, other_prefix: Terminal, bucket_server: S3Server
) -> None:
    on_bucket.talk("ada", "One.", "Two.")
    bucket_server.log.take()

    told = copy(on_bucket, other_prefix, "--json", "ada")

    assert told.exit_code == 0, told.output
    row = json.loads(told.output.splitlines()[0])
    assert row["by_storage"] == row["records"] - 1 == 5
    read = {entry.key for entry in bucket_server.log.entries if entry.verb == "GET" and "message_" in entry.key}
    assert {key.rpartition("/")[2] for key in read} <= {"message_0.json"}
    assert below(other_prefix.store) == below(on_bucket.store)


def test_where_etags_say_nothing_of_the_bytes_they_are_compared(
    on_bucket: Terminal, other_prefix: Terminal, bucket_server: S3Server, elsewhere: Terminal
) -> None:
    bucket_server.store.etags = "random"
    try:
        on_bucket.talk("ada", "One.")
        there, back = copy(on_bucket, other_prefix), copy(other_prefix, elsewhere)
        again = copy(on_bucket, other_prefix, "--json")
    finally:
        bucket_server.store.etags = "md5"

    assert (there.exit_code, back.exit_code, again.exit_code) == (0, 0, 0)
    assert below(elsewhere.store) == below(on_bucket.store) == below(other_prefix.store)
    assert json.loads(again.output.splitlines()[-1]) == {"copied": 0, "same": 1, "bytes": 0}


def test_another_session_is_not_overwritten_and_the_others_are_copied(three: Terminal, elsewhere: Terminal) -> None:
    elsewhere.talk("bob", "Mine.")
    mine = below(elsewhere.store)

    told = copy(three, elsewhere)

    assert told.exit_code == 4
    assert "session bob: not copied: another session is there" in told.stdout
    assert mine.items() <= below(elsewhere.store).items()
    assert set(elsewhere.store.sessions().session_ids) == {"ada", "bob", "eve"}


def test_a_session_in_use_is_not_copied(three: Terminal, elsewhere: Terminal) -> None:
    with SessionLease(three.store, "bob", holder="a turn"):
        told = copy(three, elsewhere)

    assert told.exit_code == 5
    assert "session bob: not copied: it is being used" in told.stdout
    assert elsewhere.store.sessions().session_ids == ("ada", "eve")
    assert copy(three, elsewhere).exit_code == 0
    assert below(elsewhere.store) == below(three.store)


def test_a_session_that_changes_meanwhile_leaves_nothing(
    on_folder: Terminal, elsewhere: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_folder.talk("ada", "One.")
    objects = type(on_folder.store.objects)
    read, key = objects.get, on_folder.store.layout.message("ada", "default", 0)

    def get(self: Any, wanted: str) -> Any:
        if wanted == key:
            monkeypatch.setattr(objects, "get", read)
            on_folder.talk("ada", "Meanwhile.")  # takes no lease
        return read(self, wanted)

    monkeypatch.setattr(objects, "get", get)
    told = copy(on_folder, elsewhere)

    assert told.exit_code == 5, told.output
    assert below(elsewhere.store) == {}


def test_what_reads_otherwise_than_it_was_written_ends_the_copy(
    on_folder: Terminal, on_bucket: Terminal, bucket_server: S3Server
) -> None:
    on_folder.talk("ada", "One.")
    bucket_server.store.etags = "random"
    bucket_server.faults.add(Fault("call", verb="GET", key="*message_1.json", callback=lambda _: spoil(bucket_server)))
    try:
        told = copy(on_folder, on_bucket)
    finally:
        bucket_server.store.etags = "md5"

    assert told.exit_code == 7
    assert "reads otherwise" in told.stderr
    with pytest.raises(SessionNotFoundError):
        on_bucket.store.describe("ada")


def spoil(server: S3Server) -> None:
    key = next(key for key in server.objects(BUCKET) if key.endswith("message_1.json"))
    server.store.put(BUCKET, key, b"{}")


def test_owners_keep_their_sessions_or_get_others(terminal: Terminal, elsewhere: Terminal, tmp_path: Path) -> None:
    ada, bob = owner_prefix("local", "ada"), owner_prefix("local", "bob")
    terminal.talk("nobodys", "One.")
    for prefix in (ada, bob):
        Terminal(terminal.store.for_owner(prefix), "").talk("hers", f"For {prefix}.")

    everybody = copy(terminal, elsewhere, "--owner", "*")
    assert (everybody.exit_code, everybody.output) == (0, everybody.output)
    assert below(elsewhere.store) == below(terminal.store)

    folder = tmp_path / "moved"
    moved = Terminal(FileSessionStore(folder), folder.as_uri())
    one = copy(terminal, moved, "--issuer", "local", "--owner", "ada", "--to-issuer", "local", "--to-owner", "bob")
    assert one.exit_code == 0, one.output
    assert below(moved.store.for_owner(bob)) == below(terminal.store.for_owner(ada))
    assert copy(terminal, moved, "--owner", "*", "--to-owner", ada).exit_code == 2


def test_ctrl_c_leaves_nothing_that_opens_and_the_next_copy_goes_on(
    three: Terminal, elsewhere: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(copies: Any, *, timeout: float | None = None, **_: object) -> Any:
        if timeout is None:
            raise KeyboardInterrupt
        return wait(copies, timeout=30)  # the machine may be busy

    with monkeypatch.context() as patched:
        patched.setattr(copying, "wait", interrupt)
        stopped = copy(three, elsewhere)
    opened = elsewhere.store.sessions().session_ids
    wholes = {name: len(elsewhere.store.messages(name).messages) for name in opened}

    assert stopped.exit_code == 130
    assert set(wholes.values()) <= {4}
    assert copy(three, elsewhere).exit_code == 0
    assert below(elsewhere.store) == below(three.store)


def test_a_copy_that_is_killed_leaves_nothing_half_and_the_next_goes_on(
    on_folder: Terminal, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for name in ("ada", "bob"):
        on_folder.talk(name, "One.", "Two.")
    points = range(1, 40) if EVERYTHING else range(2, 18, 3)
    died = 0
    for number in points:
        folder = tmp_path / f"killed{number}"
        target = Terminal(FileSessionStore(folder), folder.as_uri())
        died += killed_at(number, ["cp", on_folder.url, target.url])
        for name in target.store.sessions().session_ids:
            assert len(target.store.messages(name).messages) == 4, number
        assert copy(on_folder, target).exit_code == 0, number
        assert below(target.store) == below(on_folder.store), number
    record_property("total: copies killed", died)
    assert died > len(points) // 3


_DYING = """
import os, signal, sys
from agent_sessions._storage.file_objects import FileObjects
from agent_sessions_cli.commands import agent_sessions

put, seen, number = FileObjects.put, [0], int(sys.argv[1])

def dying(self, key, body, expect):
    seen[0] += 1
    if seen[0] == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, key, body, expect)

FileObjects.put = dying
agent_sessions(sys.argv[2:])
"""


def killed_at(number: int, words: list[str]) -> bool:
    """Run a command in a process that dies before its n-th write; whether it did."""
    path = os.pathsep.join(str(ROOT / name) for name in ("layer", "client", "cli"))
    run = subprocess.run(
        [sys.executable, "-c", _DYING, str(number), *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert run.returncode in {0, -signal.SIGKILL}, run.stderr
    return run.returncode == -signal.SIGKILL


def test_named_sessions_alone_are_copied_and_one_that_is_not_there_is_said(
    three: Terminal, elsewhere: Terminal
) -> None:
    told = copy(three, elsewhere, "eve", "nobody")

    assert told.exit_code == 3
    assert "session nobody: not copied" in told.stdout
    assert elsewhere.store.sessions().session_ids == ("eve",)


@pytest.mark.parametrize("end", ["expired", "being erased"])
def test_what_has_ended_is_neither_copied_nor_exported_by_its_name(
    end: str, on_folder: Terminal, elsewhere: Terminal
) -> None:
    on_folder.talk("eve", "Hello.")
    options: tuple[str, ...] = ()
    if end == "expired":
        options = ("--ttl-days", "0.00000001")
    else:
        key = on_folder.store.layout.session("eve")
        found = on_folder.store.objects.get(key)
        assert found is not None
        record = json.loads(found.body)
        record["kit"]["erased"] = True
        on_folder.store.objects.put(key, json.dumps(record).encode(), Unchanged(found.etag))

    told = copy(on_folder, elsewhere, "eve", *options)
    exported = on_folder.run("export", "eve", *options)

    assert (told.exit_code, exported.exit_code) == (3, 3), told.output + exported.output
    assert "session eve: not copied" in told.stdout
    assert (exported.stdout, below(elsewhere.store)) == ("", {})


def test_records_that_cannot_be_understood_are_copied_as_they_are(three: Terminal, elsewhere: Terminal) -> None:
    folder = three.store.layout.session_folder("ada")
    three.store.objects.put(f"{folder}agents/agent_default/quarantine/message_9-x.json", b"\xff{", Absent())

    assert copy(three, elsewhere).exit_code == 0
    assert below(elsewhere.store) == below(three.store)


def test_the_bar_comes_after_a_second_with_rate_and_time_left() -> None:
    now, screen = [0.0], io.StringIO()

    def clock() -> float:
        return now[0]

    with Work("copying", lambda: 10, console=Console(file=screen, force_terminal=True, width=100), clock=clock) as work:
        work.advance()
        at_once = screen.getvalue()
        for _ in range(4):
            now[0] += 0.6
            work.advance()

    assert at_once == ""
    assert "copying" in screen.getvalue()
    assert "5/10" in screen.getvalue()
    assert "/s" in screen.getvalue()
    assert "0:00:0" in screen.getvalue()


def test_without_a_terminal_there_is_no_bar() -> None:
    seconds: Iterator[float] = iter(range(100))
    screen = io.StringIO()

    with Work("copying", lambda: 3, console=Console(file=screen), clock=lambda: next(seconds)) as work:
        for _ in range(3):
            work.advance()

    assert screen.getvalue() == ""
