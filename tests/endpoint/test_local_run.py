"""``make run`` as a user meets it: a process, its output, HTTP, Ctrl-C, and the same sessions after a restart."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from local.recollection import SIGNATURE
from tests.doubles.bedrock_faults import BedrockFault
from tests.doubles.bedrock_server import BedrockServer, Pause, tool_use

ROOT = Path(__file__).parents[2]
AWS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "eu-west-1"}
MODEL_ID = "global.anthropic.claude-haiku-4-5-20251001-v1:0"


def start(folder: Path, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start ``python -m local`` in a folder, with nothing of this process's AWS environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **inherited,
        "PYTHONPATH": f"{ROOT / 'layer'}{os.pathsep}{ROOT}",
        "HOME": str(folder),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PORT": "0",
        "OFFLINE_WORDS_PER_SECOND": "0",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Running:
    """A running local endpoint."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.welcome = ""
        assert process.stdout is not None
        for line in process.stdout:
            self.welcome += line
            if line.startswith("Ctrl-C"):
                break
        found = re.search(r"listens on (http://127\.0\.0\.1:(\d+))", self.welcome)
        assert found, self.welcome
        self.url, self.port = found[1], int(found[2])
        self.output: list[str] = []
        self._written = threading.Condition()
        # The pipe must not fill up while the server logs.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._written:
                self.output.append(line)
                self._written.notify_all()

    def says(self, words: str) -> bool:
        """Wait until a line of its output holds these words."""
        with self._written:
            return self._written.wait_for(lambda: any(words in line for line in self.output), timeout=60)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body), {"content-type": "application/json"}
            )
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return response.status, json.loads(content) if content else None

    def say(self, prompt: str, session: str = "demo") -> Any:
        status, reply = self.ask("POST", f"/sessions/{session}/messages", {"prompt": prompt})
        assert status == 200, reply
        return reply

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self._reader.join(timeout=60)
        return code


def text_of(reply: Any) -> str:
    return "".join(block.get("text", "") for block in reply["message"]["content"])


Run = Callable[..., Running]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    processes: list[subprocess.Popen[str]] = []

    def run(**variables: str) -> Running:
        processes.append(start(tmp_path, variables))
        return Running(processes[-1])

    yield run
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def refusal(folder: Path, **variables: str) -> str:
    """Start it with something wrong; return the one line it says."""
    process = start(folder, variables)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert output.count("\n") == 1, output
    return output


class TestConversation:
    def test_it_remembers_over_a_restart(self, run: Run, tmp_path: Path) -> None:
        first = run()
        greeting = first.say("My name is Ada.")
        assert first.end() == 0
        second = run()
        answer = second.say("What is my name?")

        assert greeting["restored_messages"] == 0
        assert SIGNATURE in text_of(greeting)
        assert answer["restored_messages"] == 2
        assert "“My name is Ada.”" in text_of(answer)
        assert (tmp_path / ".sessions").is_dir()

    def test_it_remembers_after_being_killed(self, run: Run) -> None:
        first = run()
        first.say("My name is Ada.")
        first.process.kill()
        first.process.wait()

        assert run().say("What did I say first?")["restored_messages"] == 2

    def test_a_tool_is_called_on_request(self, run: Run) -> None:
        reply = run().say("use the calculator: 6*7")

        assert text_of(reply) == f"{SIGNATURE} The tool calculator answered: 42"

    def test_the_whole_table_of_routes_is_there(self, run: Run) -> None:
        server = run()
        status, reply = server.ask("POST", "/sessions", {"prompt": "Hello"})
        session = f"/sessions/{reply['session_id']}"

        assert status == 201
        assert server.ask("GET", session)[1]["agents"][0]["message_count"] == 2
        stored = server.ask("GET", f"{session}/messages")[1]["messages"]
        assert [entry["message"]["role"] for entry in stored] == ["user", "assistant"]
        assert server.ask("GET", "/sessions")[1]["session_ids"] == [reply["session_id"]]
        assert server.ask("DELETE", session) == (204, None)
        assert server.ask("GET", session)[0] == 404
        assert server.ask("GET", "/health")[0] == 200
        assert server.ask("POST", f"{session}/messages", {"promt": "typo"})[0] == 422

    def test_the_printed_lines_work_when_pasted(self, run: Run) -> None:
        server = run()
        commands = [line.strip() for line in server.welcome.splitlines() if line.strip().startswith("curl ")]

        answers = []
        for command in commands:
            # What a shell makes of the line, without the need for curl on the machine.
            _, _, url, _, header, _, body = shlex.split(command)
            assert header == "content-type: application/json"
            assert url.startswith(server.url)
            answers.append(server.ask("POST", url.removeprefix(server.url), json.loads(body)))

        assert [status for status, _ in answers] == [200, 200]
        assert "My name is Ada." in text_of(answers[1][1])

    def test_callers_at_the_same_time_get_their_own_answers(self, run: Run) -> None:
        server = run()
        answers: dict[str, Any] = {}

        def talk(name: str) -> None:
            answers[name] = [server.say(f"I am {name}.", name), server.say("What did I say first?", name)]

        threads = [threading.Thread(target=talk, args=(f"caller{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(answers) == 8
        for name, (first, second) in answers.items():
            assert (first["session_id"], second["session_id"]) == (name, name)
            assert f"“I am {name}.”" in text_of(second)
            assert second["restored_messages"] == 2


class TestRealParts:
    def test_a_bucket_holds_the_sessions(self, run: Run) -> None:
        s3 = ThreadedMotoServer(port=0, verbose=False)
        s3.start()
        try:
            endpoint = f"http://127.0.0.1:{s3.get_host_and_port()[1]}"
            client = boto3.client(
                "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
            )
            client.create_bucket(Bucket="sessions")
            variables = {**AWS, "STORE": "s3://sessions/dev", "AWS_ENDPOINT_URL_S3": endpoint}
            first = run(**variables)
            first.say("My name is Ada.")
            first.end()
            answer = run(**variables).say("What is my name?")
            keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="sessions")["Contents"]]
        finally:
            s3.stop()

        assert answer["restored_messages"] == 2
        assert all(key.startswith("dev/o_") for key in keys)

    def test_a_bedrock_model_answers(self, run: Run) -> None:
        with BedrockServer("Good morning, Ada.") as bedrock:
            server = run(**AWS, MODEL=f"bedrock:{MODEL_ID}", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url)
            reply = server.say("I am Ada.")

        assert text_of(reply) == "Good morning, Ada."
        assert bedrock.requests[0].model_id == MODEL_ID

    def test_not_a_word_of_the_conversation_is_in_its_output(self, run: Run) -> None:
        secret = "xyzzy-17"
        script: list[Any] = [
            f"Hello {secret}.",
            *[BedrockFault("ValidationException", f"cannot read {secret}")] * 2,
            [f"Half {secret} ", ConnectionError()],
            [f"{secret}?", tool_use("calculator", expression=secret)],
            tool_use(secret, expression=secret),
            f"That is no sum, {secret}.",
        ]
        with BedrockServer(*script) as bedrock:
            server = run(**AWS, MODEL=f"bedrock:{MODEL_ID}", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url)
            prompts: list[Any] = [*(f"{secret} {number}" for number in range(4)), [{"text": secret, "image": secret}]]
            statuses = [server.ask("POST", "/sessions/demo/messages", {"prompt": prompt})[0] for prompt in prompts]
            server.end()

        assert statuses == [200, 502, 502, 200, 422]
        assert server.says("request refused")
        assert secret not in server.welcome + "".join(server.output)


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_cleanly(self, number: signal.Signals, run: Run) -> None:
        server = run()
        server.say("Hello")

        assert server.end(number) == 0
        assert "Traceback" not in "".join(server.output)

    def test_the_turn_in_flight_is_finished(self, run: Run) -> None:
        with thinking_bedrock() as (bedrock, thinking, go_on):
            server = run(**AWS, MODEL=f"bedrock:{MODEL_ID}", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url)
            replies: list[Any] = []
            client = threading.Thread(target=lambda: replies.append(server.say("Hello")))
            client.start()
            assert thinking.wait(60)
            server.process.send_signal(signal.SIGINT)
            assert server.says("Finishing 1 request")
            assert server.process.poll() is None
            go_on.set()
            client.join()

        assert text_of(replies[0]) == "At last."
        assert server.process.wait(timeout=60) == 0

    def test_asked_twice_it_does_not_wait(self, run: Run) -> None:
        with thinking_bedrock() as (bedrock, thinking, go_on):
            server = run(**AWS, MODEL=f"bedrock:{MODEL_ID}", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url)
            connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", "/sessions", '{"prompt": "Hello"}', {"content-type": "application/json"})
            assert thinking.wait(60)
            server.process.send_signal(signal.SIGINT)
            assert server.says("Finishing 1 request")

            assert server.end(signal.SIGINT) == 128 + signal.SIGINT
            connection.close()
            go_on.set()


@contextmanager
def thinking_bedrock() -> Iterator[tuple[BedrockServer, threading.Event, threading.Event]]:
    """A model that thinks until it is told to go on, and says when it has begun."""
    thinking, go_on = threading.Event(), threading.Event()

    def think(_seconds: float) -> None:
        thinking.set()
        assert go_on.wait(60)

    with BedrockServer([Pause(1), "At last."], sleep=think) as bedrock:
        yield bedrock, thinking, go_on


class TestStart:
    def test_a_taken_port_says_so_and_names_the_variable(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = refusal(tmp_path, PORT=str(port))

        assert f"PORT={port} is taken" in said
        assert "make run PORT=" in said

    @pytest.mark.parametrize(
        ("variable", "value", "allowed"),
        [
            ("PORT", "eighty", "Allowed: a number"),
            ("STORE", "ftp://x", "Allowed: file:///absolute/folder or s3://bucket/prefix"),
            ("STORE", "s3://bucket", "needs AWS credentials"),
            ("MODEL", "hal:9000", "Allowed: offline"),
            ("SESSION_TTL_DAYS", "soon", "SESSION_TTL_DAYS"),
        ],
    )
    def test_a_wrong_value_is_refused_by_name(self, variable: str, value: str, allowed: str, tmp_path: Path) -> None:
        said = refusal(tmp_path, **{variable: value})

        assert variable in said
        assert allowed in said

    def test_aws_settings_that_make_no_client_are_refused(self, tmp_path: Path) -> None:
        nowhere = {"AWS_REGION": "nowhere at all", "AWS_DEFAULT_REGION": "nowhere at all"}
        said = refusal(tmp_path, **{**AWS, **nowhere}, MODEL="bedrock:m")

        assert "AWS_REGION" in said
        assert "nowhere at all" in said

    def test_no_cdk_is_imported(self, tmp_path: Path) -> None:
        program = (
            "import os, sys; from pathlib import Path; from local.__main__ import load_handler;"
            "from local.configuration import read_configuration;"
            "load_handler(read_configuration(os.environ, Path.cwd()));"
            "print(sorted(name for name in sys.modules if name.split('.')[0] in {'aws_cdk', 'constructs', 'jsii'}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{ROOT / 'layer'}{os.pathsep}{ROOT}", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )

        assert done.stdout.strip() == "[]"
