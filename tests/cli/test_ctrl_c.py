"""Ctrl-C, as a terminal sends it: a command stops at once, though a storage keeps its threads waiting."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_sessions.exceptions import SessionNotFoundError
from agent_sessions.owner import owner_prefix
from agent_sessions.session_store import FileSessionStore, S3SessionStore
from tests.cli.conftest import BUCKET, ROOT, Terminal
from tests.doubles.s3_server import Fault, S3Server

AT_ONCE_SECONDS = 2.0
"""About a second, on a busy machine."""

# A shell that starts a process in the background has it ignore SIGINT.
_COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from agent_sessions_cli.__main__ import main
main()
"""
NAMES = ("ada", "bob", "eve")


@pytest.fixture
def slow(bucket_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """Three sessions on S3."""
    for name, value in {"ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket_server.reset()
    store = S3SessionStore(bucket_server.client(), BUCKET, "chat")
    terminal = Terminal(store, f"s3://{BUCKET}/chat", ("--endpoint-url", bucket_server.url))
    for name in NAMES:
        terminal.talk(name, "Hello.", "Again.")
    yield terminal
    bucket_server.faults.clear()


def stopped(s3: S3Server, fault: Fault, *words: str) -> tuple[int, str, str, float]:
    """Run a command in a process of its own, and send it SIGINT when a request of it hangs."""
    path = os.pathsep.join(str(ROOT / name) for name in ("layer", "client", "cli"))
    s3.faults.add(fault)
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *words],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert fault.arrived.wait(60), process.communicate()
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
            took = time.monotonic() - began
        finally:
            s3.faults.clear()
            process.kill()
    return process.returncode, out, err, took


@pytest.mark.parametrize(
    ("words", "verb", "key"),
    [
        (("ls",), "GET", "*session.json"),
        (("expire", "--dry-run", "--ttl-days", "1"), "GET", "*session.json"),
        (("doctor", "ada"), "GET", "*message_0.json"),
        (("show", "ada"), "GET", "*agent.json"),
        (("export", "ada"), "GET", "*message_1.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_stops_at_once(
    words: tuple[str, ...], verb: str, key: str, slow: Terminal, bucket_server: S3Server
) -> None:
    fault = Fault("hold", verb=verb, key=key, times=None)

    code, _, err, took = stopped(bucket_server, fault, *words, "--store", slow.url, *slow.options)

    assert (code, err) == (130, "Error: Stopped.\n")
    assert took < AT_ONCE_SECONDS


def test_an_erasure_of_everything_stops_at_once_and_the_same_command_goes_on(
    slow: Terminal, bucket_server: S3Server
) -> None:
    owner = owner_prefix("local", "ada")
    for name in NAMES:
        Terminal(slow.store.for_owner(owner), "").talk(name, "Hello.")
    words = ("rm", "--all-of", owner, "--yes", "--store", slow.url, *slow.options)

    code, _, err, took = stopped(bucket_server, Fault("hold", verb="PUT", key="*session.json", times=None), *words)

    assert code == 130
    assert err.startswith("Error: Not everything is erased: the command was stopped.")
    assert took < AT_ONCE_SECONDS
    assert slow.call(*words).exit_code == 0
    assert slow.store.for_owner(owner).sessions().session_ids == ()


@pytest.mark.parametrize("nth", [1, 5])
def test_a_copy_that_hangs_stops_at_once_and_the_next_goes_on(
    nth: int, slow: Terminal, bucket_server: S3Server, tmp_path: Path
) -> None:
    target = Terminal(FileSessionStore(tmp_path / "copy"), (tmp_path / "copy").as_uri())
    words = ("cp", slow.url, target.url, "--parallel", "2", *slow.options)
    fault = Fault("hold", verb="GET", key="*message_*.json", nth=nth, times=None)

    code, _, err, took = stopped(bucket_server, fault, *words)

    assert (code, err) == (130, "Error: Stopped.\n")
    assert took < AT_ONCE_SECONDS
    for name in target.store.sessions().session_ids:
        assert len(target.store.messages(name).messages) == 4
    again = slow.call(*words)
    assert again.exit_code == 0, again.output
    assert [len(target.store.messages(name).messages) for name in NAMES] == [4] * 3


def test_a_copy_that_can_be_taken_back_leaves_nothing(slow: Terminal, bucket_server: S3Server, tmp_path: Path) -> None:
    """Requests hang for a moment: the copies hear of Ctrl-C, and end as they do between sessions."""
    target = Terminal(FileSessionStore(tmp_path / "copy"), (tmp_path / "copy").as_uri())
    fault = Fault("delay", verb="GET", key="*message_*.json", times=None, seconds=0.3)

    code, _, err, took = stopped(bucket_server, fault, "cp", slow.url, target.url, *slow.options)

    assert (code, err) == (130, "Error: Stopped.\n")
    assert took < AT_ONCE_SECONDS
    assert list((tmp_path / "copy").rglob("*.json")) == []
    with pytest.raises(SessionNotFoundError):
        target.store.describe("ada")


# The signal is another thread's, as far as the system goes: the main thread waits on, and nothing wakes it.
_UNSEEN = """
import signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from agent_sessions_cli.stopping import ctrl_c_that_is_heard

def interrupt():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

with ctrl_c_that_is_heard():
    for _ in range(2):
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("heard")
    time.sleep(0.5)  # once each
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_a_signal_that_does_not_wake_the_main_thread_is_heard_once() -> None:
    path = os.pathsep.join(str(ROOT / name) for name in ("layer", "client", "cli"))
    run = subprocess.run(
        [sys.executable, "-c", _UNSEEN],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (run.stdout.split(), run.stderr) == (["heard", "heard", "True"], "")
