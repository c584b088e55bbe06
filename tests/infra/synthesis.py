"""Templates of the kit's stack, synthesised once per configuration and process, with their values resolved."""

import functools
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra.config import load_config
from infra.packaging.kit_files import AGENT_FOLDER
from infra.stack import KitStack

ACCOUNT = "111122223333"
REGION = "eu-central-1"
_POLICY = "the agent's policy"  # no key of the configuration
_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "the-stack",
}
_ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{id}",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{{id}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{id}}:*",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{{id}}",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{id}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{id}}",
    "AWS::Lambda::Version": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{id}}",
    "AWS::Lambda::Alias": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:endpoint:live",
    "AWS::Lambda::LayerVersion": f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{{id}}:1",
}
# What `Ref` gives for these is an ARN too; for the others it is a name.
_REF_IS_ARN = {"AWS::Lambda::Alias", "AWS::Lambda::LayerVersion", "AWS::Lambda::Version"}


class ResolvedTemplate:
    """A template with intrinsic functions replaced by made-up but consistent values."""

    def __init__(self, template: dict[str, Any]) -> None:
        self._types = {name: resource["Type"] for name, resource in template["Resources"].items()}
        self.source = template
        self.resources: dict[str, dict[str, Any]] = self.resolve(template["Resources"])
        self.outputs: dict[str, str] = {
            name: value["Value"] for name, value in self.resolve(template["Outputs"]).items()
        }

    def of_type(self, resource_type: str) -> list[dict[str, Any]]:
        """All resources of a type, with attributes such as ``DeletionPolicy`` beside ``Properties``."""
        return [resource for resource in self.resources.values() if resource["Type"] == resource_type]

    def only(self, resource_type: str) -> dict[str, Any]:
        """The one resource of a type."""
        (resource,) = self.of_type(resource_type)
        return resource

    def properties(self, resource_type: str) -> dict[str, Any]:
        """The properties of the one resource of a type."""
        properties: dict[str, Any] = self.only(resource_type).get("Properties", {})
        return properties

    def resolve(self, value: Any) -> Any:
        """The value with every intrinsic function in it replaced."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._intrinsic(name, argument)
        return {key: self.resolve(item) for key, item in value.items()}

    def _intrinsic(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._ref(argument)
            case "Fn::GetAtt":
                return self._attribute(*argument)
            case "Fn::Join":
                return argument[0].join(self.resolve(argument[1]))
            case "Fn::Split":
                return self.resolve(argument[1]).split(argument[0])
            case "Fn::Select":
                return self.resolve(argument[1])[int(argument[0])]
            case "Fn::Sub":
                return re.sub(r"\$\{([^}]+)\}", lambda found: self._ref(found[1]), argument)
        raise NotImplementedError(name)

    def _ref(self, name: str) -> str:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if self._types.get(name) in _REF_IS_ARN:
            return self._attribute(name, "Arn")
        return name.lower()

    def _attribute(self, name: str, attribute: str) -> str:
        if attribute == "Arn":
            return _ARNS[self._types[name]].format(id=name.lower())
        return f"{name.lower()}.{attribute}"


@functools.cache
def _synthesize(context: str) -> tuple[dict[str, Any], dict[str, Any]]:
    values = json.loads(context)
    policy = values.pop(_POLICY, None)
    with tempfile.TemporaryDirectory() as folder:
        app = App(outdir=folder, context={**values, "aws:cdk:bundling-stacks": []})
        agent = None
        if policy is not None:
            agent = Path(shutil.copytree(AGENT_FOLDER, Path(folder, "agent")))
            (agent / "policy.json").write_text(json.dumps(policy), encoding="utf-8")
        stack = KitStack(app, load_config(values), agent)
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        template: dict[str, Any] = app.synth().get_stack_by_name(stack.stack_name).template
    return template, values


def synthesize(*, agent_policy: Any = None, **context: Any) -> ResolvedTemplate:
    """The stack's template for a configuration, cdk-nag included: a finding without a reason fails the synthesis.

    Args:
        agent_policy: An edited ``lambda_src/agent/policy.json``.
        context: The configuration.
    """
    values = context if agent_policy is None else {**context, _POLICY: agent_policy}
    return ResolvedTemplate(_synthesize(json.dumps(values, sort_keys=True))[0])
