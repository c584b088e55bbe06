"""What the README and docs/DEPLOY.md say about deploying and reusing: the code runs, the numbers are counted."""

import json
import os
import re
import runpy
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm

from infra.commands.cdk_options import ANY, DEPLOY, DESTROY, SYNTH
from infra.commands.deployment import read_cdk_arguments
from infra.config import KitConfig
from tests.docs.documents import ROOT, blocks, documents, files, transcript
from tests.doubles.s3_server import S3Server
from tests.doubles.scripted_model import ScriptedModel, tool_use
from tests.endpoint.conftest import CREDENTIALS
from tests.endpoint.function import Function, processes
from tests.infra.policy_evaluator import Decision, decide
from tests.infra.synthesis import ResolvedTemplate, synthesize

README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "DEPLOY.md").read_text()
REUSE = README.partition("\n## Reuse the layer\n")[2].partition("\n## ")[0]


# --- the ten lines ------------------------------------------------------------------------------------------


def judge(statements: list[dict[str, Any]], bucket: str) -> None:
    """Reading and finding sessions is allowed, and nothing else."""

    def may(action: str, resource: str, prefix: str = "sessions/o_x/") -> bool:
        return decide(statements, action, resource, {"s3:prefix": prefix}) is Decision.ALLOWED

    assert may("s3:GetObject", f"{bucket}/sessions/o_x/session_1/session.json")
    assert may("s3:ListBucket", bucket)
    assert not may("s3:ListBucket", bucket, prefix="other/")
    assert not may("s3:GetObject", f"{bucket}/other/x")
    assert not may("s3:PutObject", f"{bucket}/sessions/o_x/session_1/session.json")


def test_the_ten_lines_with_cdk_give_a_function_the_layer_and_leave_to_read() -> None:
    (lines,) = blocks(REUSE, "python")
    assert len([line for line in lines.splitlines() if line]) == 10
    stack = Stack(App(), "Mine")
    function = lambda_.Function(
        stack,
        "Mine",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="x.y",
        code=lambda_.Code.from_inline("def y(): ..."),
    )

    exec(lines, {"self": stack, "function": function, "iam": iam, "lambda_": lambda_, "ssm": ssm})  # noqa: S102

    source = App.of(stack).synth().get_stack_by_name("Mine").template  # type: ignore[union-attr] # it has an app
    template = ResolvedTemplate({"Outputs": {}, **source})
    properties = template.properties("AWS::Lambda::Function")
    names = {name.lower(): p["Default"] for name, p in source["Parameters"].items() if "Default" in p}
    (layer,) = properties["Layers"]
    bucket = properties["Environment"]["Variables"]["SESSION_STORE"].removeprefix("s3://").removesuffix("/sessions")
    assert {names[layer], names[bucket]} == kit_parameters()
    judge(template.properties("AWS::IAM::Policy")["PolicyDocument"]["Statement"], f"arn:aws:s3:::{bucket}")


def test_the_commands_without_cdk_name_the_same_parameters_and_grant_the_same() -> None:
    commands = "\n".join(command for command, _ in transcript(REUSE))
    (_, policy) = REUSE.split("--policy-document '")
    document = json.loads(policy.partition("}]}'")[0].replace("'$BUCKET'", "mine") + "}]}")

    assert set(re.findall(r"--name (/\S+)", commands)) == kit_parameters()
    judge(document["Statement"], "arn:aws:s3:::mine")


def kit_parameters() -> set[str]:
    return {p["Properties"]["Name"] for p in synthesize().of_type("AWS::SSM::Parameter")}


# --- docs/DEPLOY.md -----------------------------------------------------------------------------------------


def test_every_output_is_explained_and_every_one_that_is_explained_exists() -> None:
    table = PAGE.partition("| output | what for |")[2].partition("\n\n")[0]
    explained = {name for row in table.splitlines() for name in re.findall(r"`([A-Z]\w+)`", row.partition("| ")[2])}

    assert explained == set(synthesize(encryption="kms").outputs)


def test_the_settings_it_names_exist() -> None:
    named = set(re.findall(r"-c ([a-z_]+)=", PAGE + README)) | set(re.findall(r"`([a-z]+_[a-z_]+)`", PAGE))

    assert named <= set(KitConfig.model_fields), named


@pytest.mark.parametrize(
    ("row", "script"),
    [
        ("a question and its answer", ["Fine."]),
        ("with one tool call (four messages)", [tool_use("calculator", expression="6 * 7"), "42."]),
    ],
)
def test_a_turn_costs_the_requests_and_the_dollars_of_the_table(row: str, script: list[Any]) -> None:
    found = re.search(rf"^\| {re.escape(row)} \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert found
    gets, puts, deletes, usd = map(int, found.groups())

    with S3Server(buckets=["sessions"]) as s3, processes():
        store = {"SESSION_STORE": "s3://sessions/p", "AWS_ENDPOINT_URL_S3": s3.url}
        function = Function({**CREDENTIALS, **store, "AGENT_MODEL": "scripted:script"})
        made: list[Counter[str]] = []
        for _ in range(4):
            function.models["script"] = ScriptedModel(*script)
            function.cold_start()
            s3.log.take()
            function.reply("What is 6 times 7?")
            made.append(Counter(entry.verb for entry in s3.log.take()))

    for turn in made[1:]:
        assert turn.pop("GET") in {gets - 1, gets}  # what is prefetched overlaps with what is asked for
        assert turn == Counter(PUT=puts, DELETE=deletes)
    assert round((puts * 0.005 + gets * 0.0004) * 1_000) == usd


@pytest.mark.parametrize("command", ["deploy", "destroy", "smoke", "synth"])
def test_the_arguments_it_names_are_understood(command: str) -> None:
    table = {"deploy": DEPLOY, "destroy": DESTROY, "synth": SYNTH}.get(command, ANY)
    pages = [path.read_text() for path in documents()]
    shown = [found for page in pages for found in re.findall(rf'make {command}[^`\n]*? ARGS="([^"]*)"', page)]

    assert shown or command in {"smoke", "synth"}
    for arguments in shown:
        words = arguments.replace("...", "x").replace("key=value", "stage=x").split()
        assert read_cdk_arguments(words, table).options.respelled == []


# --- call.py ------------------------------------------------------------------------------------------------

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}


class Endpoint(HTTPServer):
    """Answers whoever asks, or refuses."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.status = status
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Answers(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b'{"message": "You are Ada."}' if self.server.status == 200 else b'{"Message": "Forbidden"}')

    def log_message(self, *_: object) -> None:
        pass


def call(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run call.py with two profiles on disk and nothing of this process's own AWS environment."""
    script = folder / "call.py"
    script.write_text(files(PAGE)["call.py"])
    (folder / ".aws").mkdir(exist_ok=True)
    (folder / ".aws" / "config").write_text("[profile work]\nregion = eu-west-1\n")
    (folder / ".aws" / "credentials").write_text("[work]\naws_access_key_id = WORK\naws_secret_access_key = x\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, script],
        env={**inherited, "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({**KEYS, "AWS_DEFAULT_REGION": "eu-central-1"}, "eu-central-1"),
        ({**KEYS, "AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({**KEYS, "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-central-1"),
        ({"AWS_PROFILE": "work"}, "eu-west-1"),
        ({"AWS_PROFILE": "work", "AWS_REGION": "eu-central-1"}, "eu-central-1"),
        (KEYS, "us-east-1"),
    ],
)
def test_the_python_caller_sends_a_signed_request(
    variables: dict[str, str], region: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    done = call(tmp_path, {**variables, "URL": f"http://127.0.0.1:{endpoint.server_port}/"})

    assert done.returncode == 0, done.stderr
    ((path, headers, body),) = endpoint.seen
    assert path == "/sessions/demo/messages"
    assert json.loads(body) == {"prompt": "What is my name?"}
    assert f"/{region}/lambda/aws4_request" in headers["authorization"]
    assert headers.get("x-amz-security-token") == variables.get("AWS_SESSION_TOKEN")
    assert headers["content-type"] == "application/json"
    assert "You are Ada." in done.stdout


def test_the_python_caller_signs_for_the_region_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    for name, value in {**KEYS, "AWS_REGION": "us-west-2", "URL": "https://x1.lambda-url.eu-south-2.on.aws/"}.items():
        monkeypatch.setenv(name, value)

    def send(request: Any) -> BytesIO:
        sent.append(request)
        return BytesIO(b"{}")

    monkeypatch.setattr("urllib.request.urlopen", send)
    (tmp_path / "call.py").write_text(files(PAGE)["call.py"])

    runpy.run_path(str(tmp_path / "call.py"))

    assert "/eu-south-2/lambda/aws4_request" in str(sent[0].get_header("Authorization"))


def test_what_the_python_caller_cannot_do_it_says_in_a_line(tmp_path: Path) -> None:
    with Endpoint(403) as refusing:
        url = f"http://127.0.0.1:{refusing.server_port}/"
        failed = {
            "no AWS credentials": call(tmp_path, {"URL": url}),
            "URL is not set": call(tmp_path, KEYS),
            "gone": call(tmp_path, {"URL": url, "AWS_PROFILE": "gone"}),
            "Forbidden": call(tmp_path, {**KEYS, "URL": url}),
            "refused": call(tmp_path, {**KEYS, "URL": "http://127.0.0.1:9/"}),
        }
        refusing.shutdown()

    for said, done in failed.items():
        assert done.returncode == 1
        assert (said in done.stderr, done.stderr.count("\n")) == (True, 1), done.stderr


def test_curl_signs_for_the_region_of_the_url() -> None:
    (expression,) = {found for text in (PAGE, README) for found in re.findall(r"aws:amz:(\$\(.*?\)):lambda", text)}

    done = subprocess.run(
        ["bash", "-c", f'URL=https://x1.lambda-url.eu-south-2.on.aws/; echo "{expression}"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "eu-south-2\n"
