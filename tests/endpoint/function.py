"""A deployed function as seen from outside: an environment, cold starts, and events for its handler."""

import base64
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from tests.planted import emitted, plant, plant_event

ACCOUNT = "123456789012"
PROBLEM = "urn:agent-session-kit:problem:"


@dataclass(frozen=True)
class Caller:
    """An IAM principal, as Lambda describes it in a request's context."""

    unique_id: str = "AROAEXAMPLEALICE"
    session_name: str = "laptop"
    account: str = ACCOUNT

    def authorizer(self) -> dict[str, Any]:
        return {
            "iam": {
                "accessKey": "ASIAEXAMPLE",
                "accountId": self.account,
                "callerId": f"{self.unique_id}:{self.session_name}",
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": f"arn:aws:sts::{self.account}:assumed-role/role/{self.session_name}",
                "userId": f"{self.unique_id}:{self.session_name}",
            }
        }


ALICE = Caller()
BOB = Caller("AROAEXAMPLEBOB")


@dataclass
class Context:
    """The Lambda context of one invocation; time stands still."""

    remaining_seconds: float = 60
    aws_request_id: str = "8a5c1f0e-request"
    function_name: str = "agent-endpoint"

    def get_remaining_time_in_millis(self) -> int:
        return round(self.remaining_seconds * 1000)


@dataclass(frozen=True)
class Answer:
    """What the function returned to Lambda for an HTTP request."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        """The kind of problem."""
        assert self.headers["content-type"] == "application/problem+json", self.text
        document = self.json
        assert document["status"] == self.status
        return str(document["type"]).removeprefix(PROBLEM)


def http_event(
    method: str,
    path: str,
    body: Any = None,
    *,
    caller: Caller | None = ALICE,
    query: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    base64_encoded: bool = False,
) -> dict[str, Any]:
    """A Function URL event, payload version 2.0, as Lambda sends it."""
    if isinstance(body, dict):
        plant(body.get("prompt"))
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    if text is not None and base64_encoded:
        text = base64.b64encode(text.encode()).decode()
    context: dict[str, Any] = {
        "accountId": ACCOUNT if caller else "anonymous",
        "apiId": "url-id",
        "domainName": "url-id.lambda-url.eu-west-1.on.aws",
        "domainPrefix": "url-id",
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": "curl/8",
        },
        "requestId": "request-of-the-url",
        "routeKey": "$default",
        "stage": "$default",
        "time": "12/Mar/2026:19:03:58 +0000",
        "timeEpoch": 1773342238000,
    }
    if caller:
        context["authorizer"] = caller.authorizer()
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "headers": {
            "content-type": "application/json",
            "host": "url-id.lambda-url.eu-west-1.on.aws",
            **(headers or {}),
        },
        "requestContext": context,
        "isBase64Encoded": base64_encoded,
    }
    if query:
        event["queryStringParameters"] = {name: str(value) for name, value in query.items()}
    if text is not None:
        event["body"] = text
    return event


def forget_function() -> None:
    """Have the next import of the function begin anew; within :func:`processes`, which brings back what was there."""
    gc.unfreeze()  # what a function kept for its process's life is garbage with it
    for name in [name for name in sys.modules if name.split(".")[0] == "lambda_src"]:
        del sys.modules[name]


@dataclass
class Function:
    """The endpoint's function. ``cold_start`` throws away everything a process would lose.

    Attributes:
        environment: its environment variables.
        models: models by name, which ``AGENT_MODEL=scripted:<name>`` chooses.
        build_agent: an edited ``lambda_src/agent/__init__.py``, if any.
    """

    environment: dict[str, str]
    models: dict[str, Any] = field(default_factory=dict)
    build_agent: Callable[..., Any] | None = None
    module: Any = None

    def cold_start(self) -> Any:
        """Start a new process: import everything of the function again."""
        forget_function()
        os.environ.update(self.environment)  # until the test's end: see ``processes``
        self.part("models.providers").MODEL_PROVIDERS["scripted"] = lambda name, settings: self.models[name]
        self.module = self.part("handler")
        if self.build_agent:
            self.part("agent").build_agent = self.build_agent
        return self.module

    def part(self, name: str) -> Any:
        """A module of the running process."""
        return importlib.import_module(f"lambda_src.{name}")

    def invoke(self, event: Any, context: Context | None = None) -> Any:
        """Invoke the handler, starting the function when it is not running."""
        if self.module is None:
            self.cold_start()
        plant_event(event)
        try:
            return self.module.lambda_handler(event, context or Context())
        except Exception as error:
            emitted("what an event raises", f"{type(error).__name__}: {error}")
            raise

    def http(self, method: str, path: str, body: Any = None, context: Context | None = None, **event: Any) -> Answer:
        """Send an HTTP request through the Function URL."""
        return answer_in(self.invoke(http_event(method, path, body, **event), context))

    def say(self, prompt: Any, session_id: str = "chat", **options: Any) -> Answer:
        """Take a turn with a prompt."""
        return self.http("POST", f"/sessions/{session_id}/messages", {"prompt": prompt}, **options)

    def reply(self, prompt: Any, session_id: str = "chat", **options: Any) -> Any:
        """Take a turn that must work, and return the reply."""
        answer = self.say(prompt, session_id, **options)
        assert answer.status == 200, answer.text
        return answer.json


def answer_in(response: Any) -> Answer:
    """What a caller gets of what the handler returned. A streamed answer is read to its end."""
    if hasattr(response, "pieces"):
        text = b"".join(response.pieces).decode()
        response.close()
        response.wait()
        return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, text)
    json.dumps(response)  # what the runtime does with it
    headers = {name.lower(): value for name, value in response["headers"].items()}
    assert response["isBase64Encoded"] is False
    if headers.get("content-type") == "application/problem+json":
        emitted("a problem document", f"{response['body']} {headers}")
    return Answer(response["statusCode"], headers, response["body"] or "")


@contextmanager
def processes() -> Iterator[None]:
    """Leave the interpreter with the modules and variables it had, however many cold starts happen inside."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "lambda_src"}
    try:
        with mock.patch.dict(os.environ):
            yield
    finally:
        forget_function()
        sys.modules.update(before)


def text_of(reply: Any) -> str:
    """The text of a reply's message."""
    return "".join(block.get("text", "") for block in reply["message"]["content"])
