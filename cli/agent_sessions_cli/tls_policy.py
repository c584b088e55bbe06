"""Which requests without TLS a bucket's policy lets through: pure functions of the policy."""

from __future__ import annotations

import json
import re
from typing import Any

_OBJECT = "an/object/of/nobody's"


def untouched_by(policy: str, bucket: str) -> str | None:
    """What a policy leaves open to requests without TLS.

    A statement counts if it denies everything to everybody under that one condition. Statements may share the work:
    one for the bucket, one for its objects.

    Args:
        policy: The bucket's policy, JSON.
        bucket: Its name.

    Returns:
        ``None`` if no request without TLS is let through; else what is open, as the end of a sentence: empty for
        all of it.
    """
    try:
        read = json.loads(policy)
    except ValueError:
        read = {}
    denying = [
        statement
        for statement in _many(read.get("Statement", []) if isinstance(read, dict) else [])
        if isinstance(statement, dict) and statement.get("Effect") == "Deny" and _names_transport(statement)
    ]
    whole = [statement for statement in denying if not _narrowed(statement)]
    open_now = [
        what
        for what, resource in (("the bucket", bucket), ("its objects", f"{bucket}/{_OBJECT}"))
        if not any(_covers(statement, resource) for statement in whole)
    ]
    if not open_now:
        return None
    if not denying:
        return ""
    why = sorted({reason for statement in denying for reason in _narrowed(statement)})
    but = f" ({', '.join(why)})" if why else ""
    return f" by {' and '.join(open_now)}{but}"


def _names_transport(statement: dict[str, Any]) -> bool:
    return "aws:securetransport" in json.dumps(statement.get("Condition", {})).lower()


def _narrowed(statement: dict[str, Any]) -> list[str]:
    """Why a statement does not deny everything to everybody without TLS."""
    principal = statement.get("Principal")
    everybody = principal == "*" or (isinstance(principal, dict) and "*" in _many(principal.get("AWS", [])))
    everything = {"*", "s3:*"} & {str(action).lower() for action in _many(statement.get("Action", []))}
    reasons = []
    if not everybody:
        reasons.append("some principals alone are denied")
    if not everything:
        reasons.append("some actions alone are denied")
    if not _is_transport_alone(statement.get("Condition")):
        reasons.append("it has other conditions, too, or another value")
    return reasons


def _is_transport_alone(condition: object) -> bool:
    if not isinstance(condition, dict) or len(condition) != 1:
        return False
    ((operator, compared),) = condition.items()
    if str(operator).lower() not in {"bool", "boolifexists"} or not isinstance(compared, dict) or len(compared) != 1:
        return False
    ((key, value),) = compared.items()
    return key.lower() == "aws:securetransport" and {str(one).lower() for one in _many(value)} >= {"false"}


def _covers(statement: dict[str, Any], resource: str) -> bool:
    return any(_matches(str(pattern), resource) for pattern in _many(statement.get("Resource", [])))


def _matches(pattern: str, resource: str) -> bool:
    """Whether a resource's pattern, in any partition, matches a bucket or an object."""
    _, is_arn, name = pattern.partition(":s3:::")
    if not is_arn:
        return pattern == "*"
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(sign, re.escape(sign)) for sign in name), resource, re.DOTALL) is not None


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
