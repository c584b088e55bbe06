"""Region, credentials and options, compared with the CDK CLI that the project pins."""

import base64
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.commands import cdk_options
from infra.commands.cdk_options import read_options
from infra.commands.cdk_settings import boto_session, decide_region, read_settings
from infra.packaging.python_package import ROOT

CLI = ROOT / "node_modules" / "aws-cdk"
pytestmark = pytest.mark.skipif(not CLI.is_dir(), reason="node_modules is missing: npm ci")


class Sts(ThreadingHTTPServer):
    """Tells everybody who they are, and remembers with which key and for which region they asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("localhost", 0), _Identity)
        self.asked: list[tuple[str, str]] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Identity(BaseHTTPRequestHandler):
    server: Sts

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        found = re.search(r"Credential=([^/]+)/\d+/([^/]+)/sts/", self.headers.get("authorization", ""))
        if found:
            self.server.asked.append((found[1], found[2]))
        body = (
            b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            b"<Arn>arn:aws:iam::111122223333:user/ada</Arn><UserId>AIDA</UserId><Account>111122223333</Account>"
            b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )
        self.send_response(200)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing to the test's output."""


@pytest.fixture
def sts() -> Iterator[Sts]:
    server = Sts()
    yield server
    server.shutdown()
    server.server_close()


CONFIG = """\
[default]
region = ca-central-1
aws_access_key_id = DEFAULTCONFIG
aws_secret_access_key = x
[profile work]
region = eu-west-1
[profile other]
region = eu-west-2
[profile plain]
output = json
"""
CREDENTIALS = "".join(
    f"[{name}]\naws_access_key_id = {name.upper()}KEY\naws_secret_access_key = x\n"
    for name in ("work", "other", "plain")
)
KEYS = {"AWS_ACCESS_KEY_ID": "ENVKEY", "AWS_SECRET_ACCESS_KEY": "x"}


@dataclass(frozen=True)
class Case:
    """A user's surroundings."""

    name: str
    variables: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    user_settings: str = ""


CASES = [
    Case("AWS_REGION alone", {**KEYS, "AWS_REGION": "eu-north-1"}),
    Case("AWS_DEFAULT_REGION alone", {**KEYS, "AWS_DEFAULT_REGION": "eu-north-1"}),
    Case("both regions", {**KEYS, "AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-south-1"}),
    Case("a profile alone", {}, ("--profile", "work")),
    Case("a profile and AWS_REGION", {"AWS_REGION": "eu-north-1"}, ("--profile", "work")),
    Case("a profile beats keys", KEYS, ("--profile", "work")),
    Case("keys beat AWS_PROFILE, which has the region", {**KEYS, "AWS_PROFILE": "work"}),
    Case("AWS_PROFILE before AWS_DEFAULT_PROFILE", {"AWS_PROFILE": "work", "AWS_DEFAULT_PROFILE": "other"}),
    Case("AWS_DEFAULT_PROFILE", {"AWS_DEFAULT_PROFILE": "other"}),
    Case("a profile without a region takes the default's", {"AWS_PROFILE": "plain"}),
    Case("the default profile", {}),
    Case("--region", {**KEYS, "AWS_REGION": "eu-north-1"}, ("--region", "eu-south-2")),
    Case("CDK_PROFILE and CDK_REGION", {"CDK_PROFILE": "other", "CDK_REGION": "eu-south-2"}),
    Case("an option beats its variable", {"CDK_PROFILE": "other"}, ("--profile=work",)),
    Case("the user's .cdk.json", KEYS, user_settings='{"profile": "other", "context": {"stage": "theirs"}}'),
    Case("nothing but keys", {**KEYS, "AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_region_credentials_and_context_are_those_of_the_cli(
    case: Case, sts: Sts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text(CREDENTIALS)
    if case.user_settings:
        (tmp_path / ".cdk.json").write_text(case.user_settings)
    project = tmp_path / "project"
    project.mkdir()
    (project / "cdk.json").write_text('{"context": {"encryption": "kms"}}')
    (project / "cdk.context.json").write_text('{"encryption": "s3", "looked:up": 1}')
    for name in [name for name in os.environ if name.startswith(("AWS_", "CDK_", "AMAZON_"))]:
        monkeypatch.delenv(name)
    variables = {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": f"http://localhost:{sts.server_address[1]}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_HOME": str(tmp_path / "cdk-home"),  # where it keeps which key is of which account
        **case.variables,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    told = ask_the_cli(project, case.arguments)
    of_the_cli = sts.asked[:]
    sts.asked.clear()
    options = read_options(list(case.arguments))
    settings = read_settings(options, project)
    region = decide_region(settings)
    account = boto_session(settings, region).client("sts").get_caller_identity()["Account"]

    assert (region, account) == (told["CDK_DEFAULT_REGION"], told["CDK_DEFAULT_ACCOUNT"])
    assert {key for key, _ in sts.asked} == {key for key, _ in of_the_cli}
    context = json.loads(told["CDK_CONTEXT_JSON"])
    assert settings.context.items() <= context.items()
    assert {key for key in context if not key.startswith(("aws:", "@aws"))} == set(settings.context)


def ask_the_cli(project: Path, arguments: tuple[str, ...]) -> dict[str, str]:
    """Let the CLI run an app that writes down what it is told, and fails."""
    names = ("CDK_DEFAULT_REGION", "CDK_DEFAULT_ACCOUNT", "CDK_CONTEXT_JSON")
    lines = "; ".join(f'printf %s "${name}" | base64 > {name}' for name in names)
    cli = str(CLI / "bin" / "cdk")
    subprocess.run(
        [cli, "list", "--no-notices", "--app", f"{lines}; exit 1", *arguments],
        cwd=project,
        env={**os.environ, "CDK_DISABLE_CLI_TELEMETRY": "1"},
        capture_output=True,
        check=False,
        timeout=100,
    )
    return {name: base64.b64decode((project / name).read_text()).decode() for name in names}


@pytest.mark.parametrize("command", ["deploy", "destroy", "synth"])
def test_the_table_of_options_is_the_clis_own(command: str) -> None:
    registry = json.loads((CLI / "lib" / "cli" / "cli-type-registry.json").read_text())
    theirs = {**registry["globalOptions"], **registry["commands"][command]["options"]}
    ours = {"deploy": cdk_options.DEPLOY, "destroy": cdk_options.DESTROY, "synth": cdk_options.SYNTH}[command]

    def of(*types: str) -> set[str]:
        return {name for name, option in theirs.items() if option["type"] in types}

    assert ours.flags == of("boolean") | {"help", "version"}
    assert ours.values == of("string", "number")
    assert ours.lists == of("array")
    aliases = {option["alias"]: name for name, option in theirs.items() if "alias" in option}
    negative = {option["negativeAlias"]: f"no-{name}" for name, option in theirs.items() if "negativeAlias" in option}
    assert ours.aliases == {"h": "help", **aliases, **negative}


@pytest.mark.parametrize("ignored", [["--contex", "stage=prod"], ["-cencryption=kms"]])
def test_the_cli_passes_over_what_is_refused_here(ignored: list[str], tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text('{"context": {"stage": "dev"}}')

    context = json.loads(ask_the_cli(tmp_path, tuple(ignored))["CDK_CONTEXT_JSON"])

    assert (context["stage"], "encryption" in context) == ("dev", False)
