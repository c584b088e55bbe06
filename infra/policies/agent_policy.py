"""What the user's own agent may do: ``lambda_src/agent/policy.json``, an IAM policy document, checked at synth.

``${AWS::Partition}``, ``${AWS::Region}`` and ``${AWS::AccountId}`` in a resource stand for those of the deployment.
Source: IAM user guide, "IAM JSON policy elements reference".
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

_VERSION: Final = "2012-10-17"
_ALLOWED: Final = f'allowed: a JSON object with "Version": "{_VERSION}", one Statement or a list, and perhaps an Id'
_DOCUMENT: Final = {"Version", "Id", "Statement"}
_ELEMENTS: Final = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
_EFFECTS: Final = ("Allow", "Deny")
_SID: Final = re.compile(r"[A-Za-z0-9]+")
_ACTION: Final = re.compile(r"[a-z0-9-]+:[A-Za-z0-9*?]+")
_DEPLOYMENT: Final = {
    "${AWS::Partition}": "<AWS::Partition>",
    "${AWS::Region}": "<AWS::Region>",
    "${AWS::AccountId}": "<AWS::AccountId>",
}
_ARN: Final = re.compile(r"arn:(?P<partition>[^:]+):(?P<service>[^:]+):[^:]*:[^:]*:(?P<resource>.+)")


class AgentPolicyError(ValueError):
    """The agent's policy cannot be deployed; the message names the file, the statement and what is allowed."""


@dataclass(frozen=True)
class AgentStatement:
    """One statement of the agent's policy.

    Attributes:
        name: Its ``Sid``, or its number.
        element: As it stands in the document.
    """

    name: str
    element: Mapping[str, Any]

    @property
    def allows(self) -> bool:
        """Whether it allows something, rather than denying it."""
        return bool(self.element["Effect"] == "Allow")

    @property
    def actions(self) -> list[str]:
        """Its actions."""
        return _many(self.element.get("Action", self.element.get("NotAction")))

    @property
    def resources(self) -> list[str]:
        """Its resources."""
        return _many(self.element.get("Resource", self.element.get("NotResource")))


def _problem_with(document: object) -> str | None:
    if not isinstance(document, dict):
        return f"it is a {type(document).__name__}"
    if unknown := sorted(document.keys() - _DOCUMENT):
        return f"it has {', '.join(unknown)}"
    if "Statement" not in document:
        return "it has no Statement"
    if document.get("Version") != _VERSION:
        return f"its Version is {json.dumps(document.get('Version'))}"
    return None


def read_agent_policy(path: Path, *, wildcards: bool) -> list[AgentStatement]:
    """Read and check the agent's policy.

    Args:
        path: The document. Where there is none, the agent may do nothing of its own.
        wildcards: Whether a statement may allow something on every resource (``agent_policy_wildcards``).

    Raises:
        AgentPolicyError: It is no policy document, or allows too much.
    """
    if not path.exists():
        return []
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AgentPolicyError(
            f"{path.name} is no policy document: it cannot be read as JSON ({error}); {_ALLOWED}"
        ) from None
    if problem := _problem_with(document):
        raise AgentPolicyError(f"{path.name} is no policy document: {problem}; {_ALLOWED}")
    found = document["Statement"]
    statements = [_statement(number, it) for number, it in enumerate(found if isinstance(found, list) else [found], 1)]
    problems = [
        f"{path.name}, {statement.name}: {problem}"
        for statement in statements
        for problem in _problems(statement, wildcards=wildcards)
    ]
    if problems:
        raise AgentPolicyError("the agent's policy cannot be deployed:\n" + "\n".join(f"  {it}" for it in problems))
    return statements


def agent_statements(scope: Construct, statements: list[AgentStatement]) -> list[iam.PolicyStatement]:
    """The statements for the function's role.

    Args:
        scope: A construct of the stack the role is in.
        statements: What :func:`read_agent_policy` has read.
    """
    stack = Stack.of(scope)
    here = dict(zip(_DEPLOYMENT, (stack.partition, stack.region, stack.account), strict=True))
    return [iam.PolicyStatement.from_json(_placed(statement, here)) for statement in statements]


def wide_resources(statements: list[AgentStatement]) -> list[str]:
    """The resources of allowing statements that hold a wildcard, as cdk-nag spells them."""
    return [
        resource
        for statement in statements
        if statement.allows
        for resource in _many(_placed(statement, _DEPLOYMENT).get("Resource", []))
        if "*" in resource
    ]


def table(statements: list[AgentStatement]) -> str:
    """What the policy lets the agent do, a line for each action and resource, with the reason where it is wide."""
    rows = [("effect", "action", "resource", "why it is wide")]
    for statement in statements:
        no_action = "not " if "NotAction" in statement.element else ""
        no_resource = "not " if "NotResource" in statement.element else ""
        rows += [
            (
                statement.element["Effect"],
                no_action + action,
                no_resource + resource,
                _why_wide(resource) if statement.allows else "",
            )
            for action in statement.actions
            for resource in statement.resources
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )


def _statement(number: int, element: Any) -> AgentStatement:
    sid = element.get("Sid") if isinstance(element, dict) else None
    name = f"statement {sid}" if isinstance(sid, str) and sid else f"statement {number}"
    return AgentStatement(name, element)


def _problems(statement: AgentStatement, *, wildcards: bool) -> Iterator[str]:
    shape = list(_shape_problems(statement.element))
    yield from shape
    if shape or not statement.allows:
        return
    if "NotAction" in statement.element:
        yield "NotAction with Allow allows every action but these; name the actions in Action"
    for action in statement.actions:
        if "*" in action or "?" in action:
            yield f"{action} is a wildcard; name each action that the agent uses"
    if wildcards:
        return
    if "NotResource" in statement.element:
        yield "NotResource with Allow allows every resource but these; name the resources in Resource"
    for resource in statement.resources:
        if _is_everything(resource):
            yield f"Resource {resource} is everything there is; name it, or set agent_policy_wildcards=true"


def _shape_problems(element: Any) -> Iterator[str]:
    if not isinstance(element, dict):
        yield "it is no object"
        return
    if "Principal" in element or "NotPrincipal" in element:
        yield "it names a Principal; the policy of a role names none"
    if unknown := sorted(element.keys() - _ELEMENTS - {"Principal", "NotPrincipal"}):
        yield f"{unknown[0]} is no element of a statement; allowed: {', '.join(sorted(_ELEMENTS))}"
    if element.get("Effect") not in _EFFECTS:
        yield "Effect is Allow or Deny"
    if "Sid" in element and not (isinstance(element["Sid"], str) and _SID.fullmatch(element["Sid"])):
        yield "Sid has letters and digits only"
    for one in ("Action", "Resource"):
        given = [element[name] for name in (one, f"Not{one}") if name in element]
        if len(given) != 1 or not _are_texts(given[0]):
            yield f"it needs {one} or Not{one}: a text, or a list of texts"
        elif one == "Action":
            wrong = [action for action in _many(given[0]) if action != "*" and not _ACTION.fullmatch(action)]
            yield from (f"{action!r} is no action, such as dynamodb:GetItem" for action in wrong)
        else:
            wrong = [resource for resource in _many(given[0]) if resource != "*" and not _arn(resource)]
            yield from (f"{resource!r} is no ARN" for resource in wrong)
    if not isinstance(element.get("Condition", {}), dict):
        yield "Condition is an object"


def _are_texts(value: Any) -> bool:
    items: list[Any] = value if isinstance(value, list) else [value]
    return bool(items) and all(isinstance(item, str) and item != "" for item in items)


def _arn(resource: str) -> re.Match[str] | None:
    return _ARN.fullmatch(_replaced(resource, dict.fromkeys(_DEPLOYMENT, "here")))


def _is_everything(resource: str) -> bool:
    """Whether a resource is all that a service has, or more."""
    arn = _arn(resource)
    return arn is None or "*" in arn["service"] or not arn["resource"].strip("*?")


def _why_wide(resource: str) -> str:
    arn = _arn(resource)
    if arn is None:
        return "every resource of every service"
    if _is_everything(resource):
        return f"every resource of {arn['service']}"
    if "*" in arn["resource"] or "?" in arn["resource"]:
        return "every resource whose name fits"
    return "in every region or account" if "*" in resource else ""


def _placed(statement: AgentStatement, here: Mapping[str, str]) -> dict[str, Any]:
    placed = dict(statement.element)
    for name in ("Resource", "NotResource"):
        if name in placed:
            placed[name] = [_replaced(resource, here) for resource in _many(placed[name])]
    return placed


def _replaced(text: str, here: Mapping[str, str]) -> str:
    for variable, value in here.items():
        text = text.replace(variable, value)
    return text


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
