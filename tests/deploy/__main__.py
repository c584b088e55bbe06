"""``make rehearse``: the whole deployment on this machine, with the real CDK CLI and the real Lambda runtime client.

    python -m tests.deploy [--transcript FILE]
    python -m tests.deploy --assembly FOLDER [--tool NAME ARGUMENT=VALUE ...]     an app of one's own

Ends non-zero on any difference.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

import boto3

from agent_sessions_client import SigV4Auth
from infra.commands.deployment import stack_outputs
from infra.commands.smoke.report import Report, expect
from infra.config import KitConfig, load_config
from infra.packaging.interpreters import Interpreter
from infra.packaging.runtime_layer_build import LIMIT_BYTES
from infra.packaging.shipped_files import folder_size
from tests.deploy.assembly import Assembly, AssemblyError, Tool
from tests.deploy.cdk_cli import REGION, Cdk, CdkError
from tests.deploy.conversation import SCRIPT, SESSION, Conversation
from tests.deploy.declared import check_deployed, role_statements
from tests.deploy.emulator import ACCOUNT, Emulator, emulator
from tests.deploy.function_url import FunctionUrl
from tests.deploy.lambda_process import DeployedFunction, install_runtime, take_out
from tests.deploy.own_app import OwnApp
from tests.deploy.permissions import check_permissions, invokes_itself
from tests.deploy.streams import Streams, streaming_model
from tests.deploy.this_machine import FUNCTION_ENVIRONMENT, FUNCTION_KEY, context_for, interpreter_here
from tests.deploy.tokens import Tokens
from tests.deploy.transcript import Transcript
from tests.deploy.working_copy import copy_and_edit
from tests.doubles.bedrock_server import BedrockServer
from tests.doubles.issuer import AUDIENCE, certificate_of_this_machine, running
from tests.endpoint.function import ALICE

_BUDGET_SECONDS = 300
_FAR_UNDER = 0.5  # of what Lambda takes unzipped: room for a user's own packages


class Rehearsal:
    """The story, part by part.

    Args:
        folder: For everything that is written.
        aws: The emulator.
        interpreter: The Python that runs the packages.
        transcript: Where it is told.
    """

    def __init__(self, folder: Path, aws: Emulator, interpreter: Interpreter, transcript: Transcript) -> None:
        self.transcript = transcript
        self.report = Report(transcript.write)
        self._folder = folder
        self._aws = aws
        self._interpreter = interpreter
        self._cdk = Cdk(aws.url, folder / "cdk-home", transcript.line)
        self._copy = folder / "kit"
        self._python_version = interpreter.full_version.rpartition(".")[0]
        self._context = context_for(interpreter)
        self._session = boto3.Session(
            aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal", region_name=REGION
        )

    def play(self) -> None:
        """All parts, in order. A part that cannot go on raises."""
        self.transcript.heading("A user's copy of the kit, with a tool added to its agent")
        self.transcript.line(f"  {copy_and_edit(self._copy)}")
        self.transcript.heading("Bootstrap the account and deploy, with the real CDK CLI")
        self._cdk.bootstrap(self._copy)
        config, outputs = self._deploy()
        for name, value in outputs.items():
            self.transcript.line(f"  {name} = {value}")
        self.transcript.heading("What the emulator holds is what was declared")
        check_deployed(self.report, self._session, outputs, config)
        self.transcript.heading("The packages, out of the emulator and under the real Lambda runtime client")
        install_runtime(self._python_version, self._folder)
        with BedrockServer(*SCRIPT, otherwise="And on we go.") as bedrock:
            function = self._function(outputs, bedrock.url, qualifier="live")
            self.transcript.line(
                f"  Python {self._interpreter.full_version}, on its path: {function.task_root.name}, "
                f"{len(function.layers)} layers, the runtime's own packages"
            )
            self._sizes(function)
            Conversation(function, bedrock, self.report).hold()
            self._streams(function)
            check_permissions(self.report, self._aws.permissions, bedrock)
            self._example(bedrock)
            self._change(bedrock)
        self._repeat()
        self._destroy(outputs["BucketName"])
        self._people()
        self._own_app()

    def _deploy(self, **context: str) -> tuple[KitConfig, dict[str, str]]:
        values = {**self._context, **context}
        self._cdk.deploy(self._copy, *(word for key, value in values.items() for word in ("-c", f"{key}={value}")))
        config = load_config(values)
        outputs = stack_outputs(self._session, config.stack_name)
        expect(outputs is not None, "no stack")
        return config, outputs or {}

    def _function(self, outputs: dict[str, str], bedrock_url: str, qualifier: str | None = None) -> DeployedFunction:
        # From now on the emulator refuses this function what its role does not allow.
        self._aws.permissions.forget(role_statements(self._session, outputs))
        client = self._session.client("lambda")
        function = take_out(client, outputs["FunctionName"], self._folder, self._interpreter, qualifier)
        function.environment = {
            **FUNCTION_ENVIRONMENT,
            "AWS_ENDPOINT_URL_S3": self._aws.url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock_url,
        }
        return function

    def _sizes(self, function: DeployedFunction) -> None:
        sizes = [folder_size(folder)[0] for folder in (function.task_root, *function.layers)]
        code, runtime, session = (f"{size / 1e6:.1f} MB" for size in sizes)
        share = sum(sizes) / LIMIT_BYTES
        self.report.check(
            f"sizes, unzipped: the function {code}, the runtime layer {runtime}, the session layer {session}; "
            f"{share:.0%} of what Lambda takes",
            lambda: expect(share < _FAR_UNDER, sizes),
        )
        bare = [f for f in (function.task_root, *function.layers) if next(f.rglob("*.pyc"), None) is None]
        self.report.check("each of them brings byte code", lambda: expect(not bare, bare))

    def _streams(self, function: DeployedFunction) -> None:
        self.transcript.heading("Its URL streams: turns as they come, with the kit's own client")
        with streaming_model() as (bedrock, gate):
            environment = {**function.environment, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url}
            with FunctionUrl(dataclasses.replace(function, environment=environment)) as url:
                Streams(url, gate, self.report, SigV4Auth(self._session)).hold()
        self.report.check("permissions: the role lets it invoke its own alias, and nothing else",
                          lambda: invokes_itself(self._aws.permissions.role, url.events))  # fmt: skip

    def _example(self, bedrock: BedrockServer) -> None:
        self.transcript.heading("Another app: a function with the session layer alone reads that session")
        self._cdk.deploy(self._copy / "examples" / "session-report")
        outputs = stack_outputs(self._session, "session-report-dev") or {}
        function = self._function(outputs, bedrock.url)
        owner = {"issuer": ALICE.account, "subject": ALICE.unique_id}
        outcome = function.invoke({"owner": owner, "session_id": SESSION})
        self.transcript.line(f"  {outcome.value}")
        self.report.check("it has one layer", lambda: expect(len(function.layers) == 1, function.layers))
        self.report.check("it asked S3 for nothing that its own role refuses",
                          lambda: expect(not self._aws.permissions.refused, self._aws.permissions.refused))  # fmt: skip
        self.report.check("it counts turns, tools and tokens", lambda: _check_summary(outcome.value))

    def _change(self, bedrock: BedrockServer) -> None:
        self.transcript.heading("Deploy again with another lifetime of sessions")
        config, outputs = self._deploy(session_ttl_days="7")
        check_deployed(self.report, self._session, outputs, config)
        conversation = Conversation(self._function(outputs, bedrock.url, qualifier="live"), bedrock, self.report)
        self.report.check("the session is still there after the deployment", lambda: _remembers(conversation))

    def _repeat(self) -> None:
        self.transcript.heading("Deploy again, unchanged")
        values = {**self._context, "session_ttl_days": "7"}
        arguments = [word for key, value in values.items() for word in ("-c", f"{key}={value}")]
        output = self._cdk.deploy(self._copy, *arguments)
        self.report.check("nothing changes: every package has the same hash",
                          lambda: expect("(no changes)" in output, output))  # fmt: skip

    def _destroy(self, bucket: str) -> None:
        self.transcript.heading("Destroy")
        example = self._copy / "examples" / "session-report"
        # From the template that is deployed: there is nothing to build for this.
        self._cdk.run(example, "destroy", "--force", "--app", "cdk.out")
        python = str(self._copy / ".venv" / "bin" / "python")
        context = [word for key, value in self._context.items() for word in ("-c", f"{key}={value}")]
        arguments = ["--force", "--app", "cdk.out", *context]
        shown = ["make", "destroy", f'ARGS="{" ".join(arguments)}"']
        self._cdk.call(self._copy, [python, "-m", "infra.commands.destroy", *arguments], shown)
        names = [entry["Name"] for entry in self._session.client("s3").list_buckets()["Buckets"]]
        self.report.check("the bucket is gone, with all sessions", lambda: expect(bucket not in names, names))
        layers = self._session.client("lambda").list_layers()["Layers"]
        self.report.check("layer versions stay for whoever uses them", lambda: expect(len(layers) >= 2, layers))
        stacks = self._session.client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])
        left = [stack["StackName"] for stack in stacks["StackSummaries"]]
        self.report.check("only the CDK's own stack is left", lambda: expect(left == ["CDKToolkit"], left))

    def _people(self) -> None:
        self.transcript.heading("For people with tokens of an issuer: auth=jwt, a deployment of its own")
        certificate = certificate_of_this_machine(self._folder)
        with running(certificate=certificate) as issuer:
            config, outputs = self._deploy(stage="people", auth="jwt", jwt_issuer=issuer.url, jwt_audiences=AUDIENCE)
            check_deployed(self.report, self._session, outputs, config)
            function = self._function(outputs, "", qualifier="live")
            # In the place of the certificates of the world's authorities.
            function.environment["SSL_CERT_FILE"] = str(certificate)
            Tokens(function, issuer, self.report).hold()

    def _own_app(self) -> None:
        self.transcript.heading("An app of one's own: the constructs from the wheel, in a clean environment")
        app = OwnApp(self._folder / "own", self._cdk)
        self.transcript.line(f"  {app.install()}")
        folder = app.synthesize(self._context)
        said = app.refusal_of("def build_agent(session_manager, settings):\n    return 'an agent'\n", self._context)
        refused = "agent cannot be used: build_agent has returned a str" in said
        self.report.check("a builder that returns no agent is refused at synth", lambda: expect(refused, said))
        self.report.check("nothing was written where it is installed", lambda: expect(not app.written(), app.written()))
        assembly = Assembly(folder, self._folder, self._aws, FUNCTION_KEY, self.transcript, self.report)
        assembly.rehearse(self._cdk, Tool("order_status", {"order_id": "A-17"}))


def _check_summary(summary: object) -> None:
    expect(isinstance(summary, dict) and "agents" in summary, summary)
    assert isinstance(summary, dict)
    (agent,) = summary["agents"].values()
    # Six prompts: text, tool, image, refund, the throttled one, and the one after it.
    expect(agent["turns"] == 6, agent)
    expect(agent["tools"] == {"calculator": 1, "refund": 1}, agent)
    expect(agent["tokens"]["totalTokens"] > 0, agent)


def _remembers(conversation: Conversation) -> None:
    reply = conversation.turn({"prompt": "Do you still know me?"})
    expect(reply.status == 200 and reply.body["restored_messages"] > 0, reply)
    said = str(conversation.bedrock.requests[-1].body["messages"][0])
    expect("My name is Ada." in said, said)


def main(arguments: list[str]) -> int:
    """Play the rehearsal.

    Returns:
        0 when everything was as promised, 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.deploy", allow_abbrev=False)
    parser.add_argument("--transcript", type=Path, help="write what is printed to this Markdown file too")
    parser.add_argument("--assembly", type=Path, help="rehearse this output of another app, such as cdk.out")
    parser.add_argument("--tool", nargs="+", help="what its model calls, such as clock zone=UTC")
    options = parser.parse_args(arguments)
    if options.tool and not options.assembly:
        parser.error("--tool goes with --assembly")
    transcript = Transcript()
    if options.assembly:
        return _assembly(options.assembly, options.tool, transcript)
    interpreter = interpreter_here()
    if interpreter is None:
        return 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, emulator(FUNCTION_KEY) as aws:
        os.environ["AWS_ENDPOINT_URL"] = aws.url
        rehearsal = Rehearsal(Path(folder), aws, interpreter, transcript)
        try:
            rehearsal.play()
        except CdkError as error:
            transcript.line(f"  FAILED  {error}")
            rehearsal.report.failed += 1
    seconds = time.monotonic() - started
    transcript.heading("Result")
    transcript.line(f"  account {ACCOUNT} (emulated), {seconds:.0f} s")
    code = rehearsal.report.close()
    if seconds > _BUDGET_SECONDS:
        transcript.line(f"  slower than {_BUDGET_SECONDS} s")
    if options.transcript:
        options.transcript.write_text(_HEAD + transcript.text + "```\n", encoding="utf-8")
    return code


def _assembly(folder: Path, tool: list[str] | None, transcript: Transcript) -> int:
    report = Report(transcript.write)
    with tempfile.TemporaryDirectory() as scratch, emulator(FUNCTION_KEY) as aws:
        os.environ["AWS_ENDPOINT_URL"] = aws.url
        cdk = Cdk(aws.url, Path(scratch, "cdk-home"), transcript.line)
        try:
            called = Tool.parse(tool) if tool else None
            assembly = Assembly(folder, Path(scratch), aws, FUNCTION_KEY, transcript, report)
            cdk.bootstrap(Path(scratch))
            assembly.rehearse(cdk, called)
        except (AssemblyError, CdkError) as error:
            transcript.line(f"  FAILED  {error}")
            report.failed += 1
    return report.close()


_HEAD = """\
# The rehearsal

What `make rehearse` prints: the real CDK CLI deploys into an AWS emulator on this machine, and what it deployed is
taken out again and run under the real Lambda runtime client, one process for each invocation, against a loopback
Bedrock.

```
"""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
