"""Leave to invoke one Bedrock model; a model of another provider needs none, but a key."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from .bedrock_model import model_grants
from .model_choice import is_on_bedrock

_ACTIONS = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]


def model_statements(scope: Construct, agent_model: str) -> list[iam.PolicyStatement]:
    """The statements a role needs to converse with a model, through its inference profile if it has one.

    Args:
        scope: A construct of the stack the role is in.
        agent_model: ``provider:model``, as :func:`infra.policies.model_choice.check_model` takes it.

    Returns:
        One statement for each distinct condition; none for another provider than Bedrock.
    """
    if not is_on_bedrock(agent_model):
        return []
    stack = Stack.of(scope)
    grants = model_grants(agent_model, partition=stack.partition, region=stack.region, account=stack.account)
    return [
        iam.PolicyStatement(
            actions=_ACTIONS,
            resources=list(grant.resources),
            conditions={"StringEquals": grant.string_equals} if grant.string_equals else None,
        )
        for grant in grants
    ]


def wildcards(agent_model: str) -> list[str]:
    """The resources of :func:`model_statements` that hold a wildcard, as cdk-nag spells them."""
    if not is_on_bedrock(agent_model):
        return []
    grants = model_grants(agent_model, partition="<AWS::Partition>", region="<AWS::Region>", account="<AWS::AccountId>")
    return [resource for grant in grants for resource in grant.resources if "*" in resource]


def guardrail_statements(scope: Construct, guardrail_id: str | None) -> list[iam.PolicyStatement]:
    """The statement a role needs so that a guardrail judges its model's calls.

    Source: Amazon Bedrock user guide, "Permissions to use guardrails with a model".

    Args:
        scope: A construct of the stack the role is in.
        guardrail_id: The guardrail's id or ARN, if there is one.
    """
    if guardrail_id is None:
        return []
    stack = Stack.of(scope)
    here = f"arn:{stack.partition}:bedrock:{stack.region}:{stack.account}:guardrail/{guardrail_id}"
    arn = guardrail_id if guardrail_id.startswith("arn:") else here
    return [iam.PolicyStatement(actions=["bedrock:ApplyGuardrail"], resources=[arn])]
