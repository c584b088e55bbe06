"""docs/YOURS.md, done in a copy of the repository: what it says to write is written, what it says to run is run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from infra.config import load_config
from tests.docs import yours
from tests.docs.documents import ROOT, blocks, transcript
from tests.docs.yours import PAGE, TOKEN, administrator, commands, create_orders, create_secret, write, write_index
from tests.infra.policy_evaluator import Decision, decide
from tests.infra.synthesis import ACCOUNT, REGION, ResolvedTemplate

TURN = """
import json, sys
from tests.doubles.scripted_model import ScriptedModel, tool_use
from lambda_src.models.providers import MODEL_PROVIDERS
model = ScriptedModel(tool_use("order_status", order_id="A-17"), "It is in Oslo.")
MODEL_PROVIDERS["scripted"] = lambda *_: model
from lambda_src import handler
from tests.endpoint.function import Context, http_event
event = http_event("POST", "/sessions/chat/messages", {"prompt": "Where is A-17?"})
answer = handler.lambda_handler(event, Context())
print(json.dumps({"answer": answer, "shown": str(model.requests[-1].messages[-1])}), file=sys.stderr)
"""


class Clone:
    """A clone in which somebody has done what the page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "agent"
        self.packages = folder / "packages"
        index = write_index(folder / "index")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "MAKE"))},
            "UV_OFFLINE": "1",
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_FIND_LINKS": str(index),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "PYTHONPATH": os.pathsep.join(["layer", "client", ".", str(self.packages)]),
        }
        for name in self._git_files():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.folder / name)
        (self.folder / ".venv").symlink_to(ROOT / ".venv")
        self.run("git init -q && echo /.venv >> .git/info/exclude && git add --all")
        self.run("git -c user.name=a -c user.email=a@b.example commit -q -m kit")

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def follow_the_page(self) -> None:
        write(self.folder)
        for command in commands()[:2]:
            self.run(command)

    def install(self) -> None:
        uv = ROOT / ".venv" / "bin" / "uv"
        self.run(f"{uv} pip install -q --target {self.packages} --require-hashes -r lambda_src/agent/requirements.txt")

    def template(self) -> ResolvedTemplate:
        """What `cdk synth` makes, without building the packages."""
        context = json.loads((self.folder / "cdk.json").read_text(encoding="utf-8"))["context"]
        self.environment["CDK_CONTEXT_JSON"] = json.dumps({**context, "aws:cdk:bundling-stacks": []})
        self.environment["CDK_OUTDIR"] = str(self.folder.parent / "cdk.out")
        self.run(f"{sys.executable} app.py")
        name = f"{load_config(context).stack_name}.template.json"
        return ResolvedTemplate(json.loads(Path(self.environment["CDK_OUTDIR"], name).read_text(encoding="utf-8")))

    def _git_files(self) -> list[str]:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = Clone(tmp_path_factory.mktemp("yours"))
    clone.follow_the_page()
    clone.install()
    return clone


@pytest.fixture(scope="module")
def template(clone: Clone) -> ResolvedTemplate:
    return clone.template()


@pytest.fixture
def carrier() -> Iterator[str]:
    with yours.carrier() as url:
        yield url


@pytest.fixture
def aws() -> Iterator[str]:
    """The table and the secret that the page names."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = administrator(url, REGION)
    create_orders(client("dynamodb"))
    name, value = create_secret()
    client("secretsmanager").create_secret(Name=name, SecretString=value)
    yield url
    server.stop()


def test_the_role_may_read_the_table_and_the_secret_and_no_others(template: ResolvedTemplate) -> None:
    role = [s for p in template.of_type("AWS::IAM::Policy") for s in p["Properties"]["PolicyDocument"]["Statement"]]

    def may(action: str, resource: str) -> bool:
        return decide(role, action, resource, {}) is Decision.ALLOWED

    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
    token = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:carrier/token-AbCdEf"
    assert may("dynamodb:GetItem", table)
    assert may("secretsmanager:GetSecretValue", token)
    assert not may("dynamodb:PutItem", table)
    assert not may("dynamodb:GetItem", f"{table}2")
    assert not may("secretsmanager:GetSecretValue", token.replace("carrier", "prod"))


def test_the_deployed_agent_uses_its_table_its_package_and_its_key(
    clone: Clone, template: ResolvedTemplate, aws: str, carrier: str, tmp_path: Path
) -> None:
    deployed = template.properties("AWS::Lambda::Function")["Environment"]["Variables"]
    assert deployed["CARRIER_URL"] == "https://api.carrier.example"
    environment = {
        **clone.environment,
        **deployed,
        "AGENT_MODEL": "scripted:script",
        "SESSION_STORE": tmp_path.as_uri(),
        "CARRIER_URL": carrier,
        "AWS_ENDPOINT_URL": aws,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }

    turn = subprocess.run(
        [sys.executable, "-c", TURN], cwd=clone.folder, env=environment, capture_output=True, text=True, check=False
    )

    assert turn.returncode == 0, turn.stdout + turn.stderr
    said = json.loads(turn.stderr.splitlines()[-1])
    assert said["answer"]["statusCode"] == 200
    assert "Oslo, seen 2 hours ago" in said["shown"]
    assert "It is in Oslo." in said["answer"]["body"]
    assert TOKEN not in turn.stdout + turn.stderr


def test_only_the_agents_folder_its_lock_and_the_configuration_have_changed(clone: Clone) -> None:
    (add, _), (show, printed) = transcript(PAGE)[-2:]

    clone.run(add)

    assert clone.run(show) == printed


def test_every_other_command_of_the_page_is_run_by_the_rehearsal_or_by_a_test_of_its_own() -> None:
    # `make rehearse-yours` runs all but the last: no emulator has a URL on the internet (tests/infra/test_smoke.py).
    assert commands()[2:-2] == [
        "make run MODEL=bedrock:us.amazon.nova-lite-v1:0",
        "aws secretsmanager create-secret --name carrier/token --secret-string the-key",
        "make synth",
        "make deploy",
        "make smoke URL=<EndpointUrl>",
    ]


def test_what_stands_in_dotenv_is_what_the_agent_is_deployed_with() -> None:
    (dotenv,) = blocks(PAGE, "sh")
    context = json.loads(blocks(PAGE, "json")[1])

    names = {line.partition("=")[0] for line in dotenv.splitlines()}

    assert names == {*context["agent_environment"], *context["agent_secrets"]}
