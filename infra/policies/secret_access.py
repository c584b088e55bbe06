"""Leave to read the agent's secrets: these, and no others."""

from collections.abc import Iterable

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from .secret_places import SecretPlace


def secret_statements(scope: Construct, places: Iterable[SecretPlace]) -> list[iam.PolicyStatement]:
    """The statements a role needs to read secrets.

    Args:
        scope: A construct of the stack the role is in.
        places: Where the secrets are kept.

    Returns:
        One statement for each service in use.
    """
    stack = Stack.of(scope)
    resources: dict[str, list[str]] = {}
    for place in sorted(set(places), key=lambda place: (place.service, place.secret_id)):
        arn = place.arn(partition=stack.partition, region=stack.region, account=stack.account)
        resources.setdefault(place.action, []).append(arn)
    return [iam.PolicyStatement(actions=[action], resources=arns) for action, arns in resources.items()]
