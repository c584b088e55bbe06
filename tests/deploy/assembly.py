"""What another CDK app has made of the kit's constructs: deployed as it is, and two turns with each endpoint in it."""

import json
import platform
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import boto3

from infra.commands.smoke.report import Report, expect
from infra.packaging.interpreters import find_interpreter
from infra.policies.model_choice import is_on_bedrock
from tests.deploy.cdk_cli import REGION, Cdk
from tests.deploy.declared import role_statements
from tests.deploy.emulator import Emulator
from tests.deploy.lambda_process import DeployedFunction, install_runtime, take_out
from tests.deploy.transcript import Transcript
from tests.doubles.bedrock_server import BedrockServer, tool_use
from tests.endpoint.function import ALICE, http_event

MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_HANDLER = "lambda_src.handler.lambda_handler"
_PROMPTS = ("My name is Ada.", "What is my name?")
_ANSWER = "I have heard you."
# Erasing a session looks for old versions. A role without leave to see them belongs to a bucket that keeps none.
_MAY_BE_REFUSED = {"s3:ListBucketVersions"}


class AssemblyError(RuntimeError):
    """The assembly cannot be rehearsed on this machine; the message says why."""


@dataclass(frozen=True)
class Tool:
    """What the model calls in the first turn.

    Attributes:
        name: The tool.
        arguments: What it is given.
    """

    name: str
    arguments: dict[str, Any]

    @classmethod
    def parse(cls, words: list[str]) -> Self:
        """Read a tool's name and its arguments: JSON, or else text.

        Raises:
            AssemblyError: An argument has no name.
        """
        name, *given = words
        arguments = {}
        for word in given:
            key, equals, text = word.partition("=")
            if not key or not equals:
                raise AssemblyError(f"--tool {name}: {word!r} is no argument, such as zone=UTC")
            try:
                arguments[key] = json.loads(text)
            except ValueError:
                arguments[key] = text
        return cls(name, arguments)


class Assembly:
    """The output of a CDK app, such as ``cdk.out``.

    Args:
        folder: The output.
        scratch: For everything that is written.
        aws: The emulator.
        access_key: Under which the functions call.
        transcript: Where it is told.
        report: Where the results go.

    Raises:
        AssemblyError: It is none, has no endpoint, or was made for another machine.
    """

    def __init__(
        self, folder: Path, scratch: Path, aws: Emulator, access_key: str, transcript: Transcript, report: Report
    ) -> None:
        self._folder = folder.resolve()
        self._scratch = scratch
        self._aws = aws
        self._access_key = access_key
        self._transcript = transcript
        self._report = report
        self._session = boto3.Session(
            aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal", region_name=REGION
        )
        self._check()

    def rehearse(self, cdk: Cdk, tool: Tool | None = None) -> None:
        """Deploy the assembly into a bootstrapped account, and talk to every endpoint in it.

        Args:
            cdk: The CLI.
            tool: What the model calls in the first turn, if it is to call something.
        """
        cdk.deploy(self._scratch, "--app", str(self._folder), "--all")
        for name in self._endpoints():
            self._talk_to(name, tool)

    def _check(self) -> None:
        if not (self._folder / "manifest.json").is_file():
            raise AssemblyError(f"{self._folder} is no output of a CDK app: it has no manifest.json; run `cdk synth`")
        here = MACHINES[platform.machine().lower()]
        found = [
            resource["Properties"]
            for template in sorted(self._folder.glob("*.template.json"))
            for resource in json.loads(template.read_text(encoding="utf-8")).get("Resources", {}).values()
            if resource["Type"] == "AWS::Lambda::Function" and resource["Properties"].get("Handler") == _HANDLER
        ]
        if not found:
            raise AssemblyError(f"{self._folder} has no AgentEndpoint: no function with the handler {_HANDLER}")
        for properties in found:
            if properties["Architectures"] != [here]:
                raise AssemblyError(
                    f"a function is for {properties['Architectures'][0]} and this machine is {here}: synthesize it "
                    f"with KitConfig(architecture={here!r})"
                )
            model = properties["Environment"]["Variables"]["AGENT_MODEL"]
            if not is_on_bedrock(model):
                raise AssemblyError(f"the rehearsal's model speaks as Bedrock does, and this agent's is {model!r}")

    def _endpoints(self) -> list[str]:
        artifacts = json.loads((self._folder / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
        stacks = [
            artifact.get("properties", {}).get("stackName", name)
            for name, artifact in artifacts.items()
            if artifact["type"] == "aws:cloudformation:stack"
        ]
        client = self._session.client("cloudformation")
        functions = [
            resource["PhysicalResourceId"]
            for stack in stacks
            for resource in client.describe_stack_resources(StackName=stack)["StackResources"]
            if resource.get("ResourceType") == "AWS::Lambda::Function"  # moto has none for the CDK's metadata
        ]
        return [name for name in functions if self._configuration(name)["Handler"] == _HANDLER]

    def _configuration(self, name: str) -> Any:
        return self._session.client("lambda").get_function(FunctionName=name)["Configuration"]

    def _function(self, name: str, bedrock_url: str) -> DeployedFunction:
        self._aws.permissions.forget(role_statements(self._session, {"FunctionName": name}))
        client = self._session.client("lambda")
        version = self._configuration(name)["Runtime"].removeprefix("python")
        interpreter = find_interpreter(version)
        if interpreter is None:
            raise AssemblyError(f"the function needs Python {version}, which this machine does not have")
        if not (self._scratch / "runtime").is_dir():
            install_runtime(version, self._scratch)
        function = take_out(client, name, self._scratch, interpreter, "live")
        function.environment = {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self._access_key,
            "AWS_SECRET_ACCESS_KEY": "rehearsal",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self._aws.url,  # for whatever the agent calls itself
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock_url,
        }
        return function

    def _talk_to(self, name: str, tool: Tool | None) -> None:
        script = [tool_use(tool.name, **tool.arguments)] if tool else []
        with BedrockServer(*script, otherwise=_ANSWER) as bedrock:
            function = self._report.check(
                f"{name} comes out of the emulator", partial(self._function, name, bedrock.url)
            )
            if function is None:
                return
            stored = 0
            for number, prompt in enumerate(_PROMPTS, 1):
                turn = partial(_turn, function, prompt, stored)
                promise = f"turn {number}: a new process restores {stored} messages, and answers"
                if self._report.check(promise, turn) is None:
                    self._transcript.line(function.log)
                    return
                if tool and number == 1:
                    self._tell_result(tool, bedrock)
                stored = 4 if tool else 2
            self._report.check("the model is shown what was said before", lambda: _is_shown(bedrock, _PROMPTS[0]))
        refused = {call for call in self._aws.permissions.refused if call.action not in _MAY_BE_REFUSED}
        self._report.check("its role allows what it asked S3 for", lambda: expect(not refused, refused))

    def _tell_result(self, tool: Tool, bedrock: BedrockServer) -> None:
        def result() -> str:
            content = bedrock.requests[-1].body["messages"][-1]["content"]
            (found,) = [block["toolResult"] for block in content if "toolResult" in block]
            expect(found.get("status") != "error", found)
            return "".join(block.get("text", "") for block in found["content"])

        said = self._report.check(f"the model calls {tool.name}", result)
        if said is not None:
            self._transcript.line(f"  {tool.name}: {said}")


def _turn(function: DeployedFunction, prompt: str, restored: int) -> Any:
    event = http_event("POST", "/sessions/rehearsal/messages", {"prompt": prompt}, caller=ALICE)
    outcome = function.invoke(event)
    expect(outcome.error is None, outcome)
    body = json.loads(outcome.value["body"])
    expect(outcome.value["statusCode"] == 200, outcome.value)
    expect(body["restored_messages"] == restored, body)
    return body


def _is_shown(bedrock: BedrockServer, prompt: str) -> None:
    first = bedrock.requests[-1].body["messages"][0]
    expect(first["content"] == [{"text": prompt}], first)
