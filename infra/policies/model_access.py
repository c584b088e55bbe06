"""Leave to invoke one Bedrock model."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.policies.bedrock_model import model_grants

_ACTIONS = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"]


def model_statements(scope: Construct, agent_model: str) -> list[iam.PolicyStatement]:
    """The statements a role needs to converse with a model, through its inference profile if it has one.

    Args:
        scope: A construct of the stack the role is in.
        agent_model: ``bedrock:<model id, inference profile id or ARN>``.

    Returns:
        One statement for each distinct condition.

    Raises:
        ValueError: When it is no Bedrock model.
    """
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
    grants = model_grants(agent_model, partition="<AWS::Partition>", region="<AWS::Region>", account="<AWS::AccountId>")
    return [resource for grant in grants for resource in grant.resources if "*" in resource]
