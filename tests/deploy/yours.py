"""``make rehearse-yours``: docs/YOURS.md, from a fresh clone to an agent of one's own that is deployed and answers.

Every command of the page is run as it stands there, in a clone of the last commit with an environment of its own: but
for ``make smoke``, which asks a URL on the internet. No registry is asked: what ``make setup`` has fetched before is
installed again, and where the page's package is not among it, one of its name. The page's carrier and its model are
servers on this machine, and ``aws`` is a few lines that ask the emulator.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3

from infra.commands.deployment import stack_outputs
from infra.commands.smoke.report import Report, expect
from infra.config import load_config
from infra.packaging.interpreters import Interpreter
from infra.packaging.runtime_layer_build import require_uv
from tests.deploy.cdk_cli import REGION, ROOT, Cdk, CdkError
from tests.deploy.declared import role_statements
from tests.deploy.emulator import ACCOUNT, Emulator, emulator
from tests.deploy.lambda_process import install_runtime, take_out
from tests.deploy.this_machine import FUNCTION_ENVIRONMENT, FUNCTION_KEY, context_for, interpreter_here
from tests.deploy.transcript import Transcript
from tests.docs import yours
from tests.docs.documents import blocks, transcript
from tests.doubles.bedrock_server import BedrockServer, tool_use
from tests.endpoint.function import http_event
from tests.infra.policy_evaluator import Decision, decide

_BUDGET_SECONDS = 120
_PROMPT = {"prompt": "Where is A-17?"}
_ANSWER = "It is in Oslo."
_TOLD = re.compile(r"Oslo, seen .{1,20} ago")
_READY_SECONDS = 60
_AWS = """\
#!{python}
import sys, boto3
_, service, command, _, name, _, value = sys.argv
assert (service, command) == ("secretsmanager", "create-secret")
boto3.client("secretsmanager").create_secret(Name=name, SecretString=value.replace("the-key", "{token}"))
"""


def _link_or_copy(source: str, target: str) -> None:
    """Link a file, or copy it where the target is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Yours:
    """Follows the page.

    Args:
        folder: For everything that is written.
        aws: The emulator.
        interpreter: The Python that runs the package.
        told: Where it is told.
        carrier_url: The carrier.
    """

    def __init__(
        self, folder: Path, aws: Emulator, interpreter: Interpreter, told: Transcript, carrier_url: str
    ) -> None:
        self.report = Report(told.write)
        self._told = told
        self._folder = folder
        self._clone = folder / "kit"
        self._aws = aws
        self._interpreter = interpreter
        self._carrier_url = carrier_url
        self._cdk = Cdk(aws.url, folder / "cdk-home", told.line)
        self._context = context_for(interpreter)
        self._session = boto3.Session("rehearsal", "rehearsal", region_name=REGION)
        self._environment = {
            **{name: value for name, value in self._cdk.environment.items() if not name.startswith(("MAKE", "MFLAGS"))},
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
            "UV_OFFLINE": "1",
            "UV_LINK_MODE": "symlink",  # the environment is gone with this process
            "UV_FIND_LINKS": str(yours.write_index(folder / "index")),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "PORT": "0",
        }

    def follow(self) -> None:
        """From the clone to the last command of the page."""
        require, lock, run, secret, synth, deploy, smoke, add, names = yours.commands()
        self._told.heading("A fresh clone, with what `make setup` begins with")
        self._begin()
        self._told.heading("A tool, its package, its permission, its variables and its key")
        yours.write(self._clone)
        self._run(require)
        self._run(lock)
        self._told.heading("On this machine")
        yours.create_orders(self._session.client("dynamodb"))
        (dotenv,) = blocks(yours.PAGE, "sh")
        dotenv = dotenv.replace("https://api.carrier.example", self._carrier_url).replace("the-key", yours.TOKEN)
        (self._clone / ".env").write_text(dotenv, encoding="utf-8")
        self._serve(run)
        self._told.heading("Deployed")
        self._run(secret)
        context = " ".join(f"-c {key}={value}" for key, value in self._context.items())
        said = self._run(synth, ARGS=context)
        self.report.check("make synth shows what the policy allows", lambda: expect("dynamodb:GetItem" in said, said))
        self.report.check("make synth says what the agent's package adds",
                          lambda: expect("packages of your agent" in said, said))  # fmt: skip
        self._cdk.bootstrap(self._clone)
        # What has been synthesized is deployed: building it twice shows nothing more.
        self._run(deploy, ARGS=f"{context} --app cdk.out --method=direct --require-approval=never")
        self._deployed()
        self._told.line(f"  {smoke}: not run, no emulator has a URL on the internet")
        self._told.heading("What has changed")
        self._run(add)
        changed = self._run(names)
        expected = transcript(yours.PAGE)[-1][1]
        self.report.check("the agent's folder, its lock and cdk.json", lambda: expect(changed == expected, changed))

    def _begin(self) -> None:
        self._run(f"git clone --quiet {ROOT} {self._clone}", ROOT)
        uv = str(require_uv())
        self._run(f"{uv} venv --quiet --python {sys.executable} .venv")
        # Newer than the clone's files, so that make takes them for installed: both come from a registry.
        shutil.copyfile(uv, self._clone / ".venv" / "bin" / "uv")
        (self._clone / ".venv" / "bin" / "uv").chmod(0o755)
        ours = Path(sysconfig.get_path("purelib"))
        theirs = self._clone / ".venv" / ours.relative_to(sys.prefix)
        for package in (*ours.glob("uv"), *ours.glob("uv-*.dist-info")):
            shutil.copytree(package, theirs / package.name)
        shutil.copytree(ROOT / "node_modules", self._clone / "node_modules", symlinks=True, copy_function=_link_or_copy)
        lock = self._clone / "node_modules" / ".package-lock.json"
        lock.unlink()
        shutil.copyfile(ROOT / "node_modules" / ".package-lock.json", lock)
        aws = self._folder / "bin" / "aws"
        aws.parent.mkdir()
        aws.write_text(_AWS.format(python=sys.executable, token=yours.TOKEN), encoding="utf-8")
        aws.chmod(0o755)

    def _run(self, command: str, folder: Path | None = None, **variables: str) -> str:
        """Run a command of the page.

        Returns:
            All that it wrote.

        Raises:
            CdkError: It fails.
        """
        started = time.monotonic()
        self._told.line(f"$ {command}")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder or self._clone,
            env={**self._environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CdkError(done.stdout)
        self._told.line(f"  ({time.monotonic() - started:.1f} s)")
        return done.stdout

    def _serve(self, command: str) -> None:
        """Run ``make run``, take a turn with what it serves, and end it."""
        self._told.line(f"$ {command}")
        with BedrockServer(tool_use("order_status", order_id="A-17"), _ANSWER) as bedrock:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self._clone,
                env={**self._environment, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                url = self._url_of(process)
                self.report.check("the tool's answer is in the reply", lambda: self._ask(url, bedrock))
            finally:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(_READY_SECONDS)

    @staticmethod
    def _url_of(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            found = re.search(r"listens on (http://\S+)", line)
            if found:
                return found[1]
        raise CdkError(said)

    @staticmethod
    def _ask(url: str, bedrock: BedrockServer) -> None:
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{url}/sessions/demo/messages", json.dumps(_PROMPT).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=_READY_SECONDS) as response:  # noqa: S310 - likewise
            _check_reply(json.load(response), bedrock)

    def _deployed(self) -> None:
        config = load_config({**json.loads((self._clone / "cdk.json").read_text(encoding="utf-8"))["context"]})
        outputs = stack_outputs(self._session, config.stack_name) or {}
        role = role_statements(self._session, outputs)
        self._aws.permissions.forget(role)
        install_runtime(self._context["python_version"], self._folder)
        function = take_out(
            self._session.client("lambda"), outputs["FunctionName"], self._folder, self._interpreter, "live"
        )
        packages = [layer / "python" / "humanize" for layer in function.layers]
        self.report.check("the package is in the layer", lambda: expect(any(map(Path.is_dir, packages)), packages))
        table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
        secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:carrier/token-AbCdEf"
        for action, resource in (("dynamodb:GetItem", table), ("secretsmanager:GetSecretValue", secret)):
            self.report.check(
                f"the role may {action}",
                lambda action=action, resource=resource: expect(  # type: ignore[misc] # bound now
                    decide(role, action, resource, {}) is Decision.ALLOWED, role
                ),
            )
        variables = function.configuration["Environment"]["Variables"]
        self.report.check(
            "its variables hold the secret's place, not the secret",
            lambda: expect(
                "carrier/token" in variables["AGENT_SECRETS"] and yours.TOKEN not in str(variables), variables
            ),
        )
        with BedrockServer(tool_use("order_status", order_id="A-17"), _ANSWER) as bedrock:
            function.environment = {
                **FUNCTION_ENVIRONMENT,
                "AWS_ENDPOINT_URL": self._aws.url,
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
                "CARRIER_URL": self._carrier_url,
            }

            def turn() -> None:
                outcome = function.invoke(http_event("POST", "/sessions/demo/messages", _PROMPT))
                expect(outcome.error is None and outcome.value["statusCode"] == 200, (outcome, function.log))
                _check_reply(json.loads(outcome.value["body"]), bedrock)
                expect(yours.TOKEN not in function.log, "the secret in the log")

            self.report.check("the tool reads table and secret, and its answer is in the reply", turn)


def _check_reply(reply: Any, bedrock: BedrockServer) -> None:
    expect("".join(block.get("text", "") for block in reply["message"]["content"]) == _ANSWER, reply)
    expect(_TOLD.search(str(bedrock.requests[-1].body["messages"])), bedrock.requests[-1].body["messages"])


def main() -> int:
    """Follow the page.

    Returns:
        0 when everything was as the page says, 1 otherwise.
    """
    interpreter = interpreter_here()
    if interpreter is None:
        return 1
    told = Transcript()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, emulator(FUNCTION_KEY) as aws, yours.carrier() as carrier_url:
        os.environ["AWS_ENDPOINT_URL"] = aws.url
        page = Yours(Path(folder), aws, interpreter, told, carrier_url)
        try:
            page.follow()
        except CdkError as error:
            told.line(f"  FAILED  {error}")
            page.report.failed += 1
    told.heading("Result")
    seconds = time.monotonic() - started
    told.line(f"  {seconds:.0f} s")
    if seconds > _BUDGET_SECONDS:
        told.line(f"  slower than {_BUDGET_SECONDS} s")
    return page.report.close()


if __name__ == "__main__":
    sys.exit(main())
