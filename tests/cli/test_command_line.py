"""What holds for every command: how it is called, how it fails, what a terminal and a script get."""

import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from agent_sessions_cli.commands import agent_sessions
from agent_sessions_cli.reference import page
from tests.cli.conftest import ROOT, Terminal
from tests.doubles.s3_server import S3Server


def start(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(ROOT / "layer"), str(ROOT / "cli")))
    return subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_page_says_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "CLI.md").read_text(encoding="utf-8") == page()


def test_the_module_is_the_command_and_a_pipe_gets_no_colours(on_folder: Terminal) -> None:
    on_folder.talk("ada", "One.")

    ran = start("-m", "agent_sessions_cli", "show", "ada", AGENT_SESSIONS_STORE=on_folder.url)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "One." in ran.stdout
    assert "\x1b" not in ran.stdout


def test_a_terminal_gets_colours(on_folder: Terminal) -> None:
    on_folder.talk("ada", "One.")
    ours, theirs = pty.openpty()

    ran = subprocess.run(
        [sys.executable, "-m", "agent_sessions_cli", "show", "ada", "--store", on_folder.url],
        env={key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        | {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join((str(ROOT / "layer"), str(ROOT / "cli")))},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        check=False,
        timeout=60,
    )
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)

    assert ran.returncode == 0
    assert "\x1b[1;32massistant" in shown


def test_without_its_packages_it_says_what_to_install() -> None:
    hidden = "import sys; sys.modules['click'] = None; from agent_sessions_cli.__main__ import main; main()"

    ran = start("-c", hidden)

    assert ran.returncode == 1
    assert ran.stderr == "Error: click is not installed. Install it: pip install 'agent-session-kit[cli]'\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--store", "ftp://x"], "must be s3://bucket/prefix or file:///absolute/folder"),
        (["--store", "s3://user:secret@bucket"], "credentials"),
        (["--store", "file:///nowhere", "--profile", "work"], "belong to a store on S3"),
        (["--store", "s3://bucket", "--profile", "nobody-has-it"], "nobody-has-it"),
        (["--store", "file:///nowhere", "--owner", "ada"], "--owner needs --issuer"),
        (["--store", "file:///nowhere", "--issuer", "local"], "--issuer goes with --owner"),
        (["--store", "file:///nowhere", "--ttl-days", "-1"], "--ttl-days"),
        (["--store", "file:///nowhere", "--limit", "0"], "--limit"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENT_SESSIONS_STORE", raising=False)

    ran = CliRunner().invoke(agent_sessions, ["ls", *words])

    assert ran.exit_code == 2
    assert said in ran.stderr.splitlines()[-1]
    assert "secret" not in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_refusing_storage_is_one_line_and_debug_tells_where(on_bucket: Terminal, bucket_server: S3Server) -> None:
    on_bucket.talk("ada", "One.")
    client = bucket_server.client()
    client.delete_objects(
        Bucket="sessions", Delete={"Objects": [{"Key": key} for key in bucket_server.objects("sessions")]}
    )
    client.delete_bucket(Bucket="sessions")

    plain, debugged = on_bucket.run("ls"), on_bucket.run("ls", "--debug")

    assert plain.exit_code == debugged.exit_code == 7
    assert len(plain.stderr.splitlines()) == 1
    assert "Check the bucket in --store" in plain.stderr
    assert "Traceback" in debugged.stderr


def test_ctrl_c_ends_a_command_with_a_code_of_its_own(on_folder: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(on_folder.store), "sessions", interrupt)

    seen = on_folder.run("ls")

    assert (seen.exit_code, seen.stderr) == (130, "Error: Stopped.\n")
