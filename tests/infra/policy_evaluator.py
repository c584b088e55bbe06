"""IAM's evaluation of policies, as far as this kit's policies need it: does this role, calling this, get through?

Follows the IAM user guide, "Policy evaluation logic" and "Condition operators": an explicit deny wins, otherwise one
matching allow is enough, otherwise the request is denied. A condition whose key is absent from the request does not
match, except for ``Null``, ``...IfExists`` and the negated operators. An operator that is not known here is an error,
not a guess.
"""

import enum
import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]
Context = Mapping[str, str]


class Decision(enum.Enum):
    ALLOWED = "allowed"
    DENIED = "explicitly denied"
    NOT_ALLOWED = "not allowed by any statement"


def decide(statements: Sequence[Statement], action: str, resource: str, context: Context) -> Decision:
    """Evaluate one request of a principal that all these statements apply to.

    Args:
        statements: Of the identity's policies and of the resource's policy, within one account.
        action: Such as ``s3:GetObject``.
        resource: The ARN the request is about.
        context: Condition keys of the request and their values.

    Returns:
        The decision.
    """
    effects = {s["Effect"] for s in statements if applies(s, action, resource, context)}
    if "Deny" in effects:
        return Decision.DENIED
    return Decision.ALLOWED if "Allow" in effects else Decision.NOT_ALLOWED


def applies(statement: Statement, action: str, resource: str, context: Context) -> bool:
    """Whether a statement is about this request."""
    return (
        _names(statement, "Action", action, ignore_case=True)
        and _names(statement, "Resource", resource, ignore_case=False)
        and all(
            _condition(operator, key, _many(expected), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, expected in keys.items()
        )
    )


def _names(statement: Statement, element: str, value: str, *, ignore_case: bool) -> bool:
    if element in statement:
        return any(_like(value, pattern, ignore_case=ignore_case) for pattern in _many(statement[element]))
    return not any(_like(value, pattern, ignore_case=ignore_case) for pattern in _many(statement[f"Not{element}"]))


def _like(value: str, pattern: str, *, ignore_case: bool = False) -> bool:
    # IAM knows * and ? only; fnmatch also knows [...], which therefore has to be written literally.
    regex = fnmatch.translate(pattern.replace("[", "[[]"))
    return re.match(regex, value, re.IGNORECASE if ignore_case else 0) is not None


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, expected: value == expected,
    "StringLike": _like,
    "ArnLike": _like,
    "ArnEquals": _like,
    "Bool": lambda value, expected: value.lower() == expected.lower(),
    "NumericLessThan": lambda value, expected: float(value) < float(expected),
}
_NEGATED = {"StringNotEquals": "StringEquals", "StringNotLike": "StringLike", "ArnNotLike": "ArnLike"}


def _condition(operator: str, key: str, expected: list[str], context: Context) -> bool:
    value = next((text for name, text in context.items() if name.lower() == key.lower()), None)
    if operator == "Null":
        return (value is None) == (expected[0].lower() == "true")
    name = operator.removesuffix("IfExists")
    if value is None:
        return operator.endswith("IfExists") or name in _NEGATED
    if name in _NEGATED:
        return not any(_TESTS[_NEGATED[name]](value, item) for item in expected)
    if name not in _TESTS:
        raise NotImplementedError(f"condition operator {operator}")
    return any(_TESTS[name](value, item) for item in expected)


def _many(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])]
