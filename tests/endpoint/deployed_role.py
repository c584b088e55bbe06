"""The deployed function's role, between the function under test and AWS.

Every request that boto3 sends to S3 or Bedrock in the function's name is judged by the policies of the synthesised
template, conditions included, and refused as AWS would refuse it. What was asked for is kept.
"""

import functools
import io
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session
from urllib3 import HTTPResponse

from tests.deploy.permission_check import Call, calls_of
from tests.infra.policy_evaluator import Decision, Statement, decide
from tests.infra.synthesis import ACCOUNT, REGION, synthesize

_CONVERSE = re.compile(r"/model/(?P<model>[^/]+)/(?P<operation>converse|converse-stream)")
_BEDROCK_ACTIONS = {"converse": "bedrock:InvokeModel", "converse-stream": "bedrock:InvokeModelWithResponseStream"}
_REFUSED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
# Erasing and redacting look for old versions. A bucket that keeps none comes with a role that may not: it is asked,
# refuses, and the library goes on without.
_MAY_BE_REFUSED = {"s3:ListBucketVersions"}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class ModelCall:
    """One permission that a request to Bedrock needs: through a profile they are several, on different resources."""

    action: str
    resource: str
    conditions: tuple[tuple[str, str], ...] = ()

    def context(self) -> dict[str, str]:
        """The request's condition keys."""
        return {"aws:RequestedRegion": REGION, **dict(self.conditions)}


@dataclass
class DeployedRole:
    """Judges and keeps what the function asks AWS for.

    Attributes:
        calls: What was asked for, and whether it was allowed.
        reached_neighbours: What would also have been allowed one prefix, bucket or model further: nothing, if all is
            well.
    """

    calls: dict[Call | ModelCall, bool] = field(default_factory=dict)
    reached_neighbours: set[Call | ModelCall] = field(default_factory=set)

    @property
    def actions(self) -> set[str]:
        """The actions asked for, as IAM names them."""
        return {call.action for call in self.calls}

    @property
    def refused(self) -> set[Call | ModelCall]:
        """What a deployed function would have needed and not have got."""
        return {call for call, allowed in self.calls.items() if not allowed and call.action not in _MAY_BE_REFUSED}

    def judge(self, request: AWSPreparedRequest) -> bool:
        """Keep what a request needs, and say whether all of it is allowed."""
        role = deployed_statements(
            os.environ.get("SESSION_STORE", ""),
            os.environ.get("AGENT_MODEL", ""),
            os.environ.get("AGENT_SECRETS", ""),
            os.environ.get("AGENT_GUARDRAIL_ID", ""),
        )
        needed = _needed(request)
        for call in needed:
            self.calls[call] = _allows(role, call)
            self.reached_neighbours |= {other for other in _neighbours(call) if _allows(role, other)}
        # What is merely looked at on the way to a 404 does not refuse the request itself.
        return all(self.calls[call] for call in needed if not (isinstance(call, Call) and call.implied))

    @contextmanager
    def in_front_of_aws(self, access_key: str) -> Iterator[None]:
        """Judge every request under an access key that leaves this process.

        Args:
            access_key: The function's. Whatever a test does under another one is none of the role's business.
        """
        send = URLLib3Session.send

        def judged(session: URLLib3Session, request: AWSPreparedRequest) -> Any:
            authorization = str(request.headers.get("Authorization", ""))  # bytes, once it is signed
            if f"Credential={access_key}/" not in authorization or self.judge(request):
                return send(session, request)
            raw = HTTPResponse(io.BytesIO(_REFUSED), preload_content=False)
            return AWSResponse(request.url, 403, HTTPHeaders(), raw)

        with mock.patch.object(URLLib3Session, "send", judged):
            yield


@functools.cache
def _statements(agent_model: str, agent_secrets: str, guardrail_id: str) -> tuple[str, str]:
    given: dict[str, Any] = {
        "agent_model": agent_model,
        "agent_secrets": agent_secrets,
        "agent_guardrail_id": guardrail_id,
    }
    template = synthesize(**{key: value for key, value in given.items() if value})
    documents = [*template.of_type("AWS::IAM::Policy"), *template.of_type("AWS::S3::BucketPolicy")]
    found = [s for document in documents for s in document["Properties"]["PolicyDocument"]["Statement"]]
    return json.dumps(found), template.outputs["BucketName"]


@functools.cache
def _deployed_statements(store_url: str, agent_model: str, agent_secrets: str, guardrail_id: str) -> list[Statement]:
    text, bucket = _statements(agent_model, agent_secrets, guardrail_id)
    store = urllib.parse.urlsplit(store_url)
    if store.scheme == "s3":
        # The same template, deployed with this bucket and prefix.
        text = text.replace(f":::{bucket}", f":::{store.netloc}").replace("sessions/*", f"{store.path.strip('/')}/*")
    statements: list[Statement] = json.loads(text)
    return statements


def deployed_statements(
    store_url: str = "", agent_model: str = "", agent_secrets: str = "", guardrail_id: str = ""
) -> list[Statement]:
    """Everything that has a say about the function's requests: its role's policies and its bucket's.

    Args:
        store_url: Where the function under test keeps its sessions; other than in S3, the bucket is the template's.
        agent_model: Its model. A model that is not Bedrock's leaves the role with the default.
        agent_secrets: Where its secrets are, as ``AGENT_SECRETS`` says.
        guardrail_id: The guardrail that judges its model's calls, if there is one.
    """
    model = agent_model if agent_model.startswith("bedrock:") else ""
    with _one_at_a_time:  # the CDK's kernel is one process behind a pipe
        return _deployed_statements(store_url, model, agent_secrets, guardrail_id)


def _allows(role: list[Statement], call: Call | ModelCall) -> bool:
    return decide(role, call.action, call.resource, call.context()) is Decision.ALLOWED


def _needed(request: AWSPreparedRequest) -> set[Call | ModelCall]:
    url = urllib.parse.urlsplit(request.url)
    converse = _CONVERSE.fullmatch(url.path)
    body = request.body if isinstance(request.body, bytes) else b""
    if converse:
        action = _BEDROCK_ACTIONS[converse["operation"]]
        calls: set[Call | ModelCall] = set(_model_calls(urllib.parse.unquote(converse["model"]), action))
        return calls | _guardrail_calls(json.loads(body))
    target: Any = request.headers.get("X-Amz-Target")  # bytes, once it is signed
    if target:
        return {_secret_call(target.decode(), json.loads(body))}
    environ = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": urllib.parse.unquote(url.path).encode().decode("latin-1"),
        "QUERY_STRING": url.query,
        "HTTP_HOST": url.netloc,
        **{f"HTTP_{name.upper().replace('-', '_')}": _text(value) for name, value in request.headers.items()},
    }
    return set(calls_of(environ, body))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _model_calls(model: str, action: str) -> list[ModelCall]:
    """What Bedrock asks IAM. Source: Amazon Bedrock user guide, "Global cross-Region inference"."""
    profile = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{model}"
    geography, _, behind = model.partition(".")
    if geography != "global":
        return [ModelCall(action, f"arn:aws:bedrock:{REGION}::foundation-model/{model}")]
    through = ("bedrock:InferenceProfileArn", profile)
    return [
        ModelCall(action, profile),
        ModelCall(action, f"arn:aws:bedrock:{REGION}::foundation-model/{behind}", (through,)),
        ModelCall(
            action,
            f"arn:aws:bedrock:::foundation-model/{behind}",
            (through, ("aws:RequestedRegion", "unspecified")),
        ),
    ]


def _guardrail_calls(body: dict[str, Any]) -> set[Call | ModelCall]:
    guardrail = body.get("guardrailConfig")
    if guardrail is None:
        return set()
    arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:guardrail/{guardrail['guardrailIdentifier']}"
    return {ModelCall("bedrock:ApplyGuardrail", arn)}


def _secret_call(target: str, body: dict[str, Any]) -> Call:
    """What the services for secrets ask IAM. Secrets Manager looks a name up, and ends its ARN in six characters."""
    here = f"{REGION}:{ACCOUNT}"
    if target == "secretsmanager.GetSecretValue":
        return Call("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{here}:secret:{body['SecretId']}-AbCdEf")
    if target == "AmazonSSM.GetParameter":
        return Call("ssm:GetParameter", f"arn:aws:ssm:{here}:parameter/{body['Name'].removeprefix('/')}")
    raise NotImplementedError(target)


def _neighbours(call: Call | ModelCall) -> list[Call | ModelCall]:
    """The same call a little beside: another model; another bucket; a prefix that begins alike; no prefix."""
    if isinstance(call, ModelCall):
        beside: list[Call | ModelCall] = [replace(call, resource=call.resource + "-other")]
        if call.conditions:
            beside.append(replace(call, conditions=()))
        return beside
    if not call.resource.startswith("arn:aws:s3:"):
        return [replace(call, resource=f"{call.resource}2"), replace(call, resource=call.resource.replace("/", "/2/"))]
    bucket, slash, key = call.resource.removeprefix("arn:aws:s3:::").partition("/")
    elsewhere = replace(call, resource=f"arn:aws:s3:::{bucket}2{slash}{key}")
    if not key:
        first, _, rest = (call.prefix or "").partition("/")
        return [elsewhere, replace(call, prefix=f"{first}2/{rest}"), replace(call, prefix=None)]
    first, _, rest = key.partition("/")
    return [elsewhere, replace(call, resource=f"arn:aws:s3:::{bucket}/{first}2/{rest}")]
