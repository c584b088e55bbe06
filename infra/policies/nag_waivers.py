"""Waiving a rule of cdk-nag, always with a reason, beside the construct it is about."""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct

_PACK = "AwsSolutions"


def waive(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Acknowledge findings.

    Args:
        construct: Whose findings, its children's included.
        reasons: Rule id (with the finding in brackets, where the rule has several) to why it is right this way here.
    """
    for rule, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=f"{_PACK}::{rule}", reason=reason))
