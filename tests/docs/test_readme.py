"""The README is true: its code runs, its transcript is what a user sees, its numbers are counted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from strands import Agent

from agent_sessions.s3_session_manager import S3SessionManager
from tests.docs.documents import ROOT, blocks, transcript
from tests.doubles.bedrock_server import BedrockServer
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel

README = (ROOT / "README.md").read_text()
LOCAL_URL = "http://127.0.0.1:8000"


def section(title: str) -> str:
    """What stands below a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """A user's environment: nothing of AWS but what is given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = os.pathsep.join((str(ROOT / "layer"), str(ROOT)))
    return (
        inherited
        | {
            "PYTHONPATH": path,
            "HOME": str(folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "OFFLINE_WORDS_PER_SECOND": "0",
        }
        | variables
    )


def test_the_five_lines_remember_and_the_sessions_can_be_read_without_a_runtime(tmp_path: Path) -> None:
    five_lines, reading = blocks(section("The library in five lines"), "python")
    assert len(five_lines.strip().splitlines()) == 5

    with S3Server(buckets=["my-sessions"]) as s3, BedrockServer("Nothing yet.", "You asked me that.") as bedrock:
        variables = environment(
            tmp_path,
            AWS_ENDPOINT_URL_S3=s3.url,
            AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url,
            AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="any",
            AWS_SECRET_ACCESS_KEY="any",
        )
        said = [
            subprocess.run(
                [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True, timeout=60
            ).stdout
            for code in (five_lines, five_lines, f"{reading}\nimport sys\nassert 'strands' not in sys.modules")
        ]

    assert said[:2] == ["Nothing yet.", "You asked me that."]
    assert len(bedrock.requests[1].messages) == 3
    assert [line for line in said[2].splitlines() if "Nothing yet." in line]
    assert len(said[2].splitlines()) == 4
    assert {key.split("/")[:2][1] for key in s3.objects("my-sessions", "chat/")} == {"session_ada"}


Start = Callable[..., tuple[str, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start what ``make run`` starts, ending the one before with Ctrl-C; returns its URL and its words."""
    running: list[subprocess.Popen[str]] = []

    def end() -> None:
        for process in running:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        running.clear()

    def start(**variables: str) -> tuple[str, str]:
        end()
        command = [sys.executable, "-m", "local"]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path, PORT="0", **variables), stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout
        words = ""
        for line in process.stdout:
            words += line
            if line.startswith("Ctrl-C"):
                break
        url = re.search(r"http://\S+:\d+", words)
        assert url, words
        return url[0], words

    with closing(_Finally(end)):
        yield start


class _Finally:
    """Calls a function when it is closed."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.close = function


def shell(command: str, url: str) -> str:
    """What a command of the README prints, sent to the server that is running."""
    words = ["bash", "-c", command.replace(LOCAL_URL, url)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def without_ids(stream: str) -> str:
    """A stream as it is of every turn: each has an id of its own."""
    return re.sub(r'"turn_id":"\w+"', '"turn_id":"one"', stream)


def is_shown(printed: str, shown: str) -> bool:
    """Whether a transcript shows what was printed; "…" stands for what it leaves out."""
    return re.fullmatch(".+".join(map(re.escape, shown.strip().split("…"))), printed, re.DOTALL) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="the transcript is made with curl")
def test_the_conversation_over_a_restart_is_what_a_user_sees(start: Start) -> None:
    (command, welcome), first, second, _ = transcript(section("See it remember"))
    assert command == "make run"

    url, words = start()
    shown = words.replace(url, LOCAL_URL)
    answers = [shell(first[0], url), shell(second[0], start()[0])]

    assert re.sub("(?m)^  sessions .*$", "", shown).strip() == re.sub("(?m)^  sessions .*$", "", welcome).strip()
    assert is_shown(answers[0], first[1])
    assert is_shown(answers[1], second[1])
    assert not is_shown(answers[1], first[1])
    assert json.loads(answers[1])["restored_messages"] == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="the transcript is made with curl")
def test_the_stream_is_what_a_user_sees(start: Start) -> None:
    command, shown = transcript(section("See it remember"))[-1]
    url, _ = start(OFFLINE_WORDS_PER_SECOND="50")

    assert is_shown(without_ids(shell(command, url)), without_ids(shown))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the transcript is made with curl")
def test_bad_input_is_answered_as_shown_and_makes_no_session(start: Start) -> None:
    shown = transcript(section("Over HTTP"))
    url, _ = start()

    answers = [shell(command, url) for command, _ in shown]

    assert len(answers) == 4
    assert [is_shown(answer, printed) for answer, (_, printed) in zip(answers, shown, strict=True)] == [True] * 4
    assert json.loads(shell(f"curl -s {LOCAL_URL}/sessions", url))["session_ids"] == []


def test_a_turn_costs_the_requests_that_are_named() -> None:
    gets, puts, _ = costs("the library")

    with S3Server(buckets=["sessions"]) as s3:
        client = s3.client()
        for turn in range(20):
            s3.log.take()
            manager = S3SessionManager("s1", "sessions", client=client, durability=("message", "turn")[turn % 2])
            Agent(model=ScriptedModel("Hi. " * 400), session_manager=manager, callback_handler=None)("Hello")
            made = [entry.verb for entry in s3.log.take() if not (entry.verb == "PUT" and "history" in entry.key)]
            if turn:
                assert made.count("GET") <= gets
                assert made.count("PUT") == puts
                assert set(made) == {"GET", "PUT"}
        consolidations = sum("history.json" in key for key in s3.objects("sessions"))

    assert consolidations == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="the transcript is made with curl")
def test_a_turn_of_the_endpoint_costs_the_requests_that_are_named(start: Start) -> None:
    gets, puts, _ = costs("the endpoint")
    credentials = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    turn = transcript(section("See it remember"))[1][0]

    with S3Server(buckets=["sessions"]) as s3:
        url, _ = start(STORE="s3://sessions/demo", AWS_ENDPOINT_URL_S3=s3.url, **credentials)
        shell(turn, url)
        for _ in range(3):
            s3.log.take()
            shell(turn, url)
            made = [entry.verb for entry in s3.log.take()]
            assert made.count("GET") <= gets
            assert made.count("PUT") == puts
            assert set(made) == {"GET", "PUT", "DELETE"}


@pytest.mark.parametrize("row", ["the library", "the endpoint"])
def test_the_price_of_a_turn_is_that_of_its_requests(row: str) -> None:
    gets, puts, per_million = costs(row)

    assert round((puts * 0.005 + gets * 0.0004) * 1000) == per_million


def costs(row: str) -> tuple[int, int, int]:
    """A row of the README's table: GETs, PUTs and USD a million turns."""
    found = re.search(
        rf"^\| {row}[^|]*\| (\d+) \| (\d+) \| (\d+) \|$", section("What a turn costs in S3"), re.MULTILINE
    )
    assert found
    return int(found[1]), int(found[2]), int(found[3])


def test_the_times_of_a_restore_are_those_that_were_measured_last() -> None:
    report = (ROOT / "docs" / "benchmarks" / "report.md").read_text().partition("### Restore, ms")[2]
    lines = [line for line in report.partition("\n###")[0].splitlines() if line.startswith("| ")]
    head, *rows = [[cell.strip() for cell in line.split("|")[1:]] for line in lines]
    measured = {row[0]: row[head.index("1,000")].partition(" ")[0] for row in rows}
    stated = re.search(r"\| restoring 1,000 messages .*?\| ([\d,]+) ms \| ([\d,]+) ms \| ([\d,]+) ms \|", README)

    assert stated is not None
    who = ("Strands S3SessionManager", "Strands Snapshot, saved by turn", "kit, durable by turn")
    assert stated.groups() == tuple(measured[name] for name in who)
